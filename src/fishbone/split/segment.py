"""A party of a chain: consecutive layers of a network, of which no other party knows more than numbers.

A pass goes along the chain as nested questions: each party computes its layers, asks the next one with its activation,
and gets dL/d(activation) back; the last one has the output, hence the loss. On the way back each does its backward pass
and, where the pass is there to learn, a step of its optimiser. Element-wise optimisers (SGD, Adam) make one a party the
same as one for all, so training is that of the whole network bit for bit on one host.

What is not finite never steps anybody: who is sent it refuses it, and who made it says `Diverged` in its place.

A session that fails somewhere leaves parties at different steps. So a party's lasting state is the optimiser as of the
sessions that it has finished; all else is of the session under way and is dropped by the next `Begin`, whose ``base``
says which session counted.
"""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from fishbone.errors import Failed, Forbidden, Malformed
from fishbone.nn.dropout import key_dropout
from fishbone.nn.pack import pack, under, unpack
from fishbone.split.boundary import Stage
from fishbone.split.messages import Activation, Begin, Begun, Diverged, Finish, Gradient, Update
from fishbone.split.passes import Pass, Passed, ask, asked_for, diverged, judge
from fishbone.wire.actor import Link, Packed
from fishbone.wire.checks import difference, finite
from fishbone.wire.deadline import Deadline, Within
from fishbone.wire.message import Envelope, Message

SESSION = "stage"  # what a finished session is packed under


@dataclass(frozen=True, eq=False)
class Session:
    """The session under way: its ``round``, the layers at work, and the ``deadline`` of each question in seconds."""

    round: int
    stage: Stage
    deadline: float | None


@dataclass(frozen=True, eq=False)
class SegmentState:
    """``finished``: round → weights and optimiser after it, for the last two rounds at most; 0 has none."""

    finished: Mapping[int, Mapping[str, Tensor]]
    session: Session | None = None


@dataclass(frozen=True, eq=False)
class Segment:
    """An actor that holds consecutive layers.

    Args:
        role: what the policy calls it.
        module: the layers; every session works on a copy.
        chain: the chain's name, which keys the masks of dropout, as the pass does.
        passes: what each pass is for, by its purpose.
        before: address of the party that may ask it with activations; None for the first one.
        after: address of the party that it asks; None for the last one, which computes the loss.
        clock: the time in seconds, for deadlines.
    """

    role: str
    module: nn.Sequential
    chain: str
    passes: Mapping[str, Pass]
    before: str | None
    after: str | None
    clock: Callable[[], float] = time.monotonic

    def start(self) -> SegmentState:
        """No session was finished."""
        return SegmentState({0: {}})

    def handle(self, state: SegmentState, request: Envelope, link: Link) -> tuple[SegmentState, Message]:
        """Answer `Begin`, `Activation` and `Finish`.

        Raises:
            LinkError: the message does not fit the session, or the next party gave no usable answer.
        """
        match request.message:
            case Begin() as message:
                return self.begin(state, message)
            case Finish() as message:
                return self.finish(state, message)
            case Activation() as message:
                if request.sender != self.before:
                    raise Forbidden(f"activations come from {self.before}, not from {request.sender}")
                link = self.within(state, link)
                found = self.run(state, message.step, message.purpose, message.value, link)
                return state, found if isinstance(found, Diverged) else Gradient(found[0], asked_for(found))
            case message:
                raise Malformed(f"a part of a network has no answer to {message.kind}")

    def begin(self, state: SegmentState, message: Begin) -> tuple[SegmentState, Begun]:
        """Go on from session ``base`` with these weights, whatever became of later ones; afresh if it is not known."""
        module = copy.deepcopy(self.module)
        if problem := difference(message.weights, module.state_dict()):
            raise Malformed(f"weights that do not fit: {problem}")
        optimiser = message.optimiser.make(module.parameters())
        base = message.base if message.base in state.finished else 0
        finished = state.finished.get(base, {})
        if finished:
            unpack(SESSION, {name: tensor.clone() for name, tensor in finished.items()}, module, optimiser)
        module.load_state_dict(message.weights)
        session = Session(message.round, Stage(module, optimiser), message.deadline)
        return SegmentState({base: finished}, session), Begun(message.round, base)

    def within(self, state: SegmentState, link: Link) -> Link:
        """The link for all that is asked from now on to answer one question."""
        return Within(link, Deadline(state.session.deadline if state.session else None, self.clock))

    def run(
        self,
        state: SegmentState,
        step: int,
        purpose: str,
        received: Tensor,
        link: Link,
        input_gradient: bool = True,
    ) -> Passed | Diverged:
        """One pass from here on to the end of the chain and back.

        Args:
            state: its session is at work.
            step: the step's number, which keys the masks of dropout.
            purpose: a key of ``passes``: what the pass is for.
            received: (B, …), the input of these layers.
            link: reaches the next party.
            input_gradient: False where nobody asks for dL/d(received).

        Returns:
            What came of it; where this party found that something is not finite, it has not stepped.

        Raises:
            LinkError: no session is open for this pass, the input is not finite, or there was no usable answer.
        """
        if state.session is None or purpose not in self.passes:
            raise Malformed(f"no session is open for a pass {purpose!r}")
        if not finite(received):
            raise Malformed(f"the input of the pass {purpose!r} is not finite")
        stage, learn, tag = state.session.stage, self.passes[purpose].learn, f"{step} {purpose}"
        key_dropout(stage.module, self.chain, tag)
        output = stage.forward(received, tag, input_gradient)
        if self.after is None:
            answer = judge(self.passes[purpose], step, output)
        else:
            answer = diverged("largest activation", output) or ask(link, self.after, Activation(step, purpose, output))
        if isinstance(answer, Diverged):
            return answer
        returned = stage.backward(answer.value, tag, weight_gradients=learn)
        if returned is not None and (stopped := diverged("largest gradient", returned)):
            return stopped
        if learn:
            stage.step()
        return answer.loss, returned

    def finish(self, state: SegmentState, message: Finish) -> tuple[SegmentState, Update]:
        """The session counts here; whether it does for the whole chain, the next `Begin` says."""
        session = state.session
        if session is None or session.round != message.round:
            raise Failed(f"session {message.round} is not open")
        module = session.stage.module
        now = pack(SESSION, module, session.stage.optimiser)
        finished = {**state.finished, session.round: now}
        return SegmentState(finished), Update(session.round, under(f"{SESSION}/module/", now))

    def pack(self, state: SegmentState) -> Packed:
        """The finished sessions; one that is under way does not last."""
        tensors = {
            f"{round_}/{name}": tensor for round_, packed in state.finished.items() for name, tensor in packed.items()
        }
        return Packed(tensors, {"rounds": list(state.finished)})

    def unpack(self, packed: Packed) -> SegmentState:
        """Inverse of `pack`."""
        return SegmentState({round_: under(f"{round_}/", packed.tensors) for round_ in packed.values["rounds"]})
