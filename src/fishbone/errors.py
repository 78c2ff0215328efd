"""The tree of errors: `FishboneError` is the root of all that this package raises on purpose.

FishboneError
├── InputError              input that a person can mend; the command line ends with exit code 2
└── LinkError               one party could not ask another, or got no usable answer (`fishbone.wire.errors`)
    ├── Unreachable  ├── Late  ├── Replayed  ├── TooLarge  ├── Malformed  ├── Forbidden  └── Failed
"""


class FishboneError(Exception):
    """Root of the package's own errors."""


class InputError(FishboneError, ValueError):
    """Input that a person can mend. The message names file, field, value and remedy.

    Args:
        problem: what is wrong, in one sentence without a full stop.
        file: the file that holds the wrong value.
        field: the key, column or option.
        value: the offending value; shown with ``repr``.
        remedy: what to do about it, as a sentence.
    """

    def __init__(self, problem: str, *, file=None, field=None, value=..., remedy: str):
        place = ": ".join(str(part) for part in (file, field) if part is not None)
        shown = "" if value is ... else f" (got {value!r})"
        super().__init__(f"{place + ': ' if place else ''}{problem}{shown}. {remedy}")
