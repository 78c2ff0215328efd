"""Rounds, one after the other, from which a killed run goes on.

A round goes on without members whose training diverged or that failed; a study does not: it would record a result of
other members than it says.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from fishbone.errors import Failed, FishboneError
from fishbone.federated.counts import Counts
from fishbone.federated.methods.protocol import ServerState, Tensors
from fishbone.federated.rounds import Federation, diverged
from fishbone.nn.divergence import require_finite
from fishbone.nn.pack import under
from fishbone.wire.actor import Packed


class FederatedTraining:
    """`fishbone.nn.loop.Work` in rounds.

    Args:
        federation: whose rounds are the steps.
        weights: the global network before the first round.
        validate: weights → ``{"loss", "accuracy"}`` on held-out data.
    """

    def __init__(self, federation: Federation, weights: Tensors, validate: Callable[[Tensors], dict[str, float]]):
        self.federation, self.validate = federation, validate
        self.state = federation.start(weights)
        self.counts = Counts()

    def step(self, number: int) -> dict[str, Any]:
        """One round; its row has losses, accuracy and the bytes so far.

        Raises:
            InputError: training diverged, be it of one member.
            FishboneError: a member failed, or no member is left.
        """
        result = self.federation.round(number, self.state)
        if stopped := diverged(result.errors, self.federation.field):
            raise stopped
        for member, error in result.errors.items():
            if error.status == Failed.status:
                raise FishboneError(f"round {number}: {member} failed: {error}")
        held = self.validate(result.state.weights)
        require_finite(held["loss"], "the validation loss", f"round {number}", field=self.federation.field)
        self.state, self.counts = result.state, self.counts + result.counts
        return {
            "train_loss": result.train_loss,
            "validation_loss": held["loss"],
            "validation_accuracy": held["accuracy"],
            "bytes": self.counts.bytes_horizontal + self.counts.bytes_vertical,
        }

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights, the method's memory at the server, and what every party keeps."""
        packed = sorted(self.federation.engine.parties.pack().items())
        groups: dict[str, Mapping[str, Tensor]] = {"weights": self.state.weights, "memory": self.state.memory}
        groups |= {f"party{index}": party.tensors for index, (_, party) in enumerate(packed)}
        tensors = {f"{group}/{name}": value for group, held in groups.items() for name, value in held.items()}
        parties = [[address, dict(party.values)] for address, party in packed]
        return tensors, {"counts": asdict(self.counts), "counted": dict(self.state.counted), "parties": parties}

    def unpack(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Inverse of `pack`."""
        self.state = ServerState(under("weights/", tensors), under("memory/", tensors), values["counted"])
        self.counts = Counts(**values["counts"])
        self.federation.engine.parties.unpack(
            {
                address: Packed(under(f"party{index}/", tensors), known)
                for index, (address, known) in enumerate(values["parties"])
            }
        )
