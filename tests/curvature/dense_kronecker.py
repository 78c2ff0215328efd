"""Small dense matrices to compare structured ones with; float64."""

import torch

from fishbone.curvature.kronecker import KroneckerInverse

OUT, IN = 3, 6
DOUBLE = {"dtype": torch.float64}
ONES = torch.ones(OUT, IN, **DOUBLE)
EYE = torch.eye(OUT * IN, **DOUBLE)


def random_model(seed: int = 0, place: str = "outside", modes: tuple[int, ...] = (OUT, IN)) -> KroneckerInverse:
    generator = torch.Generator().manual_seed(seed)
    shapes = (OUT, IN), *((size, size) for size in modes)
    log_scale, *bases = (0.5 * torch.randn(*shape, generator=generator, **DOUBLE) for shape in shapes)
    return KroneckerInverse(log_scale, tuple(bases), place)


def dense(model: KroneckerInverse) -> torch.Tensor:
    """Q as a matrix, weights row by row."""
    scale = torch.diag(model.log_scale.detach().exp().flatten())
    basis = torch.ones(1, 1, **DOUBLE)
    for part in model.bases:
        basis = torch.kron(basis, part.detach())
    return scale @ basis.T @ basis @ scale if model.place == "outside" else basis.T @ scale**2 @ basis


def random_rows(images: int = 7, classes: int = 4, seed: int = 1) -> torch.Tensor:
    return torch.randn(images, classes, OUT, IN, generator=torch.Generator().manual_seed(seed), **DOUBLE)


def rows_of(matrix: torch.Tensor) -> torch.Tensor:
    """Rows of one image whose Fisher matrix is ``matrix``."""
    return torch.linalg.cholesky(matrix).T.reshape(1, OUT * IN, OUT, IN)


def fisher(rows: torch.Tensor) -> torch.Tensor:
    flat = rows.flatten(2).flatten(0, 1)
    return flat.T @ flat / len(rows)


def spread(size: int, condition: float, seed: int) -> torch.Tensor:
    """A symmetric positive definite matrix with eigenvalues from 1 / condition to 1."""
    basis, _ = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(seed), **DOUBLE))
    return basis @ torch.diag(torch.logspace(0, -torch.tensor(condition).log10().item(), size, **DOUBLE)) @ basis.T
