"""Time and memory of a stretch of work."""

import time

import torch

from fishbone.pruning.cost import measured


def test_peak_is_what_was_held_at_once_above_the_start():
    kept = torch.ones(30_000_000)  # 120 MB, held before
    with measured() as cost:
        for _ in range(3):
            part = torch.ones(50_000_000)  # 200 MB at a time
            time.sleep(0.05)
            del part
    assert 150e6 < cost["peak_bytes"] < 320e6
    assert cost["seconds"] > 0.15
    assert len(kept) == 30_000_000
