import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from fishbone.gan.quality.frechet import FeatureSpace, Gaussian, distance, fit
from fishbone.nn.models import build


def random_gaussian(seed, d=6):
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(d, d, generator=generator, dtype=torch.double)
    return Gaussian(torch.randn(d, generator=generator, dtype=torch.double), factor @ factor.T)


def test_distance_to_itself_is_zero():
    features = torch.randn(200, 8)
    assert distance(fit(features), fit(features)) == pytest.approx(0, abs=1e-10)


def test_two_diagonal_gaussians_have_the_closed_form():
    first = Gaussian(torch.tensor([0.0, 1.0]).double(), torch.diag(torch.tensor([4.0, 9.0])).double())
    second = Gaussian(torch.tensor([3.0, 1.0]).double(), torch.diag(torch.tensor([1.0, 25.0])).double())
    assert distance(first, second) == pytest.approx(3**2 + (2 - 1) ** 2 + (3 - 5) ** 2, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_distance_equals_the_formula_with_scipys_matrix_root(seed):
    a, b = random_gaussian(seed), random_gaussian(seed + 100)
    root = sqrtm(a.covariance.numpy() @ b.covariance.numpy()).real
    shift = (a.mean - b.mean).square().sum().item()
    expected = shift + np.trace(a.covariance.numpy() + b.covariance.numpy() - 2 * root)
    assert distance(a, b) == pytest.approx(expected, rel=1e-8)
    assert distance(b, a) == pytest.approx(expected, rel=1e-8)


def test_singular_covariances_are_no_trouble():
    features = torch.randn(5, 20).double()
    assert distance(fit(features), fit(features + 2)) == pytest.approx(20 * 2**2, rel=1e-7)


def test_moments_are_those_of_numpy():
    features = torch.randn(50, 3)
    gaussian = fit(features)
    assert np.allclose(gaussian.mean, features.double().mean(0))
    assert np.allclose(gaussian.covariance, np.cov(features.double().numpy().T))


def space():
    return FeatureSpace(build({"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 3}), [0.4], [0.3])


def test_distance_in_feature_space_rises_with_noise():
    rng = np.random.default_rng(0)
    images = np.kron(rng.integers(0, 256, (200, 2, 2)), np.ones((1, 4, 4)))[..., None]
    reference = fit(space().features(images.astype(np.uint8)))
    distances = []
    for amount in (0, 10, 30, 90):
        noisy = np.clip(images + rng.normal(0, amount, images.shape), 0, 255).astype(np.uint8)
        distances.append(distance(fit(space().features(noisy)), reference))
    assert distances == sorted(distances)
    assert distances[0] == pytest.approx(0, abs=1e-9)
    assert distances[-1] > 10 * distances[1] > 0


def test_features_are_what_the_classifiers_last_layer_reads():
    images = np.random.default_rng(1).integers(0, 256, (7, 8, 8, 1), dtype=np.uint8)
    inputs = torch.from_numpy((images.astype(np.float32) / 255 - np.float32(0.4)) / np.float32(0.3)).permute(0, 3, 1, 2)
    whole = space()
    features = whole.features(images, batch=3)
    assert features.shape == (7, 16)
    with torch.no_grad():
        logits = whole.classifier(inputs.contiguous())
    torch.testing.assert_close(whole.classifier.fc(features), logits)
    assert torch.equal(whole.classes(features), logits.argmax(1))
