"""Fréchet classifier distance (FCD): how far generated images are from real ones in a classifier's features.

FCD = |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½), the squared Fréchet distance of the Gaussians fitted to the features
(Dowson & Landau 1982; Heusel et al. 2017, arXiv 1706.08500, eq. 6, there with Inception features and called FID).
The features are those that the study's own classifier gives its last layer, so values compare only
within one classifier, and, being biased by the sample's size, only for equal sizes. Everything in float64.
"""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from fishbone.data.images import normalise


@dataclass(frozen=True, eq=False)
class Gaussian:
    """``mean`` (d,) and ``covariance`` (d, d), float64."""

    mean: Tensor
    covariance: Tensor


def fit(features: Tensor) -> Gaussian:
    """Moments of (N, d) features; the covariance divides by N - 1."""
    features = features.double()
    return Gaussian(features.mean(0), torch.cov(features.T))


def distance(first: Gaussian, second: Gaussian) -> float:
    """Squared Fréchet distance; the symmetric Σ₁^½ Σ₂ Σ₁^½ stands in for Σ₁Σ₂, whose eigenvalues it has."""
    values, vectors = torch.linalg.eigh(first.covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second.covariance @ root).clamp(min=0).sqrt().sum()
    shift = (first.mean - second.mean).square().sum()
    spread = first.covariance.trace() + second.covariance.trace() - 2 * cross
    return max(float((shift + spread).item()), 0.0)


class Classifier(Protocol):
    """A network whose last layer ``fc`` takes the features (B, d)."""

    fc: nn.Linear

    def features(self, x: Tensor) -> Tensor:
        """(B, d) of inputs (B, C, H, W)."""
        ...

    def eval(self) -> Self:
        """The network, judging and not learning from now on."""
        ...


class FeatureSpace:
    """Features of a frozen classifier.

    Args:
        classifier: is put into evaluation mode and not trained any more.
        mean, std: (C,), which its inputs, pixels in [0, 1], are normalised by.
    """

    def __init__(self, classifier: Classifier, mean: np.ndarray, std: np.ndarray) -> None:
        self.classifier = classifier.eval()
        self.mean, self.std = np.asarray(mean, np.float32), np.asarray(std, np.float32)

    @torch.no_grad()
    def features(self, images: np.ndarray, batch: int = 250) -> Tensor:
        """uint8 (N, H, W, C) → (N, d) float32."""
        parts = []
        for start in range(0, len(images), batch):
            inputs = normalise(images[start : start + batch], self.mean, self.std)
            parts.append(self.classifier.features(torch.from_numpy(inputs)))
        return torch.cat(parts)

    @torch.no_grad()
    def classes(self, features: Tensor) -> Tensor:
        """Predicted class (N,) of each row of features."""
        logits: Tensor = self.classifier.fc(features)
        return logits.argmax(1)
