import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def one_thread():
    """Same threads, same bits: every test computes on one thread."""
    import torch

    torch.set_num_threads(1)
