"""The Hub's parquet layout: a folder of ``train-*.parquet`` and ``test-*.parquet`` or ``valid*-*.parquet``.

A file has one column of ``struct{bytes, path}`` with encoded images and an integer column ``label``. A ``test`` split
is the official test split; without one the ``valid`` split is (the Hub's TinyImageNet has no labelled test images);
with both, ``valid`` belongs to the training images. Class names come from the Hub's metadata, else they are numbers.
"""

import json
import re
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fishbone.data.decode import Encoded, decoded
from fishbone.data.raw import REPLACE, RawData, Request, numbered
from fishbone.data.roots import locate
from fishbone.errors import InputError
from fishbone.files import sha256

if TYPE_CHECKING:
    import pyarrow

SHARD = re.compile(r"(train|test|val(?:id(?:ation)?)?)-(?:(\d+)-of-(\d+)|[^/]*)\.parquet")


def read(request: Request) -> RawData:
    """A folder of one's own."""
    return read_folder(locate(request), None, request.threads)


def shards(folder: Path) -> dict[str, list[Path]]:
    """The parquet files of ``train``, ``valid`` and ``test``, in order.

    Raises:
        InputError: a shard of a numbered set is missing.
    """
    found, announced = defaultdict(list), {}
    for path in sorted(folder.glob("*.parquet")):
        if match := SHARD.fullmatch(path.name):
            split = "valid" if match[1].startswith("val") else match[1]
            found[split].append(path)
            announced[split] = int(match[3] or 0)
    for split, count in announced.items():
        if count and count != len(found[split]):
            raise InputError(
                f"of {count} {split} files {len(found[split])} are there",
                file=folder,
                field=f"{split}-*.parquet",
                remedy="Add the missing ones.",
            )
    return found


def read_folder(folder: Path, class_names: tuple[str, ...] | None, threads: int) -> RawData:
    """Read and decode all images of ``folder``; ``class_names`` overrule the files' own.

    Raises:
        InputError: no training file, a damaged file or image (names the row), a label outside the classes.
    """
    found = shards(folder)
    if "train" not in found:
        raise InputError("no train-*.parquet here", file=folder, remedy="Give the folder that holds train-*.parquet.")
    held_out = next((split for split in ("test", "valid") if split in found), None)
    training: list[Encoded] = []
    test: list[Encoded] = []
    names = class_names
    for split, paths in found.items():
        for path in paths:
            table = _table(path, threads)
            (test if split == held_out else training).extend(_items(table, path))
            names = names or _class_names(table.schema)
    names = names or numbered(item.label for item in (*training, *test))
    files = {path.name: sha256(path) for paths in found.values() for path in paths}
    return decoded(training, test if held_out else None, names, files, threads)


def _table(path: Path, threads: int) -> "pyarrow.Table":
    # Here, as parameters name the sources, and need none of their libraries.
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    try:
        return read_table(path, use_threads=threads > 1)
    except (ArrowException, OSError) as error:
        raise InputError(f"cannot be read as parquet: {error}", file=path, remedy=REPLACE) from None


def _items(table: "pyarrow.Table", path: Path) -> list[Encoded]:
    from pyarrow import types  # here: see `_table`

    images = [
        field.name for field in table.schema if types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
    ]
    if len(images) != 1 or "label" not in table.column_names or not types.is_integer(table.schema.field("label").type):
        raise InputError(
            "no single column of struct{bytes, path} beside an integer column label",
            file=path,
            field="columns",
            value={field.name: str(field.type) for field in table.schema},
            remedy="Give files in the Hub's layout for image classification.",
        )
    encoded = table.column(images[0]).combine_chunks().field("bytes").to_pylist()
    labels = table.column("label").to_pylist()
    rows = enumerate(zip(encoded, labels, strict=True))
    return [Encoded(partial(bytes, data or b""), label, path, f"row {row}") for row, (data, label) in rows]


def _class_names(schema: "pyarrow.Schema") -> tuple[str, ...] | None:
    """The Hub writes a data set's features as JSON into the schema's metadata."""
    features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    names = features.get("info", {}).get("features", {}).get("label", {}).get("names")
    return tuple(names) if names else None
