"""Which stages are a study's."""

from fishbone.provenance.lock import locked, of_study
from fishbone.provenance.publish import small


def test_a_study_is_not_taken_for_one_whose_name_it_begins(tmp_path):
    assert locked(tmp_path) == {}
    (tmp_path / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  mine-train: {outs: []}\n  mine-wide-train: {outs: []}\n"
    )
    assert list(of_study(locked(tmp_path), "mine")) == ["mine-train"]
    assert list(of_study(locked(tmp_path), "mine-wide")) == ["mine-wide-train"]


def test_published_are_metrics_and_small_trained_networks():
    def stage(*outs):
        return {"outs": [{"path": path, "md5": path, "size": size} for path, size in outs]}

    stages = {
        "mine-prepare": stage(("images.npz", 10), ("images.json", 10)),
        "mine-train": stage(("small.safetensors", 999_999), ("large.safetensors", 1_000_000)),
        "mine-prune": stage(("pruned.safetensors", 10), ("metrics.json", 10), ("huge.json", 2_000_000)),
    }
    assert set(small(stages)) == {"images.json", "small.safetensors", "metrics.json"}
