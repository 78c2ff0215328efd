"""One job of the stage `export`: networks that belong to one data set → checked ONNX files and their facts."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import torch
from torch import nn

from fishbone.data.dataset import Dataset, load_dataset
from fishbone.errors import InputError
from fishbone.export.checked import Exported, check_masks, checked_export, checked_int8, some_images
from fishbone.export.gates import GateError
from fishbone.export.processor import int8_note
from fishbone.export.saving import facts_beside, save
from fishbone.files import sha256, try_output
from fishbone.pruning.channels import shrink
from fishbone.pruning.images import draw
from fishbone.pruning.networks import load_network
from fishbone.stages.export.params import Channels, Params
from fishbone.stages.export.variants import Source, Variant


def run(variants: Sequence[Variant], data: Path, params: Params) -> None:
    """Export all ``variants`` and tell people what came of each.

    Args:
        variants: what becomes which file.
        data: what the networks were trained on.
        params: the stage's block of parameters.

    Raises:
        InputError: as `export`, or a file cannot be written.
        ClickException: a file is not what it has to be.
    """
    for variant in variants:
        try_output(variant.out)
    try:
        export(variants, data, params, _tell)
    except GateError as error:
        raise click.ClickException(str(error)) from error


def export(variants: Sequence[Variant], data: Path, params: Params, report: Callable[[Path, Exported], None]) -> None:
    """Write all ``variants``; a network is exported once, and its int8 files are made from that very export.

    Args:
        variants: what becomes which file.
        data: what the networks were trained on.
        params: the stage's block of parameters.
        report: called with each file written and what is in it.

    Raises:
        InputError: a network, its masks or the parameters do not fit; nothing is exported.
        GateError: a file is not what it has to be; names its variant, and leaves no file of it nor of those after it.
    """
    torch.set_num_threads(params.threads)
    dataset = load_dataset(data)
    if params.channels.images > len(dataset.train) and any(variant.source.channels for variant in variants):
        found, remedy = params.channels.images, f"Give at most {len(dataset.train)}."
        raise InputError("more than there are", field="channels.images", value=found, remedy=remedy)
    by_source: dict[Source, list[Variant]] = {}
    for variant in variants:
        by_source.setdefault(variant.source, []).append(variant)
    networks = {source: _load(source, dataset) for source in by_source}
    for variant in variants:
        for stale in (variant.out, facts_beside(variant.out)):
            stale.unlink(missing_ok=True)
    images = some_images(dataset, "validation", params.parity_images, "parity")
    for source, own in by_source.items():
        network, provenance = networks.pop(source)
        _export(network, provenance | {"licence": params.licence}, own, dataset, images, params, report)


def _export(
    network: nn.Module,
    provenance: dict[str, Any],
    variants: Sequence[Variant],
    dataset: Dataset,
    images: np.ndarray,
    params: Params,
    report: Callable[[Path, Exported], None],
) -> None:
    """One network's files."""
    variant = variants[0]
    try:
        if variant.source.channels:
            network, found = _without_channels(network, dataset, variant.source.channels, params.channels)
            provenance |= found
        plain = checked_export(network, images, opset=params.opset, threads=params.threads, provenance=provenance)
        calibration = {"calibration_images": params.calibration_images, "threads": params.threads}
        for variant in variants:
            int8 = variant.int8
            exported = checked_int8(plain, dataset, activations=int8, **calibration) if int8 else plain
            save(exported, variant.out)
            report(variant.out, exported)
    except GateError as error:
        raise GateError(f"{variant.out.stem} of {variant.source.weights} was not exported: {error}") from error


def _load(source: Source, dataset: Dataset) -> tuple[nn.Module, dict[str, Any]]:
    """(network, what its provenance says of it)."""
    network, sidecar = load_network(source.weights, source.sparsity)
    sidecar.check_data(dataset, source.weights)
    check_masks(network.model, network.masks, source.weights)
    chosen = {} if source.sparsity is None else {"parent_sparsity": source.sparsity}
    return network.model, sidecar.content() | {"parent": sha256(source.weights)} | chosen


def _without_channels(
    network: nn.Module, dataset: Dataset, fraction: float, chosen: Channels
) -> tuple[nn.Module, dict[str, Any]]:
    """(smaller network, what its provenance says of that)."""
    curvature = draw(dataset, chosen.images, "curvature", padding=chosen.padding, flip=chosen.flip, seed=0)
    made = shrink(network, fraction, curvature, dataset.split("validation"), gammas=chosen.gammas, seed=0)
    return made.model, {"channels": made.kept, "channel_fraction": fraction, "gamma": made.gamma}


def _tell(out: Path, exported: Exported) -> None:
    facts, zeros = exported.facts, exported.provenance["sparsity"]
    if cost := exported.int8:
        change = f"{cost.accuracy_before:.4f} to {cost.accuracy:.4f} (McNemar p = {cost.p:.2g})"
        click.echo(f"{out}: int8, test accuracy {change} on {cost.images} images")
        if note := int8_note(onnx.load_model_from_string(exported.content)):
            click.echo(f"{out}: {note}")
    click.echo(f"{out}: {facts.bytes} bytes, {facts.zstd_bytes} compressed, {zeros:.1%} of the weights are zero")
