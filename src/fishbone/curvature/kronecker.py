"""One layer's inverse Fisher model, built from Kronecker bases and one diagonal, and its algebra.

The layer's weights are an o x n matrix V, or, for a convolution in three-way form, an o x i x k tensor with
n = i k (k: kernel positions). A basis B is one square matrix a mode: B V = R V L^T, or V multiplied by a matrix
along each of its three modes. With A = exp(log_scale), o x n:

- ``outside`` (FishLeg's own form): Q = D B^T B D = D (R^T R ⊗ L^T L) D, D = diag(vec A);
- ``inside``: Q = B^T D² B, where D scales the coordinates in the basis, as in EKFAC (George et al. 2018,
  arXiv 1806.03884).

Positive definite by construction; bases and diagonal can be learnt.
"""

from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor

Place = Literal["inside", "outside"]
PIECE = 1 << 18  # entries of a matrix multiplied along the inputs at a time: large temporaries cost memory


@dataclass(frozen=True)
class KroneckerInverse:
    """One layer's Q; see the module's docstring.

    Attributes:
        log_scale: (o, n), logarithm of A.
        bases: (o, o) and (n, n), or (o, o), (i, i) and (k, k).
        place: where the diagonal stands, ``outside`` the bases or ``inside`` them.
    """

    log_scale: Tensor
    bases: tuple[Tensor, ...]
    place: Place

    @property
    def parameters(self) -> list[Tensor]:
        """What can be learnt: the logarithm of the diagonal, then the bases."""
        return [self.log_scale, *self.bases]

    def product(self, vectors: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return Q V for V (…, o, n), in its precision; with a mask M (o, n) of 0 and 1: M Q M V."""
        bases = [basis.to(vectors.dtype) for basis in self.bases]
        back = [basis.mT for basis in bases]
        if mask is not None:
            vectors = vectors * mask
        scale = self.log_scale.to(vectors.dtype).exp()
        if self.place == "outside":
            result = scale * along_modes(back, along_modes(bases, scale * vectors))
        else:
            scale = scale**2
            result = along_modes(back, scale * along_modes(bases, vectors))
        return result if mask is None else result * mask

    def diagonal(self) -> Tensor:
        """Return diag Q as (o, n)."""
        squares = [basis.mT**2 for basis in self.bases]
        scale = (2 * self.log_scale).exp()
        if self.place == "outside":
            return scale * along_modes(squares, torch.ones_like(scale))
        return along_modes(squares, scale)

    def blocks(self, positions: Tensor) -> Tensor:
        """Return Q of groups of weights, (G, c, c), at positions (G, c) in the flattened o x n.

               Each group is of one output.
        With one output Q is L^T diag(w) L (inside) or w D L^T L D (outside), w summed over the outputs' basis.
        """
        first, *others = self.bases
        columns = positions % self.log_scale.shape[1]
        outputs = positions[:, 0] // self.log_scale.shape[1]
        inner = others[0] if len(others) == 1 else torch.kron(*others)
        picked = inner[:, columns].movedim(0, 1)  # (G, n, c)
        scale = self.log_scale.exp()
        if self.place == "outside":
            left = (first[:, outputs] ** 2).sum(0)[:, None, None]
            right = picked * scale.flatten()[positions][:, None]
            return left * right.mT @ right
        weights = (first.mT**2)[outputs] @ scale**2
        return (picked * weights[:, :, None]).mT @ picked

    def detached(self) -> Self:
        """Return a copy that learning no longer changes."""
        bases = tuple(basis.detach().clone() for basis in self.bases)
        return type(self)(self.log_scale.detach().clone(), bases, self.place)


def along_modes(matrices: list[Tensor] | tuple[Tensor, ...], vectors: Tensor) -> Tensor:
    """Multiply (…, o, n) by one square matrix along each mode.

    Args:
        matrices: two, (o, o) and (n, n), or three, (o, o), (i, i) and (k, k).
        vectors: (…, o, n), weights or gradients of the layer.
    """
    first, *others = matrices
    turned = first @ vectors
    if len(others) == 1:
        return turned @ others[0].mT
    middle, last = others
    pieces = turned.split(max(1, PIECE // turned.shape[-1]), dim=-2)
    if turned.requires_grad:
        return torch.cat([_along_inputs(middle, last, piece) for piece in pieces], dim=-2)
    for piece in pieces:  # in place, so that no second matrix of this size is needed
        piece.copy_(_along_inputs(middle, last, piece))
    return turned


def _along_inputs(middle: Tensor, last: Tensor, vectors: Tensor) -> Tensor:
    """(…, o, i k) multiplied along i and k."""
    split = vectors.unflatten(-1, (len(middle), len(last))) @ last.mT
    # one wide product in place of one narrow one for each output: a quarter of the time
    turned: Tensor = split.mT.contiguous() @ middle.mT
    return turned.mT.flatten(-2)


def auxiliary_loss(layer: KroneckerInverse, curved: Tensor, gamma: float, mask: Tensor, u: Tensor) -> Tensor:
    """Return FishLeg's auxiliary loss averaged over Gaussian directions u.

    With v = M Q M u that is E_u[½ v^T (F + gamma I) v - u^T v] = ½ tr(QFQ) + ½ gamma ||MQM||² - tr MQM,
    exact but for the middle term, which is averaged over ``u``. Its unrestricted minimum is -½ tr (F + gamma I)^-1.

    Args:
        layer: the layer's model of Q.
        curved: tr(QFQ) = Σ ||M Q M row||² / images, a scalar.
        gamma: the damping that is added to F's diagonal.
        mask: (o, n) of 0 and 1.
        u: (m, o, n), Gaussian; the same for losses that are compared.
    """
    norm = (layer.product(u, mask) ** 2).sum() / len(u)
    return 0.5 * (curved + gamma * norm) - (layer.diagonal() * mask).sum()
