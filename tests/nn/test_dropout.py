import pytest
import torch

from fishbone.nn.dcgan import Discriminator
from fishbone.nn.dropout import KeyedDropout, key_dropout


def dropout(probability=0.3, seed=1, layer="conv1", key=("u", "1")):
    module = KeyedDropout(probability, seed, layer)
    key_dropout(module, *key)
    return module


def test_dropout_mask_depends_on_seed_layer_and_key_alone():
    ones = torch.ones(4, 8, 7, 7)
    torch.manual_seed(0)
    mask = dropout()(ones)
    torch.manual_seed(1)
    assert torch.equal(dropout()(ones), mask)
    for other in (dropout(seed=2), dropout(layer="conv2"), dropout(key=("v", "1")), dropout(key=("u", "2"))):
        assert not torch.equal(other(ones), mask)


def test_dropout_keeps_the_mean_and_rests_in_eval_mode():
    ones = torch.ones(1000, 100)
    dropped = dropout()(ones)
    assert dropped.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    assert torch.equal(dropout().eval()(ones), ones)


def test_key_reaches_every_dropout_of_a_network():
    discriminator = Discriminator([1, 8, 8], 4, 0.3, 0)
    key_dropout(discriminator, "u", "3 learn")
    layers = [module for module in discriminator.modules() if isinstance(module, KeyedDropout)]
    assert [layer.key for layer in layers] == [("u", "3 learn")] * 3
