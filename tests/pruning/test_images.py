import numpy as np
import pytest
import torch
from torch import nn

from fishbone.data.dataset import load_dataset, save_dataset
from fishbone.nn.augment import crop_and_flip
from fishbone.pruning.images import draw, judging, mixed_subset, recalibrated
from fishbone.seeding import derive, numpy_generator, torch_generator


@pytest.mark.parametrize("count", [250, 251, 501, 600])
def test_every_image_counts_alike_in_recalibrated_statistics(count):
    inputs = torch.randn(count, 3, 2, 2) + torch.arange(count)[:, None, None, None]
    found = recalibrated(nn.Sequential(nn.BatchNorm2d(3)), inputs)[0]
    torch.testing.assert_close(found.running_mean, inputs.mean((0, 2, 3)), rtol=0.005, atol=0)


def test_a_single_value_a_channel_is_never_a_batch_of_its_own():
    """Of 251 inputs, 250 and 1 would be refused by BatchNorm1d."""
    found = recalibrated(nn.Sequential(nn.BatchNorm1d(3)), torch.randn(251, 3))[0]
    assert found.num_batches_tracked == 2


@pytest.fixture
def sorted_by_class(tmp_path):
    """100, 200 and 300 images of three classes in the training split, 10, 20 and 30 in the validation split."""
    labels = np.repeat([0, 1, 2, 0, 1, 2, 0], [100, 200, 300, 10, 20, 30, 1])
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4, 1)).astype(np.uint8)
    splits = {"train": np.arange(600), "validation": np.arange(600, 660), "test": np.arange(660, 661)}
    save_dataset(tmp_path / "sorted.npz", images=images, labels=labels, **splits, class_names=["a", "b", "c"])
    return load_dataset(tmp_path / "sorted.npz")


def test_images_to_prune_with_hold_of_each_class_its_share_in_every_first_part_too(sorted_by_class):
    inputs, labels = draw(sorted_by_class, 120, "curvature", padding=0, flip=False, seed=0)
    assert labels.bincount().tolist() == [20, 40, 60]
    for count in range(1, 121):
        share = count * torch.tensor([1, 2, 3]) / 6
        assert (labels[:count].bincount(minlength=3) - share).abs().max() <= 2
    again, _ = draw(sorted_by_class, 120, "curvature", padding=0, flip=False, seed=0)
    assert torch.equal(again, inputs)
    for purpose, seed in (("recalibration", 0), ("curvature", 1)):
        assert not torch.equal(draw(sorted_by_class, 120, purpose, padding=0, flip=False, seed=seed)[0], inputs)


def test_draws_as_recorded_are_those_of_records_made_before_there_was_a_choice(sorted_by_class):
    """Long studies cannot all be run again: their numbers have to come out to the bit."""
    order = torch.randperm(600, generator=torch.Generator().manual_seed(derive(3, "curvature")))[:50].numpy()
    images = torch.from_numpy(sorted_by_class.normalise(sorted_by_class.images[order]))
    expected = crop_and_flip(images, 1, True, torch_generator(3, "curvature", "augmentation"))
    inputs, labels = draw(sorted_by_class, 50, "curvature", padding=1, flip=True, seed=3, drawn="as_recorded")
    assert torch.equal(inputs, expected)
    assert np.array_equal(labels, sorted_by_class.labels[order])


def test_quick_judgements_see_every_class_of_a_sorted_split(sorted_by_class):
    inputs, labels = judging(sorted_by_class, 12, 0, "stratified")
    assert labels.bincount().tolist() == [2, 4, 6]
    assert torch.equal(judging(sorted_by_class, 12, 0, "stratified")[0], inputs)
    whole = sorted_by_class.split("validation")
    assert torch.equal(judging(sorted_by_class, 60, 0, "stratified")[1], whole[1])
    first = judging(sorted_by_class, 12, 0, "as_recorded")
    assert all(torch.equal(part, all_of_it[:12]) for part, all_of_it in zip(first, whole, strict=True))


def test_a_subset_is_drawn_without_repetition(sorted_by_class):
    labels = sorted_by_class.labels[sorted_by_class.train]
    chosen = mixed_subset(labels, 90, numpy_generator(0, "a"))
    assert len(np.unique(chosen)) == len(chosen) == 90
    assert sorted(mixed_subset(labels, 600, numpy_generator(0, "a"))) == list(range(600))
