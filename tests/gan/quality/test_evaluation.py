import numpy as np
import torch

from fishbone.data.dataset import load_dataset, save_dataset
from fishbone.gan.quality import evaluation


class Seen:
    """A feature space that remembers what it was shown; an image's features are its mean and its first pixel."""

    def __init__(self):
        self.shown = []

    def features(self, images):
        self.shown.append(images)
        flat = torch.from_numpy(images.reshape(len(images), -1).astype(np.float32))
        return torch.stack([flat.mean(1), flat[:, 0]], dim=1)

    def classes(self, features):
        return torch.zeros(len(features), dtype=torch.int64)


def test_the_floor_holds_of_each_class_its_share_of_a_sorted_split(tmp_path, monkeypatch):
    labels = np.repeat([0, 1, 2, 0, 1], [10, 20, 30, 5, 5])
    images = np.repeat(labels, 16).reshape(-1, 4, 4, 1).astype(np.uint8)  # an image shows its class
    splits = {"train": np.arange(60), "validation": np.arange(60, 65), "test": np.arange(65, 70)}
    save_dataset(tmp_path / "sorted.npz", images=images, labels=labels, **splits, class_names=["a", "b", "c"])
    monkeypatch.setattr(evaluation, "draw", lambda generator, count, seed: np.zeros((count, 4, 4, 1), np.uint8))
    space = Seen()
    evaluation.Evaluation(space, load_dataset(tmp_path / "sorted.npz"), 12, 2, seed=0).final(None)
    floor = space.shown[2]  # after the validation split and the generated images
    assert np.bincount(floor[:, 0, 0, 0]).tolist() == [2, 4, 6]
