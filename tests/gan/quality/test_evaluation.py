import re

import numpy as np
import pytest
import torch

from fishbone.data.dataset import load_dataset, save_dataset
from fishbone.errors import InputError
from fishbone.gan.quality import evaluation
from fishbone.gan.quality.frechet import distance, fit

CLASSES = np.repeat([0, 1, 2, 0, 1], [10, 20, 30, 5, 5])


class Seen:
    """A feature space that remembers what it was shown; an image's features are its mean and its first pixel."""

    def __init__(self):
        self.shown = []

    def features(self, images):
        self.shown.append(images)
        return features(images)

    def classes(self, features):
        return features[:, 1].long()


def features(images):
    flat = torch.from_numpy(images.reshape(len(images), -1).astype(np.float32))
    return torch.stack([flat.mean(1), flat[:, 0]], dim=1)


@pytest.fixture
def dataset(tmp_path):
    """60, 5 and 5 images, sorted by class; the first pixel of an image shows its class, the last its place."""
    images = np.zeros((70, 4, 4, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 3, 3, 0] = CLASSES, np.arange(70)
    splits = {"train": np.arange(60), "validation": np.arange(60, 65), "test": np.arange(65, 70)}
    save_dataset(tmp_path / "sorted.npz", images=images, labels=CLASSES, **splits, class_names=["a", "b", "c"])
    return load_dataset(tmp_path / "sorted.npz")


def generated(generator, count, seed):
    """Half of them of class 0, half of class 1."""
    images = np.random.default_rng(seed).integers(0, 9, (count, 4, 4, 1)).astype(np.uint8)
    images[:, 0, 0, 0] = np.arange(count) % 2
    return images


@pytest.fixture
def measured(dataset, monkeypatch):
    """(what was shown, scores of the end, generated images)."""
    monkeypatch.setattr(evaluation, "draw", generated)
    space = Seen()
    scores, images = evaluation.Evaluation(space, dataset, 12, 4, seed=3).final(None)
    validation, *shown = space.shown
    assert np.array_equal(validation, dataset.images[60:65])
    return shown, scores, images


def test_the_floor_holds_of_each_class_its_share_of_a_sorted_split(measured):
    floor = measured[0][1]
    assert np.bincount(floor[:, 0, 0, 0]).tolist() == [2, 4, 6]
    assert (floor[:, 3, 3, 0] < 60).all()


def test_the_seed_draws_the_floor_and_the_ceiling_that_it_always_drew(measured):
    (_, floor, ceiling, _), _, _ = measured
    assert floor[:, 3, 3, 0].tolist() == [7, 9, 20, 25, 26, 27, 33, 34, 40, 43, 50, 52]
    assert ceiling[0, 0, :, 0].tolist() == [113, 202, 184, 246]


def test_floor_and_ceiling_are_as_far_from_the_test_split_as_the_distance_says(measured, dataset):
    (drawn, floor, ceiling, test), scores, images = measured
    assert np.array_equal(drawn, generated(None, 12, 3))
    assert np.array_equal(images, drawn)
    assert ceiling.shape == (12, 4, 4, 1)
    assert np.array_equal(test, dataset.images[65:])
    reference = fit(features(test))
    expected = {"fcd": drawn, "fcd_floor": floor, "fcd_noise": ceiling}
    for name, shown in expected.items():
        assert scores.pop(name) == distance(fit(features(shown)), reference) > 0
    # Half of the generated images are of class 0, and all of the test split are of class 1.
    assert scores == {"class_tv": 0.5}


def test_after_a_round_fewer_images_are_held_against_the_validation_split(dataset, monkeypatch):
    monkeypatch.setattr(evaluation, "draw", generated)
    found = evaluation.Evaluation(Seen(), dataset, 12, 4, seed=3).validation(None)
    reference = fit(features(dataset.images[60:65]))
    assert found == {"fcd_validation": distance(fit(features(generated(None, 4, 3))), reference)}


def test_a_floor_of_more_images_than_there_are_is_refused(dataset):
    evaluation.Evaluation(Seen(), dataset, 60, 4, seed=3)
    expected = "samples: the floor needs as many training images, and sorted has 60 (got 61). Lower it."
    with pytest.raises(InputError, match=f"^{re.escape(expected)}$"):
        evaluation.Evaluation(Seen(), dataset, 61, 4, seed=3)
