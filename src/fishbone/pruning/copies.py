"""The networks on the way of a trajectory, kept until all of them are tested: a resumed run needs them."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from fishbone.nn.checkpoint import Checkpoint, read_checked, write_checked
from fishbone.pruning.operation import Operation
from fishbone.pruning.trajectory import Saved, saved


@dataclass(frozen=True)
class Copies:
    """The network at each of ``sparsities``, a file each in ``folder``."""

    folder: Path
    sparsities: Sequence[float]

    def keep(self, operation: Operation, sparsity: float) -> None:
        """Write weights and mask, if the sparsity is one of those to keep."""
        if sparsity in self.sparsities:
            write_checked(self._file(sparsity), operation.model.state_dict() | {"mask": operation.mask}, {})

    def restore(self, network: nn.Module, sparsity: float) -> Tensor:
        """Put the weights into ``network``; the mask, (d,) boolean.

        Raises:
            InputError: the copy is damaged.
        """
        state, _ = read_checked(self._file(sparsity))
        mask = state.pop("mask")
        network.load_state_dict(state)
        return mask

    def resumed(self, progress: Checkpoint, steps: Sequence[float]) -> Saved | None:
        """What the checkpoint of `fishbone.pruning.trajectory.follow` along ``steps`` tells.

        It is of no use, and removed, without the copies made so far.
        """
        found = saved(progress)
        if found is None:
            return None
        made = steps[: found.steps]
        if all(self._file(sparsity).exists() for sparsity in made if sparsity in self.sparsities):
            return found
        progress.remove()
        return None

    def remove(self) -> None:
        shutil.rmtree(self.folder)

    def _file(self, sparsity: float) -> Path:
        return self.folder / f"{sparsity}.safetensors"
