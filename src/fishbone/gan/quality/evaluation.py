"""How good a generator is: its Fréchet classifier distance to a split, between a floor and a ceiling.

Floor: as many images of the train split, of each class its share; ceiling: as many images of uniform noise. All at the
same number of images, since the distance is biased by it (Chong & Forsyth 2020, arXiv 1911.07023). Besides,
``class_tv``: the total variation distance, in [0, 1], between the classes that the classifier sees in generated and in
real images: lost modes show here.
"""

import numpy as np
import torch
from torch import Tensor

from fishbone.data.dataset import Dataset
from fishbone.data.splits import stratified_subset
from fishbone.errors import InputError
from fishbone.gan.quality.frechet import FeatureSpace, distance, fit
from fishbone.gan.samples import draw, uniform
from fishbone.nn.dcgan import Generator
from fishbone.seeding import numpy_generator


class Evaluation:
    """Measures generators of one run.

    Args:
        space: the features of a classifier, in which distances are measured.
        dataset: validation and test are read, train only for the floor.
        samples: images a measurement at the end; ``validation_samples`` after a round.
        seed: decides noise vectors, the floor's images and the ceiling's; the same seed gives the same ones.

    Raises:
        InputError: the train split has fewer than ``samples`` images.
    """

    def __init__(self, space: FeatureSpace, dataset: Dataset, samples: int, validation_samples: int, seed: int):
        if samples > len(dataset.train):
            raise InputError(
                f"the floor needs as many training images, and {dataset.name} has {len(dataset.train)}",
                field="samples",
                value=samples,
                remedy="Lower it.",
            )
        self.space, self.dataset = space, dataset
        self.samples, self.validation_samples = samples, validation_samples
        self.seed = seed
        self._validation = fit(space.features(dataset.images[dataset.validation]))

    def validation(self, generator: Generator) -> dict[str, float]:
        """``fcd_validation``: distance to the validation split."""
        features = self.space.features(draw(generator, self.validation_samples, self.seed))
        return {"fcd_validation": distance(fit(features), self._validation)}

    def final(self, generator: Generator) -> tuple[dict[str, float], np.ndarray]:
        """(``fcd``, ``fcd_floor``, ``fcd_noise`` and ``class_tv`` against the test split, the generated images)."""
        images = self.dataset.images
        generated = draw(generator, self.samples, self.seed)
        labels = self.dataset.labels[self.dataset.train]
        chosen = stratified_subset(labels, self.samples, numpy_generator(self.seed, "floor"))
        noise = uniform(self.samples, images.shape[1:], numpy_generator(self.seed, "ceiling"))
        features = {
            "": self.space.features(generated),
            "_floor": self.space.features(images[self.dataset.train[chosen]]),
            "_noise": self.space.features(noise),
        }
        test = self.space.features(images[self.dataset.test])
        reference = fit(test)
        scores = {f"fcd{name}": distance(fit(value), reference) for name, value in features.items()}
        return scores | {"class_tv": self._total_variation(features[""], test)}, generated

    def _total_variation(self, first: Tensor, second: Tensor) -> float:
        shares = [
            torch.bincount(self.space.classes(features), minlength=self.dataset.classes).double() / len(features)
            for features in (first, second)
        ]
        return (shares[0] - shares[1]).abs().sum().item() / 2
