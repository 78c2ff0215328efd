import math

import pytest
import torch
from torch import nn

from fishbone.nn.augment import crop_and_flip
from fishbone.nn.evaluate import evaluate, recalibrate_batch_norm
from fishbone.seeding import torch_generator


def test_uniform_logits_lose_the_logarithm_of_the_number_of_classes():
    model = nn.Linear(4, 10)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    labels = torch.arange(1003) % 10
    result = evaluate(model, torch.randn(1003, 4), labels, batch=100)
    assert math.isclose(result["loss"], math.log(10), rel_tol=1e-6)
    assert result["accuracy"] == 101 / 1003


@pytest.mark.parametrize("spoilt", [math.nan, math.inf, -math.inf])
def test_an_image_whose_logits_are_not_finite_is_classified_wrongly(spoilt):
    labels = torch.tensor([0, 0, 1, 2])
    logits = nn.functional.one_hot(labels, 3).float()
    logits[1, 0] = spoilt
    assert evaluate(nn.Identity(), logits, labels)["accuracy"] == 0.75
    assert evaluate(nn.Identity(), torch.full((4, 3), spoilt), labels)["accuracy"] == 0


def test_recalibration_gives_the_mean_of_batch_statistics_and_touches_nothing_else():
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.5)).eval()
    weights = [p.clone() for p in model.parameters()]
    batches = [torch.randn(8, 2, 3, 3) + i for i in range(3)]
    recalibrate_batch_norm(model, batches)
    means = torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0)
    variances = torch.stack([b.var((0, 2, 3)) for b in batches]).mean(0)
    assert torch.allclose(model[0].running_mean, means, atol=1e-6)
    assert torch.allclose(model[0].running_var, variances, atol=1e-5)
    assert model[0].momentum == 0.1
    assert not model.training
    assert not model[0].training
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), weights, strict=True))


def test_a_frozen_batch_norm_of_a_training_network_stays_frozen():
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 1), nn.Flatten()).train()
    model[0].eval()
    evaluate(model, torch.randn(4, 2, 1, 1), torch.tensor([0, 1, 2, 0]))
    recalibrate_batch_norm(model, [torch.randn(4, 2, 1, 1)])
    assert [module.training for module in model] == [False, True, True]


def test_crop_shifts_by_at_most_the_padding_and_keeps_the_shape():
    image = torch.zeros(64, 1, 9, 9)
    image[:, :, 4, 4] = 1
    moved = crop_and_flip(image, 2, False, torch_generator(0, "test"))
    where = moved.nonzero()[:, 2:]
    assert moved.shape == image.shape
    assert (moved.sum((1, 2, 3)) == 1).all()
    assert where.min() == 2
    assert where.max() == 6


def test_flip_mirrors_about_half_of_the_images():
    image = torch.arange(3.0).expand(400, 1, 3, 3).contiguous()
    flipped = crop_and_flip(image, 0, True, torch_generator(0, "test"))[:, 0, 0, 0] == 2
    assert 150 < flipped.sum() < 250


def test_without_padding_and_flip_images_pass_unchanged():
    image = torch.randn(5, 3, 4, 4)
    assert torch.equal(crop_and_flip(image, 0, False, torch_generator(0, "test")), image)
