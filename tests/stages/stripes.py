"""A data set of three kinds of stripes on noise, 8 x 8 pixels: 160 images to train, 40 to validate, 40 to test."""

from pathlib import Path

from fishbone.data.dataset import save_dataset
from fishbone.seeding import numpy_generator


def save_stripes(path: Path) -> Path:
    draw = numpy_generator(0, "stripes")
    labels = draw.integers(0, 3, 240)
    images = draw.integers(0, 120, (240, 8, 8, 1)).astype("uint8")
    for image, label in zip(images, labels, strict=True):
        image[:, 2 * label : 2 * label + 3] += 100
    order = draw.permutation(240)
    splits = {"train": order[:160], "validation": order[160:200], "test": order[200:]}
    save_dataset(path, images=images, labels=labels, **splits, class_names=["a", "b", "c"])
    return path
