"""Time and memory of stretches of work."""

import sys
import time

import pytest
import torch

from fishbone.pruning.cost import Meter

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def hold(entries):
    part = torch.ones(entries)
    time.sleep(0.05)
    return part


@LINUX
def test_peak_is_what_was_held_at_once_above_the_start():
    kept = torch.ones(30_000_000)  # 120 MB, held before
    with Meter() as meter:
        for _ in range(3):
            hold(50_000_000)  # 200 MB at a time
    assert 150e6 < meter.peak_bytes < 320e6
    assert meter.seconds > 0.15
    assert len(kept) == 30_000_000


@LINUX
def test_only_the_stretches_count_and_what_lives_through_them():
    meter = Meter()
    with meter:
        kept = hold(30_000_000)  # 120 MB
    hold(100_000_000)  # 400 MB, between the stretches
    time.sleep(2)
    with meter:
        hold(20_000_000)  # 80 MB more
    assert 180e6 < meter.peak_bytes < 300e6
    assert 0.1 <= meter.seconds < 2
    assert len(kept) == 30_000_000
