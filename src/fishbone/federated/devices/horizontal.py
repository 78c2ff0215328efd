"""A horizontal device: whole images and labels of its own samples, and the whole network."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from fishbone.errors import Malformed
from fishbone.federated.checks import diverged
from fishbone.federated.devices.data_holder import DataHolder, Kept, LocalTraining
from fishbone.federated.messages import HORIZONTAL, Diverged, Train, Update
from fishbone.wire.actor import Link
from fishbone.wire.message import Envelope


@dataclass(frozen=True, eq=False)
class HorizontalDevice(DataHolder):
    """Trains by itself when it is told to.

    Args:
        inputs: (N, C, H, W) float images of its own samples.
        labels: (N,) int64 classes of these samples.
    """

    role: ClassVar[str] = HORIZONTAL
    inputs: Tensor
    labels: Tensor

    def handle(self, state: Kept, request: Envelope, link: Link) -> tuple[Kept, Update | Diverged]:
        """Answer `Train` with the update, or with where training diverged.

        Raises:
            LinkError: the message does not fit; its class says why.
        """
        match request.message:
            case Train() as message:
                training = self.begin(state, message)
                batches = message.work.batches(self.address, message.round, len(self.labels))
                result = train_locally(training, self.inputs, self.labels, batches)
                if isinstance(result, Diverged):
                    return state, result
                memories, update = self.end(training, sum(len(epoch) for epoch in batches), result)
                return replace(state, memories=memories), update
        raise Malformed(f"{self.address} cannot answer {request.message.kind}")


def train_locally(
    training: LocalTraining, inputs: Tensor, labels: Tensor, batches: Sequence[Sequence[Tensor]]
) -> float | Diverged:
    """Train the module on whole images; mean cross-entropy of the last epoch in nats, or where it stopped.

    Args:
        training: the module, and the method that may correct its gradients.
        inputs: (N, C, H, W) float images.
        labels: (N,) int64 classes of these images.
        batches: for each epoch its mini-batches, as positions in 0 … N-1.
    """
    model, optimiser = training.module, training.optimiser()
    assert optimiser is not None  # a whole network has weights
    total = 0.0
    for number, epoch in enumerate(batches, start=1):
        total = 0.0
        for step, batch in enumerate(epoch, start=1):
            loss = F.cross_entropy(model(inputs[batch]), labels[batch])
            if stopped := diverged(training.round, number, step, "loss", loss.detach()):
                return stopped
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            training.correct()
            optimiser.step()
            total += loss.item() * len(batch)
    return total / len(labels)
