"""Whole channels inside residual blocks: the network that is left is dense and smaller, for any runtime.

A channel between the two convolutions of a block goes by its *column*, the weights of the second convolution that read
it; the first convolution's filter and its batch norm then have no reader and go for free. A column scores the sum of
its weights' OBS saliencies θ² / (2 diag Q) for each multiply-accumulate that its channel costs, and the columns that
stay are moved to the joint optimum (Q_SS x = θ_S, as everywhere in Fishbone). This is the structured OBS of ZipLM
(Kurtic et al. 2023, arXiv 2302.04089) with another Q. Residual streams keep their width.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fishbone.curvature.gradients import Gradients
from fishbone.curvature.layout import Layout
from fishbone.curvature.likelihoods import Softmax
from fishbone.curvature.protocol import Estimator
from fishbone.errors import ArgumentError
from fishbone.nn.evaluate import evaluate, evaluating
from fishbone.nn.resnet import BasicBlock
from fishbone.pruning.compensation import compensate
from fishbone.pruning.defaults import LEARNING, SOLVER
from fishbone.pruning.estimators import EstimatorFactory
from fishbone.pruning.images import recalibrated
from fishbone.pruning.masks import saliency
from fishbone.pruning.methods import METHODS

ROUND_TO = 8  # channels: runtimes work on blocks of 8 or 16
STEPS = 8


@dataclass(frozen=True)
class Shrunk:
    """A network without some of its channels, and how it was chosen.

    Attributes:
        model: the smaller network, batch norms recalibrated.
        kept: number of channels that are left of each block, by the block's name.
        gamma: the damping that was chosen of those tried.
        validation_accuracy: accuracy on the validation images with every damping tried, by the damping's text.
    """

    model: nn.Module
    kept: dict[str, int]
    gamma: float
    validation_accuracy: dict[str, float]


def shrink(
    model: nn.Module,
    fraction: float,
    curvature: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    *,
    gammas: Sequence[float],
    seed: int,
) -> Shrunk:
    """Make a smaller copy of ``model``, without about ``fraction`` of the channels inside its blocks.

    Blocks keep a multiple of 8 channels, and all if they have fewer than 16: the fraction is met to within 4 channels
    of the network if the other blocks have enough to give.

    Args:
        model: a trained network with `fishbone.nn.resnet.BasicBlock`s.
        fraction: of the channels inside all blocks, to remove.
        curvature: inputs (N, C, H, W) and labels (N,) of training images, augmented as in training; also for batch
            norms.
        validation: inputs and labels that choose the damping.
        gammas: dampings to try; the best on ``validation`` is taken.
        seed: decides the random signs of gradient rows; the same seed gives the same network.

    Raises:
        ArgumentError: no residual blocks, or the fraction is not within (0, 1).
    """
    if not 0 < fraction < 1:
        raise ArgumentError(f"the fraction of channels should lie between 0 and 1, not {fraction}")
    names = [name for name, module in model.named_modules() if isinstance(module, BasicBlock)]
    if not names:
        raise ArgumentError("no residual blocks whose inner channels could go")
    layout = Layout.of(model, tuple(f"{name}.conv2.weight" for name in names))
    gradients = Gradients(layout, curvature[0], "signs", Softmax(), curvature[1], seed)
    estimators = EstimatorFactory(METHODS["fls"], gradients, block=64, learning=LEARNING, seed=seed)
    costs = channel_costs(model, names, curvature[0][:1])

    tried = {}
    for gamma in gammas:
        masked, kept = remove(model, layout, estimators.final(gamma), costs, fraction)
        tried[gamma] = recalibrated(without_channels(masked, kept), curvature[0])
    scores = {str(gamma): evaluate(found, *validation)["accuracy"] for gamma, found in tried.items()}
    best = max(tried, key=lambda gamma: scores[str(gamma)])
    left = {name: _block(tried[best], name).conv1.out_channels for name in names}
    return Shrunk(tried[best], left, best, scores)


@torch.no_grad()
def channel_costs(model: nn.Module, names: Sequence[str], inputs: Tensor) -> list[float]:
    """Return the multiply-accumulates that one channel inside each block costs for one image.

    Args:
        model: the network, in any mode.
        names: names of its blocks, such as ``blocks.0``.
        inputs: one image or more, (N, C, H, W).
    """
    sides: dict[str, int] = {}
    handles = [
        _block(model, name).conv1.register_forward_hook(
            lambda _module, _inputs, out, name=name: sides.__setitem__(name, out.shape[2] * out.shape[3])
        )
        for name in names
    ]
    with evaluating(model):
        model(inputs)
    for handle in handles:
        handle.remove()
    blocks = (_block(model, name) for name in names)
    sizes = [block.conv1.weight[0].numel() + block.conv2.weight[:, 0].numel() for block in blocks]
    return [float(size * sides[name]) for size, name in zip(sizes, names, strict=True)]


def remove(
    model: nn.Module, layout: Layout, estimator: Estimator, costs: Sequence[float], fraction: float
) -> tuple[nn.Module, dict[str, Tensor]]:
    """Zero what reads and makes about ``fraction`` of the channels, step by step, in a copy of the model.

    Args:
        model: the trained network; left as it is.
        layout: the second convolutions' weights, of which each input channel is a column.
        estimator: of the inverse Fisher matrix of these weights.
        costs: of one channel in each block; see `channel_costs`.
        fraction: the share of all blocks' channels that goes.

    Returns:
        The copy, which computes as if the channels were gone; and by block's name which channels stay, boolean.
    """
    masked = copy.deepcopy(model)
    anchor = layout.read(masked)
    estimator.refine(masked, torch.ones(layout.size, dtype=torch.bool), 0)
    names = [name.removesuffix(".conv2.weight") for name in layout.names]
    kept = [torch.ones(shape[1], dtype=torch.bool) for shape in layout.shapes]
    total = sum(len(channels) for channels in kept)
    scores = [torch.zeros(len(channels)) for channels in kept]
    for step in range(1, STEPS + 1):
        present = _column_scores(layout, layout.read(masked), estimator, costs)
        # a channel that went has no weights to score any more: its last score says how dear it was
        scores = [torch.where(own, now, last) for own, now, last in zip(kept, present, scores, strict=True)]
        kept = _lowest_go(scores, kept, round(total * (1 - (1 - fraction) ** (step / STEPS))))
        if step == STEPS:
            kept = _rounded(kept, scores)
        gone = layout.join([_columns(~channels, shape) for channels, shape in zip(kept, layout.shapes, strict=True)])
        change = compensate(estimator, anchor, gone, SOLVER)
        layout.write(masked, torch.where(gone, 0, change.weights))
    found = dict(zip(names, kept, strict=True))
    with torch.no_grad():
        for name, channels in found.items():
            block = _block(masked, name)
            for tensor in (block.conv1.weight, block.bn1.weight, block.bn1.bias):
                tensor[~channels] = 0
    return masked, found


def _block(model: nn.Module, name: str) -> BasicBlock:
    found = model.get_submodule(name)
    assert isinstance(found, BasicBlock), "layouts are of residual blocks' second convolutions"
    return found


def _columns(channels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(o, n) as in the layout: the channels' columns of every output."""
    return channels[None, :, None].expand(shape[0], -1, shape[2] * shape[3]).reshape(shape[0], -1)


def _column_scores(layout: Layout, weights: Tensor, estimator: Estimator, costs: Sequence[float]) -> list[Tensor]:
    parts = weights.split(estimator.parts)
    losses = torch.cat([saliency(own, estimator.diagonal(part)) for part, own in enumerate(parts)])
    columns = layout.tensors(losses).values()
    return [loss.sum((0, 2, 3)) / cost for loss, cost in zip(columns, costs, strict=True)]


def _lowest_go(scores: Sequence[Tensor], kept: Sequence[Tensor], count: int) -> list[Tensor]:
    """``count`` channels are gone in all, the cheapest first; blocks of fewer than 16 stay whole."""
    free = [own & (len(own) >= 2 * ROUND_TO) for own in kept]
    already = sum(int((~own).sum()) for own in kept)
    flat = torch.cat([torch.where(own, score, torch.inf) for own, score in zip(free, scores, strict=True)])
    chosen = flat.argsort(stable=True)[: min(count - already, int(torch.cat(free).sum()))]
    mask = torch.cat(list(kept))
    mask[chosen] = False
    return list(mask.split([len(own) for own in kept]))


def _rounded(kept: Sequence[Tensor], scores: Sequence[Tensor]) -> list[Tensor]:
    """Each block keeps a multiple of 8, at least 8, so that the network keeps about as many channels as before.

    Blocks are rounded down, and those that lose most by it are rounded up as long as the sum asks for it. A block's
    best channels by score stay.
    """
    sizes = [int(own.sum()) for own in kept]
    counts = [
        max(ROUND_TO, size // ROUND_TO * ROUND_TO) if len(own) >= 2 * ROUND_TO else len(own)
        for own, size in zip(kept, sizes, strict=True)
    ]
    lost = [size - count for size, count in zip(sizes, counts, strict=True)]
    more = max(0, (sum(lost) + ROUND_TO // 2) // ROUND_TO)  # in a tie rather more channels
    for block in sorted(range(len(lost)), key=lambda block: -lost[block])[:more]:
        counts[block] = min(len(kept[block]), counts[block] + ROUND_TO) if lost[block] > 0 else counts[block]
    return [_best(own, score, count) for own, score, count in zip(kept, scores, counts, strict=True)]


def _best(kept: Tensor, scores: Tensor, count: int) -> Tensor:
    """The ``count`` best channels by score, those that are kept before the others."""
    order = scores.argsort(descending=True, stable=True)
    order = order[kept[order].int().argsort(descending=True, stable=True)]
    return torch.zeros_like(kept).index_fill_(0, order[:count], True)


def without_channels(masked: nn.Module, kept: dict[str, Tensor]) -> nn.Module:
    """Return the network without the channels that ``masked`` computes as zeros: smaller layers, the same outputs.

    Args:
        masked: the network as `remove` leaves it.
        kept: by block's name, (channels,) boolean: True for those that stay.
    """
    small = copy.deepcopy(masked)
    with torch.no_grad():
        for name, channels in kept.items():
            block = _block(small, name)
            count = int(channels.sum())
            one, two, norm = block.conv1, block.conv2, block.bn1
            block.conv1 = nn.Conv2d(one.in_channels, count, 3, one.stride[0], 1, bias=False)
            block.conv1.weight.copy_(one.weight[channels])
            block.conv2 = nn.Conv2d(count, two.out_channels, 3, two.stride[0], 1, bias=False)
            block.conv2.weight.copy_(two.weight[:, channels])
            block.bn1 = nn.BatchNorm2d(count, eps=norm.eps, momentum=norm.momentum)
            block.bn1.load_state_dict(
                {key: value if value.ndim == 0 else value[channels] for key, value in norm.state_dict().items()}
            )
    return small.train(masked.training)
