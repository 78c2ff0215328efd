"""A party of a chain: consecutive layers of a network, of which no other party knows more than numbers.

A pass goes along the chain as nested questions: each party computes its layers, asks the next one with its activation,
and gets dL/d(activation) back; the last one has the output, hence the loss. On the way back each does its backward pass
and, where the pass is there to learn, a step of its optimiser. Element-wise optimisers (SGD, Adam) make one a party the
same as one for all, so training is that of the whole network bit for bit on one host.

A session that fails somewhere leaves parties at different steps. So a party's lasting state is the optimiser as of the
sessions that it has finished; all else is of the session under way and is dropped by the next `Begin`, whose ``base``
says which session counted.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fishbone.errors import Failed, Forbidden, Malformed
from fishbone.nn.dropout import key_dropout
from fishbone.nn.pack import pack, under, unpack
from fishbone.split.boundary import Stage
from fishbone.split.messages import Activation, Begin, Begun, Diverged, Finish, Gradient, Update
from fishbone.wire.actor import Link, Packed
from fishbone.wire.message import Envelope, Message

SESSION = "stage"  # what a finished session is packed under


@dataclass(frozen=True)
class Pass:
    """What a pass is for.

    Args:
        loss: of the network's output (B, …) and the step's number; a scalar.
        learn: whether parameters are stepped; else only dL/d(input) is wanted.
    """

    loss: Callable[[Tensor, int], Tensor]
    learn: bool


@dataclass(frozen=True, eq=False)
class Session:
    """The session under way: its ``round``, and the layers at work."""

    round: int
    stage: Stage


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
    """

    role: str
    module: nn.Sequential
    chain: str
    passes: Mapping[str, Pass]
    before: str | None
    after: str | None

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
                loss, gradient = self.run(state, message.step, message.purpose, message.value, link)
                return state, Diverged(loss) if gradient is None else Gradient(loss, gradient)
            case message:
                raise Malformed(f"a part of a network has no answer to {message.kind}")

    def begin(self, state: SegmentState, message: Begin) -> tuple[SegmentState, Begun]:
        """Go on from session ``base`` with these weights, whatever became of later ones."""
        if message.base not in state.finished:
            raise Failed(f"session {message.base} is not among {sorted(state.finished)}, which are kept")
        module = copy.deepcopy(self.module)
        optimiser = message.optimiser.make(module.parameters())
        finished = state.finished[message.base]
        if finished:
            unpack(SESSION, {name: tensor.clone() for name, tensor in finished.items()}, module, optimiser)
        try:
            module.load_state_dict(message.weights)
        except RuntimeError as error:
            raise Malformed(f"weights that do not fit: {error}") from None
        session = Session(message.round, Stage(module, optimiser))
        return SegmentState({message.base: finished}, session), Begun(message.round)

    def run(
        self,
        state: SegmentState,
        step: int,
        purpose: str,
        received: Tensor,
        link: Link,
        input_gradient: bool = True,
    ) -> tuple[float, Tensor | None]:
        """One pass from here on to the end of the chain and back.

        Args:
            state: its session is at work.
            step: the step's number, which keys the masks of dropout.
            purpose: a key of ``passes``: what the pass is for.
            received: (B, …), the input of these layers.
            link: reaches the next party.
            input_gradient: False where nobody asks for dL/d(received).

        Returns:
            (loss, dL/d(received) or None); None also where the loss is not finite, and then nothing was stepped.
        """
        if state.session is None or purpose not in self.passes:
            raise Malformed(f"no session is open for a pass {purpose!r}")
        stage, learn, tag = state.session.stage, self.passes[purpose].learn, f"{step} {purpose}"
        key_dropout(stage.module, self.chain, tag)
        output = stage.forward(received, tag, input_gradient)
        if self.after is None:
            loss, gradient = judge(self.passes[purpose], step, output)
        else:
            loss, gradient = ask(link, self.after, Activation(step, purpose, output))
        if gradient is None:
            return loss, None
        returned = stage.backward(gradient, tag, weight_gradients=learn)
        if learn:
            stage.step()
        return loss, returned

    def finish(self, state: SegmentState, message: Finish) -> tuple[SegmentState, Update]:
        """The session counts here; whether it does for the whole chain, the next `Begin` says."""
        session = state.session
        if session is None or session.round != message.round:
            raise Failed(f"session {message.round} is not open")
        module = session.stage.module
        now = {name: tensor.clone() for name, tensor in pack(SESSION, module, session.stage.optimiser).items()}
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


def judge(what: Pass, step: int, output: Tensor) -> tuple[float, Tensor | None]:
    """(loss, dL/d(output)) of the network's output; None in place of the gradient of a loss that is not finite."""
    leaf = output.detach().requires_grad_()
    loss = what.loss(leaf, step)
    if not math.isfinite(loss.item()):
        return loss.item(), None
    torch.autograd.backward(loss)
    return loss.item(), leaf.grad


def ask(link: Link, address: str, activation: Activation) -> tuple[float, Tensor | None]:
    """(loss, dL/d(activation)) as the party there says; None in place of the gradient where it says `Diverged`.

    Raises:
        LinkError: no usable answer.
    """
    match link.ask(address, activation):
        case Diverged(loss=loss):
            return loss, None
        case Gradient(loss=loss, value=value) if fits(value, activation.value):
            return loss, value
        case answer:
            raise Malformed(f"{answer.kind} from {address} is no gradient of what it was asked with")


def fits(tensor: Tensor, other: Tensor) -> bool:
    """Whether both have one shape and one type."""
    return (tensor.shape, tensor.dtype) == (other.shape, other.dtype)
