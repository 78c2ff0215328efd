"""A party of a vertical group: its part of the group's images, and the bottom network for it.

A vertical group trains one network by split learning (Vepakomma et al. 2018, arXiv 1812.00564) over
`fishbone.split.boundary.Stage`: for a mini-batch of B shared samples each party sends its embedding (B, d), the label
holder concatenates them in party order, takes a step on the top network and returns dL/d(embedding), with which
the party takes its step. No party sees labels or another's columns; the label holder sees no pixels.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from fishbone.errors import Forbidden, Malformed, Replayed
from fishbone.federated.checks import diverged
from fishbone.federated.devices.data_holder import DataHolder, Kept, LocalTraining
from fishbone.federated.messages import (
    PARTY,
    Begin,
    Diverged,
    Done,
    Embedding,
    EmbeddingGradient,
    EmbeddingRequest,
    Finish,
    Update,
)
from fishbone.split.boundary import Stage
from fishbone.wire.actor import Link, Packed
from fishbone.wire.checks import alike
from fishbone.wire.message import Envelope, Message


@dataclass(frozen=True, eq=False)
class Session:
    """A group's training in one round, as a party has it.

    Args:
        training: the bottom network in training, and the method's view of it.
        stage: its forward and backward passes.
        batches: positions of the samples of every step.
        step: the one that is next, or under way; from 0.
        embedding: what was sent in this step and has no gradient yet.
    """

    training: LocalTraining
    stage: Stage
    batches: tuple[Tensor, ...]
    step: int = 0
    embedding: Tensor | None = None


@dataclass(frozen=True, eq=False)
class PartyState(Kept):
    """A session is there between `Begin` and `Finish`, and is not packed: a broken one starts again."""

    session: Session | None = None


@dataclass(frozen=True, eq=False)
class Party(DataHolder):
    """Embeds its part of the images for the label holder of its group, and for nobody else.

    Args:
        group: the group's id, which decides the order of samples.
        label_holder: the address of the group's label holder.
        inputs: (N, C, H, W_p) float parts of the group's images.
    """

    role: ClassVar[str] = PARTY
    group: str
    label_holder: str
    inputs: Tensor

    def start(self) -> PartyState:
        """No round yet, and no session."""
        kept = super().start()
        return PartyState(kept.module, kept.memories)

    def unpack(self, packed: Packed) -> PartyState:
        """Inverse of `pack`; a session that was under way is not kept."""
        kept = super().unpack(packed)
        return PartyState(kept.module, kept.memories)

    def handle(self, state: PartyState, request: Envelope, link: Link) -> tuple[PartyState, Message]:
        """Answer `Begin`, `EmbeddingRequest`, `EmbeddingGradient` and `Finish`.

        Raises:
            LinkError: the message does not fit the session; its class says why.
        """
        match request.message:
            case Begin() as message:
                return replace(state, session=self._session(state, message)), Done()
            case EmbeddingRequest() as message:
                session, reply = self._embed(self._expected(state, request, message), message)
                return replace(state, session=session), reply
            case EmbeddingGradient() as message:
                session = self._learn(self._expected(state, request, message), message)
                return replace(state, session=session), Done()
            case Finish() as message:
                return self._finish(state, message)
        raise Malformed(f"{self.address} cannot answer {request.message.kind}")

    def _session(self, state: PartyState, message: Begin) -> Session:
        training = self.begin(state, message)
        epochs = message.work.batches(self.group, message.round, len(self.inputs))
        stage = Stage(training.module, training.optimiser())
        return Session(training, stage, tuple(batch for epoch in epochs for batch in epoch))

    def _expected(self, state: PartyState, request: Envelope, message: EmbeddingRequest | EmbeddingGradient) -> Session:
        """The session that a message belongs to; any other would train on other samples than the labels'."""
        if request.sender != self.label_holder:
            raise Forbidden(f"{message.kind} from {request.sender}; {self.address} answers {self.label_holder}")
        session = state.session
        if session is None:
            raise Malformed(f"{self.address} has not begun; {message.kind} is of round {message.round}")
        here, there = (session.training.round, session.step), (message.round, message.step)
        if there != here:
            problem = f"{self.address} is at round {here[0]}, step {here[1]}; {message.kind} is of {there}"
            raise Replayed(problem) if there < here else Malformed(problem)
        return session

    def _embed(self, session: Session, message: EmbeddingRequest) -> tuple[Session, Embedding | Diverged]:
        if session.embedding is not None:
            raise Replayed(f"{self.address} has sent its embedding of step {session.step}")
        if session.step == len(session.batches):
            raise Malformed(f"{self.address} is at its last step, {session.step}")
        values = session.stage.forward(self.inputs[session.batches[session.step]])
        if stopped := diverged(message.round, None, message.step + 1, "embedding", values):
            return session, stopped
        return replace(session, embedding=values), Embedding(message.round, message.step, values)

    def _learn(self, session: Session, message: EmbeddingGradient) -> Session:
        if session.embedding is None:
            raise Malformed(f"{self.address} has sent no embedding of step {session.step}")
        if not alike({"": message.gradient}, {"": session.embedding}):
            raise Malformed(f"{self.address} needs a finite gradient of its embedding of step {session.step}")
        session.stage.backward(message.gradient)
        session.training.correct()
        session.stage.step()
        return replace(session, step=session.step + 1, embedding=None)

    def _finish(self, state: PartyState, message: Finish) -> tuple[PartyState, Update]:
        session = state.session
        if session is None or message.round != session.training.round:
            raise Malformed(f"{self.address} is in no session of round {message.round}")
        if session.step != len(session.batches):
            raise Malformed(f"{self.address} is at step {session.step} of {len(session.batches)}")
        memories, update = self.end(session.training, session.step, None)
        return replace(state, memories=memories, session=None), update
