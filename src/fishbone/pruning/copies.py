"""The networks on the way of a trajectory, kept until all of them are tested: a resumed run needs them."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from fishbone.nn.checkpoint import Checkpoint, read_checked, write_checked
from fishbone.pruning.pruner import Pruner
from fishbone.pruning.trajectory import Saved, saved


@dataclass(frozen=True)
class Copies:
    """Files of the network at some of a trajectory's sparsities.

    Attributes:
        folder: where they are; one file a sparsity.
        sparsities: those that a file is wanted of.
    """

    folder: Path
    sparsities: Sequence[float]

    def save(self, pruner: Pruner, sparsity: float) -> None:
        """Write the pruner's network and mask to a file, if the sparsity is one of those wanted."""
        if sparsity in self.sparsities:
            write_checked(self._file(sparsity), pruner.model.state_dict() | {"mask": pruner.mask}, {})

    def restore(self, network: nn.Module, sparsity: float) -> Tensor:
        """Put the weights saved at ``sparsity`` into ``network``, and return their mask, (d,) boolean.

        Raises:
            InputError: the copy is damaged.
        """
        state, _ = read_checked(self._file(sparsity))
        mask = state.pop("mask")
        network.load_state_dict(state)
        return mask

    def resumed(self, progress: Checkpoint, steps: Sequence[float]) -> Saved | None:
        """Return what the checkpoint of `fishbone.pruning.trajectory.follow` along ``steps`` tells; None: nothing.

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
        """Remove all copies and their folder."""
        shutil.rmtree(self.folder)

    def _file(self, sparsity: float) -> Path:
        return self.folder / f"{sparsity}.safetensors"
