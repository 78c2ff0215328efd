import pytest
import torch
from torch import nn

from fishbone.pruning.images import recalibrated


@pytest.mark.parametrize("count", [250, 251, 501, 600])
def test_every_image_counts_alike_in_recalibrated_statistics(count):
    inputs = torch.randn(count, 3, 2, 2) + torch.arange(count)[:, None, None, None]
    found = recalibrated(nn.Sequential(nn.BatchNorm2d(3)), inputs)[0]
    torch.testing.assert_close(found.running_mean, inputs.mean((0, 2, 3)), rtol=0.005, atol=0)


def test_a_single_value_a_channel_is_never_a_batch_of_its_own():
    """Of 251 inputs, 250 and 1 would be refused by BatchNorm1d."""
    found = recalibrated(nn.Sequential(nn.BatchNorm1d(3)), torch.randn(251, 3))[0]
    assert found.num_batches_tracked == 2
