"""A table for two readers: CSV with plain numbers, and cells with units for people.

A value is text, a `Named`, a number, an `Interval` over seeds (in CSV three columns: ``key``, ``key_low``,
``key_high``) or None, which is "not measured".
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fishbone.files import replacing
from fishbone.report.intervals import Interval
from fishbone.report.labels import Named

Value = str | Named | float | Interval | None
Kind = Literal["text", "name", "count", "percent", "number", "bytes", "ms", "times"]
SCALES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Doubtful(Interval):
    """An interval that is not to be compared with others; people see ``doubt`` behind it, in CSV its row's status."""

    doubt: str


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: its heading in CSV, and its key in rows.
        label: its heading for people.
        kind: ``name`` columns hold methods and networks, ``percent`` fractions, ``ms`` milliseconds, ``times`` ratios.
    """

    key: str
    label: str
    kind: Kind = "number"


@dataclass(frozen=True)
class Table:
    """Columns, and rows that map their keys to values; a missing key is None."""

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Value]]

    def filled(self) -> "Table":
        """Without the columns that no row has a value for."""
        kept = [column for column in self.columns if any(row.get(column.key) is not None for row in self.rows)]
        return Table(kept, self.rows)

    def cells(self) -> list[list[str]]:
        """Rows as people read them."""
        return [[show(row.get(column.key), column.kind) for column in self.columns] for row in self.rows]

    def write_csv(self, path: Path) -> None:
        """Write it as CSV; an interval takes three columns: the value and both ends."""
        wide = {c.key for c in self.columns if any(isinstance(row.get(c.key), Interval) for row in self.rows)}
        with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(
                name
                for column in self.columns
                for name in (
                    [f"{column.key}{end}" for end in ("", "_low", "_high")] if column.key in wide else [column.key]
                )
            )
            for row in self.rows:
                writer.writerow(
                    plain for column in self.columns for plain in _plain(row.get(column.key), column.key in wide)
                )


def show(value: Value, kind: Kind) -> str:
    """A value for people, with its unit; an interval as ``mean [low, high]``.

    Args:
        value: what the cell holds.
        kind: what the cell's column holds.
    """
    match value:
        case None:
            return "–"
        case str():
            return value
        case Named(_, label):
            return label
        case Doubtful(mean, low, high, n, doubt):
            return f"{show(Interval(mean, low, high, n), kind)} ({doubt})"
        case Interval(mean, low, high) if low is not None and high is not None:
            number, unit = _split(mean, kind)
            return f"{number}{unit} [{_split(low, kind)[0]}, {_split(high, kind)[0]}]"
        case Interval(mean):
            return show(mean, kind)
        case _:
            return "".join(_split(value, kind))


def _split(value: float, kind: Kind) -> tuple[str, str]:
    """(digits, unit)."""
    match kind:
        case "percent":
            return f"{100 * value:.1f}", " %"
        case "count":
            return f"{value:,.0f}", ""
        case "bytes":
            scale, prefix = next(((s, p) for s, p in SCALES if abs(value) >= s), (1, ""))
            return f"{value / scale:.3g}", f" {prefix}B"
        case "ms":
            return f"{value:.3f}", " ms"
        case "times":
            return f"{value:.2f}", "×"
        case _:
            return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}", ""


def _plain(value: Value, wide: bool) -> list[Value]:
    match value:
        case Interval(mean, low, high):
            return [mean, low, high]
        case Named(name, _):
            return _plain(name, wide)
        case None:
            return [None] * (3 if wide else 1)
        case _:
            return [value, None, None] if wide else [value]
