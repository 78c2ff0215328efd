"""One job of the stage `prepare`: one data set."""

from pathlib import Path
from typing import Any

from fishbone.data.dataset import load_dataset, save_dataset, summary
from fishbone.data.raw import Request
from fishbone.data.sources import read
from fishbone.data.splits import split
from fishbone.errors import InputError
from fishbone.files import try_output, write_json
from fishbone.stages.prepare.params import Located, Named, Params


def run(dataset: str, params: Params, roots: tuple[str, ...], out: Path) -> dict[str, Any]:
    """Read, check, split and write ``out``, and a summary beside it.

    Args:
        dataset: which of the sources in ``params``.
        params: the sources, and how to split them.
        roots: folders or mirror URLs, in the order in which they are searched for raw files.
        out: the ``.npz`` to write; ``.json`` goes beside it.

    Returns:
        The summary.

    Raises:
        InputError: there is no such source, ``out`` cannot be written, or raw files are missing or wrong.
    """
    source = _source(dataset, params, out)
    try_output(out)
    origin = _convert(source, params, roots, out)
    facts = summary(load_dataset(out)) | origin
    write_json(out.with_suffix(".json"), facts)
    return facts


def _convert(source: Named | Located, params: Params, roots: tuple[str, ...], out: Path) -> dict[str, Any]:
    """Write ``out`` and tell where its images come from; large sources leave memory on return."""
    raw = read(Request(source.kind, getattr(source, "path", None), roots, params.threads))
    arrays = split(raw, seed=params.seed, validation=params.validation, test=params.test)
    save_dataset(out, **arrays, class_names=raw.class_names)
    return {"source": source.kind, "official_test": raw.test is not None, "files": raw.files}


def _source(dataset: str, params: Params, out: Path) -> Named | Located:
    if dataset not in params.sources:
        raise InputError(
            "no such data set",
            file="--params",
            field="sources",
            value=dataset,
            remedy=f"Choose one of {', '.join(params.sources)}, or add it there.",
        )
    if out.suffix != ".npz":
        raise InputError("not an .npz file", field="--out", value=str(out), remedy="Let its name end in .npz.")
    return params.sources[dataset]
