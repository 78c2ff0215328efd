"""Train, validation and test: disjoint index sets that hold every sample exactly once.

An official test split is kept as it is; without one, the test split is drawn from all samples. The validation split
is then drawn from what remains for training. Cuts are stratified: each class gives its exact share, up to one sample.
"""

import numpy as np

from fishbone.data.raw import RawData
from fishbone.errors import InputError
from fishbone.seeding import numpy_generator


def stratified(labels: np.ndarray, fraction: float, generator: np.random.Generator) -> np.ndarray:
    """Choose ``round(fraction · N)`` positions, of each class ``fraction`` of its samples up to one.

    Args:
        labels: (N,) int64 class of each sample.
        fraction: the share of the samples, in (0, 1).
        generator: source of the choice.

    Returns:
        Sorted positions in ``labels``.
    """
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * fraction
    sizes = np.floor(exact).astype(np.int64)
    # Largest remainders; the stable sort gives ties to the lower class number.
    most_owed = np.argsort(sizes - exact, kind="stable")
    sizes[most_owed[: round(fraction * len(labels)) - sizes.sum()]] += 1
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:size]
        for label, size in zip(classes, sizes, strict=True)
    ]
    return np.sort(np.concatenate([np.empty(0, np.int64), *chosen]))  # no labels, no classes


def stratified_subset(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Positions of ``count`` samples, of each class its share up to one; all positions where there are no more.

    Splits are sorted by class in many sources, so the first ones are no sample of them.

    Examples:
        >>> from fishbone.seeding import numpy_generator
        >>> labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1])
        >>> labels[stratified_subset(labels, 3, numpy_generator(0, "subset"))].tolist()
        [0, 0, 1]
    """
    if count >= len(labels):
        return np.arange(len(labels))
    return stratified(labels, count / len(labels), generator)


def split(raw: RawData, *, seed: int, validation: float, test: float) -> dict[str, np.ndarray]:
    """Join the raw splits and index them; the result fits `fishbone.data.dataset.save_dataset`.

    Args:
        raw: what a source gave: training images, and test images where it has them.
        seed: decides both cuts; the same seed gives the same ones.
        validation: fraction of the training split, in (0, 1).
        test: fraction of all samples, in (0, 1); used only when the source has no official test split.

    Raises:
        InputError: a split would be empty.
    """
    images, labels = raw.training.images, raw.training.labels
    if raw.test is None:
        held_out = stratified(labels, test, numpy_generator(seed, "prepare", "test"))
        training = np.setdiff1d(np.arange(len(labels)), held_out)
    else:
        training = np.arange(len(labels))
        held_out = len(labels) + np.arange(len(raw.test))
        images = np.concatenate([images, raw.test.images])
        labels = np.concatenate([labels, raw.test.labels])
    drawn = stratified(labels[training], validation, numpy_generator(seed, "prepare", "validation"))
    indices = {"train": np.delete(training, drawn), "validation": training[drawn], "test": held_out}
    for name, members in indices.items():
        if not len(members):
            blamed = "test" if name == "test" or not len(training) else "validation"
            raise InputError(
                f"the {name} split would be empty: the source has {len(labels)} samples",
                field=blamed,
                value=test if blamed == "test" else validation,
                remedy="Change the fraction, or use a source with more samples.",
            )
    return {"images": images, "labels": labels, **indices}
