import os

import pytest
from holding import other_process

from fishbone.errors import InputError
from fishbone.locking import hold


def test_what_another_process_holds_is_refused_and_its_death_frees_it(tmp_path):
    path = tmp_path / "work"
    with other_process(path) as process, pytest.raises(InputError) as refusal:
        hold(path)
    assert f"work: process {process.pid} on " in str(refusal.value)
    assert " works on it. Wait until it has ended" in str(refusal.value)
    lock = hold(path)
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_one_process_may_hold_twice_and_lets_go_when_nothing_refers_to_it(tmp_path):
    first = hold(tmp_path / "work")
    second = hold(tmp_path / "work")
    assert first is second
    assert (tmp_path / "work.lock").read_text().startswith(f"process {os.getpid()} on ")
    del first, second
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/work: cannot be written: .*Give a place"):
        hold(tmp_path / "file" / "work")
