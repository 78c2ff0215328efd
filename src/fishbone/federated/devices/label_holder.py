"""The label holder of a vertical group: the labels and the top network; it leads the group's session.

See `fishbone.federated.devices.party` for what a session is.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from fishbone.errors import Malformed
from fishbone.federated.checks import diverged
from fishbone.federated.devices.data_holder import DataHolder, Kept, LocalTraining
from fishbone.federated.messages import (
    LABEL_HOLDER,
    Diverged,
    Done,
    Embedding,
    EmbeddingGradient,
    EmbeddingRequest,
    Train,
    Update,
)
from fishbone.split.boundary import Stage
from fishbone.wire.actor import Link
from fishbone.wire.checks import alike, of_kind
from fishbone.wire.deadline import Deadline, Within
from fishbone.wire.message import Envelope, Message

Ask = Callable[[str, Message], Message]


@dataclass(frozen=True, eq=False)
class LabelHolder(DataHolder):
    """Asks its parties for embeddings, step by step, and sends their gradients.

    Args:
        group: the group's id, which decides the order of samples.
        labels: (N,) classes of the group's samples.
        parties: their addresses, in the order of the image's parts.
        embeddings: for each party the shape of one image's embedding; they are concatenated along its first axis.
        clock: the time in seconds, for the group's deadline.
    """

    role: ClassVar[str] = LABEL_HOLDER
    group: str
    labels: Tensor
    parties: tuple[str, ...]
    embeddings: tuple[tuple[int, ...], ...]
    clock: Callable[[], float]

    def handle(self, state: Kept, request: Envelope, link: Link) -> tuple[Kept, Update | Diverged]:
        """Answer `Train`: lead the group's session, step by step.

        Raises:
            LinkError: the message does not fit, or a party gave no usable answer.
        """
        match request.message:
            case Train() as message:
                training = self.begin(state, message)
                batches = message.work.batches(self.group, message.round, len(self.labels))
                result = self._lead(training, batches, link)
                if isinstance(result, Diverged):
                    return state, result
                memories, update = self.end(training, sum(len(epoch) for epoch in batches), result)
                return replace(state, memories=memories), update
        raise Malformed(f"{self.address} cannot answer {request.message.kind}")

    def _lead(self, training: LocalTraining, batches: list[tuple[Tensor, ...]], link: Link) -> float | Diverged:
        """Mean loss of the last epoch in nats, as `train_locally` has it for whole images."""
        ask = Within(link, Deadline(training.local.work.deadline, self.clock)).ask
        stage = Stage(training.module, training.optimiser())
        step, total = 0, 0.0
        for epoch in batches:
            total = 0.0
            for batch in epoch:
                loss = self._step(training, stage, step, self.labels[batch], ask)
                if isinstance(loss, Diverged):
                    return loss
                total += loss * len(batch)
                step += 1
        return total / len(self.labels)

    def _step(self, training: LocalTraining, stage: Stage, step: int, target: Tensor, ask: Ask) -> float | Diverged:
        round_ = training.round
        embeddings = []
        for party, shape in zip(self.parties, self.embeddings, strict=True):
            reply = ask(party, EmbeddingRequest(round_, step))
            if isinstance(reply, Diverged):
                return Diverged(round_, None, step + 1, reply.what, reply.value)
            embeddings.append(_values(reply, party, round_, step, torch.empty(len(target), *shape)))
        logits = stage.forward(torch.cat(embeddings, dim=1)).requires_grad_()
        loss = F.cross_entropy(logits, target)
        if stopped := diverged(round_, None, step + 1, "loss", loss.detach()):
            return stopped
        gradient = stage.backward(torch.autograd.grad(loss, logits)[0])
        assert gradient is not None  # it was asked for
        if stopped := diverged(round_, None, step + 1, "gradient", gradient):
            return stopped
        parts = gradient.split([part.shape[1] for part in embeddings], dim=1)
        for party, part in zip(self.parties, parts, strict=True):
            of_kind(ask(party, EmbeddingGradient(round_, step, part.contiguous())), Done, party)
        training.correct()
        stage.step()
        return loss.item()


def _values(reply: Message, party: str, round_: int, step: int, pattern: Tensor) -> Tensor:
    """The embedding, known to be the one that was asked for."""
    found = of_kind(reply, Embedding, party)
    if (found.round, found.step) != (round_, step):
        raise Malformed(f"{party} sent its embedding of round {found.round}, step {found.step}, not {round_}, {step}")
    if not alike({"": found.embedding}, {"": pattern}):
        shape = tuple(found.embedding.shape)
        raise Malformed(f"{party} sent an embedding {shape}, or not finite; {tuple(pattern.shape)} was asked for")
    return found.embedding
