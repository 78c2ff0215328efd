"""The one loop of long work: step by step, a row of history a step, a checkpoint after each.

A killed run goes on from its last finished step to the bit-identical end.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Tensor

from fishbone.nn.checkpoint import Checkpoint


class Work(Protocol):
    """Work in steps that knows how to put itself into tensors and JSON."""

    def step(self, number: int) -> dict[str, Any]:
        """Do step ``number``, from 1, and give its row of history without the column ``step``.

        Raises:
            InputError: it cannot go on; no checkpoint of that step is written.
        """

    def pack(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
        """Everything that the next step depends on: (tensors, JSON)."""

    def unpack(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Inverse of `pack`."""


def resume(
    work: Work, steps: int, checkpoint: Checkpoint, report: Callable[[dict[str, Any]], None]
) -> list[dict[str, Any]]:
    """Do what is left of ``steps`` steps, after those that the checkpoint holds.

    Args:
        work: new; it is brought to where the checkpoint is.
        steps: how many the whole work has, those of the checkpoint among them.
        checkpoint: resumed from, and written after every step.
        report: called with each new row, once the checkpoint holds it.

    Returns:
        A row a step: ``step``, and what `Work.step` gives, in its order.

    Raises:
        InputError: a step cannot go on, and the checkpoint is that of the step before; the checkpoint is damaged, or
            another process works on it.
    """
    history: list[dict[str, Any]] = []
    if (saved := checkpoint.load()) is not None:
        tensors, state = saved
        work.unpack(tensors, state["work"])
        history = state["history"]
    for number in range(len(history) + 1, steps + 1):
        history.append({"step": number, **work.step(number)})
        packed, values = work.pack()
        checkpoint.save(packed, {"work": values, "history": history})
        report(history[-1])
    return history
