"""What comes of running the agent on a device: a measurement, or a status that says how it failed."""

from dataclasses import dataclass

from pydantic import ValidationError

from fishbone.bench import agent
from fishbone.bench.results import Limits, Measurement, Status
from fishbone.errors import FishboneError

GRACE_SECONDS = 30


@dataclass(frozen=True)
class Outcome:
    """How a run of the agent ended.

    ``measurement`` is None unless ``status`` is ok; ``limits``: of a constrained device, as they took effect.
    """

    status: Status
    message: str | None = None
    measurement: Measurement | None = None
    limits: Limits | None = None


class DeviceError(FishboneError):
    """The way to a measurement ended here. ``outcome``: what a result says of it.

    Args:
        status: how it ended, in a word.
        message: what to do about it.
    """

    def __init__(self, status: Status, message: str):
        super().__init__(message)
        self.outcome = Outcome(status, message)


def understand(output: str) -> Outcome:
    """The agent's output → its measurement, if it is exactly one document of the schema between sentinel lines."""
    _before, begin, rest = output.partition(agent.BEGIN + "\n")
    document, end, after = rest.partition("\n" + agent.END)
    if not (begin and end) or agent.BEGIN in after:
        return Outcome("garbage_output", "no single document between the sentinel lines")
    try:
        return Outcome("ok", measurement=Measurement.model_validate_json(document))
    except ValidationError as error:
        first = error.errors()[0]
        return Outcome("garbage_output", f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
