"""The tree of errors: `FishboneError` is the root of all that this package raises on purpose.

FishboneError
├── InputError               input that a person can mend: a file, a field, an option; also a ValueError
├── ArgumentError            an argument of a function that it cannot take; also a ValueError
├── StageError               a stage of a cut network was asked out of turn; also a RuntimeError
├── LinkError                one party could not ask another, or got no usable answer
│   ├── Unreachable          nobody answers at the address
│   ├── Late                 the deadline is over
│   ├── Replayed             the message has been there before
│   ├── TooLarge             the frame is longer than the receiver takes
│   ├── Malformed            the frame is no message, or answers something else
│   ├── Rejected             the answer has the right form and a content that cannot be used
│   ├── DivergedError        the other party's training came to a number that is not finite
│   ├── Forbidden            the policy does not let this message pass
│   └── Failed               the other party could not do what it was asked for
├── GateError                an exported file is not what it has to be (`fishbone.export`)
├── UnknownCountError        a number cannot be told from an ONNX file (`fishbone.export`)
├── UnsupportedGraphError    the sparse runtime has not what the graph asks for (`fishbone.sparse`); also a ValueError
├── DeviceError              a device cannot measure; its `outcome` has a status (`fishbone.bench`)
├── NoRuntimeError           onnxruntime-web cannot be had (`fishbone.bench`)
└── RawImageFound            a training image was about to leave its owner (`fishbone.privacy`)

The command line says any of them in one line, and ends with exit code 2 after an `InputError`, else with 1.
Errors without a room are defined here, the others in their room.
"""

from typing import ClassVar

__all__ = [
    "ArgumentError",
    "DivergedError",
    "Failed",
    "FishboneError",
    "Forbidden",
    "InputError",
    "Late",
    "LinkError",
    "Malformed",
    "Rejected",
    "Replayed",
    "StageError",
    "TooLarge",
    "Unreachable",
]


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

    Examples:
        >>> print(InputError("should be above 0", file="params.yaml", field="train.batch", value=-1, remedy="Give 32."))
        params.yaml: train.batch: should be above 0 (got -1). Give 32.
    """

    def __init__(self, problem: str, *, file: object = None, field: object = None, value: object = ..., remedy: str):
        place = ": ".join(str(part) for part in (file, field) if part is not None)
        shown = "" if value is ... else f" (got {value!r})"
        super().__init__(f"{place + ': ' if place else ''}{problem}{shown}. {remedy}")


class ArgumentError(FishboneError, ValueError):
    """An argument that a function cannot take. The message names it, and what it should be."""


class StageError(FishboneError, RuntimeError):
    """A stage of a cut network was asked out of turn: for a pass that was not begun, or not ended, or is another."""


class LinkError(FishboneError):
    """No usable answer from the other party. ``status`` is the word under which rounds count it."""

    status: ClassVar[str] = "failed"


class Unreachable(LinkError):
    """Nobody answers at this address."""

    status = "unreachable"


class Late(LinkError):
    """The answer had not come when the deadline was over."""

    status = "late"


class Replayed(LinkError):
    """The message, or one that was sent after it, has been there before."""

    status = "replayed"


class TooLarge(LinkError):
    """The frame, or something in it, is larger than the receiver takes."""

    status = "too_large"


class Malformed(LinkError):
    """The frame is no message, or not one that answers what was asked."""

    status = "malformed"


class Rejected(LinkError):
    """The answer has the right form, and a content that cannot be used, such as weights that are not finite."""

    status = "rejected"


class DivergedError(LinkError):
    """The other party's training came to a number that is not finite: a loss, an embedding, a gradient."""

    status = "diverged"


class Forbidden(LinkError):
    """The policy does not let this sender send this kind of message to this receiver."""

    status = "forbidden"


class Failed(LinkError):
    """The other party took the message and could not do what it asks for."""

    status = "failed"
