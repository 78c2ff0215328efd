"""The devices: what each one holds and how it answers.

A vertical group trains one network by split learning (Vepakomma et al. 2018, arXiv 1812.00564) over
`fishbone.split.boundary.Stage`: for a mini-batch of B shared samples each party sends its embedding (B, d), the label
holder concatenates them in party order, takes a step on the top network and returns dL/d(embedding), with which
the party takes its step. No party sees labels or another's columns; the label holder sees no pixels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fishbone.federated.local import LocalTraining, train_locally
from fishbone.federated.messages import (
    Begin,
    Done,
    Embedding,
    EmbeddingGradient,
    EmbeddingRequest,
    Finish,
    Message,
    Train,
    Update,
)
from fishbone.federated.transport import Transport
from fishbone.nn.divergence import require_finite
from fishbone.split.boundary import Stage


class _Device:
    """A module whose weights have the global names that start with ``prefix``."""

    def __init__(self, address: str, module: nn.Module, prefix: str):
        self.address, self.module, self.prefix = address, module, prefix

    def _load(self, weights: dict[str, Tensor]) -> None:
        self.module.load_state_dict({name.removeprefix(self.prefix): value for name, value in weights.items()})

    def _update(self, round_: int, loss: float | None) -> Update:
        weights = {self.prefix + name: value.clone() for name, value in self.module.state_dict().items()}
        return Update(self.address, round_, weights, loss)


class HorizontalDevice(_Device):
    """Whole images (N, C, H, W) and labels (N,) of its own samples."""

    def __init__(self, address: str, module: nn.Module, inputs: Tensor, labels: Tensor, local: LocalTraining):
        super().__init__(address, module, "")
        self.inputs, self.labels, self.local = inputs, labels, local

    def handle(self, message: Message) -> Message:
        match message:
            case Train():
                self._load(message.weights)
                loss = train_locally(self.module, self.inputs, self.labels, self.local, self.address, message.round)
                return self._update(message.round, loss)
        raise RuntimeError(f"{self.address} cannot answer {message}")


class Party(_Device):
    """One part (N, C, H, W_p) of the group's images, and the bottom network for it."""

    def __init__(self, address: str, group: str, module: nn.Module, prefix: str, inputs: Tensor, local: LocalTraining):
        super().__init__(address, module, prefix)
        self.group, self.inputs, self.local = group, inputs, local

    def handle(self, message: Message) -> Message:
        match message:
            case Begin():
                self._begin(message)
                return Done()
            case EmbeddingRequest():
                self._expect(message)
                values = self._stage.forward(self.inputs[self._batches[message.step]])
                return Embedding(message.round, message.step, values)
            case EmbeddingGradient():
                self._expect(message)
                self._stage.backward(message.values)
                self._stage.step()
                self._step += 1
                return Done()
            case Finish():
                return self._update(message.round, None)
        raise RuntimeError(f"{self.address} cannot answer {message}")

    def _begin(self, message: Begin) -> None:
        self._load(message.weights)
        self._stage = Stage(self.module, self.local.optimiser(self.module.parameters()))
        epochs = self.local.batches(self.group, message.round, len(self.inputs))
        self._batches = [batch for epoch in epochs for batch in epoch]
        self._round, self._step = message.round, 0

    def _expect(self, message: EmbeddingRequest | EmbeddingGradient) -> None:
        """Refuse late, repeated and reordered messages: they would train on other samples than the labels'."""
        if (message.round, message.step) != (self._round, self._step):
            raise RuntimeError(
                f"{self.address} is at round {self._round}, step {self._step}; "
                f"{type(message).__name__} is for round {message.round}, step {message.step}"
            )


class LabelHolder(_Device):
    """The labels (N,) of the group's samples, and the top network; leads the group's session."""

    def __init__(
        self,
        address: str,
        group: str,
        module: nn.Module,
        labels: Tensor,
        local: LocalTraining,
        parties: tuple[str, ...],
        transport: Transport,
    ):
        super().__init__(address, module, "top.")
        self.group, self.labels, self.local = group, labels, local
        self.parties, self.transport = parties, transport

    def handle(self, message: Message) -> Message:
        match message:
            case Train():
                self._load(message.weights)
                return self._update(message.round, self._session(message.round))
        raise RuntimeError(f"{self.address} cannot answer {message}")

    def _session(self, round_: int) -> float:
        """Mean loss of the last epoch in nats, as `train_locally` has it for whole images."""
        stage = Stage(self.module, self.local.optimiser(self.module.parameters()))
        step, total = 0, 0.0
        for epoch in self.local.batches(self.group, round_, len(self.labels)):
            total = 0.0
            for batch in epoch:
                total += self._train_step(stage, round_, step, self.labels[batch]) * len(batch)
                step += 1
        return total / len(self.labels)

    def _train_step(self, stage: Stage, round_: int, step: int, target: Tensor) -> float:
        request = EmbeddingRequest(round_, step)
        embeddings = [self.transport.request(party, request).values for party in self.parties]
        logits = stage.forward(torch.cat(embeddings, dim=1)).requires_grad_()
        loss = F.cross_entropy(logits, target)
        place = f"round {round_}, {self.group}, local step {step + 1}"
        require_finite(loss.item(), "the loss", place, field=self.local.field)
        loss.backward()
        gradients = stage.backward(logits.grad).split([part.shape[1] for part in embeddings], dim=1)
        for party, gradient in zip(self.parties, gradients, strict=True):
            self.transport.request(party, EmbeddingGradient(round_, step, gradient.contiguous()))
        stage.step()
        return loss.item()
