"""A study's stamp follows its own entries of ``dvc.lock`` and no others."""

from fishbone.provenance import stamp

LOCK = """schema: '2.0'
stages:
  mine-prepare:
    cmd: x
    deps:
    - path: a
      md5: {prepare}
  mine-wide-train:
    outs:
    - path: d
      md5: {wide}
  other-train:
    cmd: y
    outs:
    - path: b
      md5: {other}
  mine-train:
    outs:
    - path: c
      md5: {train}
"""


def lock(root, prepare=1, other=1, train=1, wide=1):
    (root / "dvc.lock").write_text(LOCK.format(prepare=prepare, other=other, train=train, wide=wide))


def test_another_studys_record_leaves_the_stamp_and_ones_own_does_not(tmp_path):
    assert not stamp.holds("mine", tmp_path)
    lock(tmp_path)
    stamp.write("mine", tmp_path)
    lock(tmp_path, other=2)
    assert stamp.holds("mine", tmp_path)
    for change in ({"prepare": 2}, {"train": 2}):
        lock(tmp_path, **change)
        assert not stamp.holds("mine", tmp_path)


def test_a_study_is_not_taken_for_one_whose_name_it_begins(tmp_path):
    lock(tmp_path)
    stamp.write("min", tmp_path)
    lock(tmp_path, train=2)
    assert stamp.holds("min", tmp_path)
    stamp.write("mine", tmp_path)
    lock(tmp_path, train=2, wide=2)
    assert stamp.holds("mine", tmp_path)
