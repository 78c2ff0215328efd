import copy
import math
from dataclasses import dataclass

import pytest
import torch
from small_chain import ADAM, POLICY, SGD, SUM, Chain
from torch import nn

from fishbone.errors import Failed, Forbidden, Late, Malformed
from fishbone.nn.optimiser import Optimiser
from fishbone.split.chain import segments
from fishbone.split.messages import HELPER, Activation, Begin, Begun, Diverged, Finish, Gradient
from fishbone.split.passes import Pass
from fishbone.split.segment import Segment
from fishbone.wire.memory import Memory
from fishbone.wire.message import Envelope
from fishbone.wire.testing import Fault, Faulty

INPUT = torch.randn(4, 3, generator=torch.Generator().manual_seed(4))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


def begun(sizes=(1, 1, 1), optimiser=SGD, **kwargs):
    chain = Chain(network(), sizes, **kwargs)
    chain.begin(network().state_dict(), optimiser)
    return chain


def test_answer_is_the_loss_and_the_gradient_of_the_whole_network():
    leaf, whole = INPUT.clone().requires_grad_(), network()
    loss = whole(leaf).sum()
    loss.backward()
    answer = begun().ask(0, "judge", INPUT)
    assert answer.loss == loss.item()
    assert torch.equal(answer.value, leaf.grad)


def test_pass_that_learns_steps_every_party_and_one_that_judges_none():
    whole = network()
    whole(INPUT).sum().backward()
    torch.optim.SGD(whole.parameters(), 0.5).step()
    chain = begun()
    chain.ask(0, "judge", INPUT)
    chain.ask(1, "learn", INPUT)
    chain.ask(2, "judge", INPUT)
    weights = chain.finish()
    assert all(torch.equal(weights[name], value) for name, value in whole.state_dict().items())


def test_sessions_learn_on_copies_of_the_layers():
    chain = begun()
    learn(chain, [0])
    assert not torch.equal(chain.finish()["0.weight"], network()[0].weight)
    held = {name: value for segment in chain.parties.values() for name, value in segment.module.state_dict().items()}
    assert all(torch.equal(value, held[name]) for name, value in network().state_dict().items())


def test_party_that_nobody_asks_for_a_gradient_computes_none_and_learns_the_same():
    (segment,) = segments(network(), {"a": 3}, "u", SUM).values()
    weights, losses = [], []
    for wanted in (True, False):
        state, _ = segment.begin(segment.start(), Begin(1, 0, SGD, None, segment.module.state_dict()))
        loss, gradient = segment.run(state, 0, "learn", INPUT, None, input_gradient=wanted)
        assert (gradient is not None) == wanted
        losses.append(loss)
        weights.append(segment.finish(state, Finish(1))[1].weights)
    assert losses[0] == losses[1]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_loss_may_depend_on_the_step():
    passes = {"learn": SUM["learn"].__class__(lambda output, step: output.sum() * step, learn=False)}
    chain = begun(passes=passes)
    one, two = chain.ask(1, "learn", INPUT), chain.ask(2, "learn", INPUT)
    assert (two.loss, 2 * one.value.sum().item()) == (2 * one.loss, pytest.approx(two.value.sum().item()))


def test_only_the_party_before_may_send_activations():
    segment = segments(network(), {"a": 1, "b": 2}, "u", SUM, feeder="feeder")["b"]
    state, _ = segment.begin(segment.start(), Begin(1, 0, SGD, None, segment.module.state_dict()))
    message = Activation(0, "judge", torch.zeros(4, 5))
    with pytest.raises(Forbidden, match="activations come from a, not from c"):
        segment.handle(state, Envelope("c", "b", 0, message), None)
    assert isinstance(segment.handle(state, Envelope("a", "b", 0, message), None)[1], Gradient)


def spoil(module):
    if isinstance(module, nn.Linear):
        nn.init.constant_(module.weight, math.nan)


def loss_of(factor):
    return {"learn": Pass(lambda output, step: output.sum() * factor, learn=True)}


@pytest.mark.parametrize(
    ("sizes", "passes", "what"),
    [
        ((1, 1, 1), loss_of(math.inf), "loss"),
        ((3,), loss_of(math.inf), "loss"),
        ((1, 2), loss_of(3e38), "loss"),
    ],
)
def test_loss_that_is_not_finite_is_said_and_steps_nobody(sizes, passes, what):
    chain = begun(sizes, passes=passes)
    answer = chain.ask(0, "learn", 10 * INPUT)
    assert isinstance(answer, Diverged)
    assert answer.what == what
    assert not math.isfinite(answer.value)
    assert all(torch.equal(value, network().state_dict()[name]) for name, value in chain.finish().items())


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (0.0, torch.zeros(3, 5)),
        (0.0, torch.zeros(4, 5).double()),
        (0.0, torch.full((4, 5), math.nan)),
        (math.inf, torch.zeros(4, 5)),
    ],
    ids=["shape", "type", "not finite", "loss"],
)
def test_gradient_that_cannot_be_used_is_refused_and_steps_nobody(loss, value):
    @dataclass(frozen=True)
    class Liar:
        role: str = HELPER

        def start(self):
            return None

        def handle(self, state, request, link):
            return state, Gradient(loss, value)

    memory = Memory(POLICY)
    memory.attach("a", segments(network(), {"a": 1, "b": 2}, "u", SUM, feeder="feeder")["a"])
    memory.attach("b", Liar())
    link = memory.link("feeder", "owner")
    link.ask("a", Begin(1, 0, SGD, None, network()[:1].state_dict()))
    with pytest.raises(Malformed, match="gradient from b is no finite gradient of what it was asked with"):
        link.ask("a", Activation(0, "learn", INPUT))
    weights = link.ask("a", Finish(1)).weights
    assert all(torch.equal(value, network().state_dict()[name]) for name, value in weights.items())


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (Activation(0, "judge", INPUT), "no session is open for a pass 'judge'"),
        (Finish(1), "session 1 is not open"),
        (Begin(1, 0, SGD, None, {}), r"weights that do not fit: \[\] for \['0.bias'"),
        (Begin(1, 0, SGD, None, network().half().state_dict()), "weights that do not fit: 0.weight .*float16"),
        (
            Begin(1, 0, SGD, None, network().apply(spoil).state_dict()),
            "weights that do not fit: 0.weight is not finite",
        ),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_what_does_not_fit_the_session_is_refused(message, error):
    with pytest.raises((Failed, Malformed), match=error):
        Chain(network(), (3,)).link.ask("device0", message)


def test_unknown_pass_and_other_round_are_refused():
    chain = begun()
    with pytest.raises(Malformed, match="'dream'"):
        chain.ask(0, "dream", INPUT)
    with pytest.raises(Failed, match="session 2 is not open"):
        chain.finish(2)


def test_message_of_another_protocol_gets_no_answer():
    segment = Segment(HELPER, network(), "u", SUM, "feeder", None)
    with pytest.raises(Malformed, match="no answer to begun"):
        segment.handle(segment.start(), Envelope("feeder", "a", 0, Begun(1, 0)), None)


def learn(chain, steps):
    return [chain.ask(step, "learn", INPUT).value for step in steps]


def test_session_that_did_not_count_leaves_no_trace():
    whole, spoilt = begun(optimiser=ADAM), begun(optimiser=ADAM, carrier=faulty)
    learn(whole, range(3)), learn(spoilt, range(3))
    first = whole.finish(1)
    spoilt.finish(1)
    spoilt.begin(first, round_=2, base=1)
    learn(spoilt, [3])
    with pytest.raises(Failed):
        learn(spoilt, [4])
    whole.begin(first, round_=3, base=1), spoilt.begin(first, round_=3, base=1)
    assert all(map(torch.equal, learn(whole, range(6, 9)), learn(spoilt, range(6, 9))))
    expected, got = whole.finish(3), spoilt.finish(3)
    assert all(torch.equal(value, got[name]) for name, value in expected.items())


def faulty(policy, observers):
    return Faulty(policy, observers, faults=[Fault("raise", kind="activation", receiver="device2", after=4)])


def test_finished_session_counts_only_if_the_next_one_says_so():
    chain = begun(optimiser=ADAM)
    learn(chain, range(3))
    weights = chain.finish(1)
    kept = copy.deepcopy(chain.memory.pack())
    chain.begin(weights, round_=2, base=1)
    on = learn(chain, range(3))
    chain.memory.unpack(kept)
    chain.begin(weights, round_=2, base=0)
    fresh = learn(chain, range(3))
    assert torch.equal(on[0], fresh[0])  # the weights are the same, and the moments are not
    assert not torch.equal(on[2], fresh[2])


def test_packed_states_go_on_bit_for_bit_and_hold_no_session_under_way():
    whole, resumed = begun(optimiser=ADAM), begun(optimiser=ADAM)
    learn(whole, range(3))
    weights = whole.finish(1)
    whole.begin(weights, round_=2, base=1)
    resumed.memory.unpack(whole.memory.pack())
    with pytest.raises(Malformed, match="no session is open"):
        learn(resumed, [3])
    resumed.begin(weights, round_=2, base=1)
    assert all(map(torch.equal, learn(whole, range(3, 6)), learn(resumed, range(3, 6))))


def test_kept_sessions_are_two_at_most():
    chain, weights = begun(optimiser=ADAM), network().state_dict()
    for round_ in range(1, 5):
        chain.begin(weights, round_=round_, base=round_ - 1)
        learn(chain, [round_])
        weights = chain.finish(round_)
    assert chain.memory.pack()["device0"].values == {"rounds": [3, 4]}


def test_optimiser_is_the_one_that_the_session_began_with():
    slow, fast = begun(optimiser=Optimiser("sgd", 0.1)), begun(optimiser=Optimiser("sgd", 0.2))
    learn(slow, [0]), learn(fast, [0])
    start = network().state_dict()
    a, b = slow.finish(), fast.finish()
    for name, value in start.items():
        torch.testing.assert_close(b[name] - value, 2 * (a[name] - value))


def test_party_that_has_not_kept_a_session_says_that_it_starts_afresh():
    chain, other = begun(optimiser=ADAM), begun(optimiser=ADAM)
    learn(chain, range(3)), learn(other, range(3))
    weights = chain.finish(1)
    other.finish(1)
    chain.memory.detach("device1")
    chain.memory.attach("device1", chain.parties["device1"])
    assert [answer.base for answer in chain.begin(weights, round_=2, base=1)] == [1, 0, 1]
    chain.begin(weights, round_=2, base=0), other.begin(weights, round_=2, base=0)
    assert all(map(torch.equal, learn(chain, range(3)), learn(other, range(3))))


@pytest.mark.parametrize("purpose", ["learn", "judge"])
def test_input_that_is_not_finite_is_refused(purpose):
    chain = begun()
    with pytest.raises(Malformed, match=f"input of the pass '{purpose}' is not finite"):
        chain.ask(0, purpose, torch.full((4, 3), math.inf))
    assert all(torch.equal(value, network().state_dict()[name]) for name, value in chain.finish().items())


@pytest.mark.parametrize(
    ("sizes", "large", "size", "what"),
    [((1, 2), "0.weight", 3e38, "largest activation"), ((2, 1), "2.weight", 1e20, "largest gradient")],
)
def test_sender_looks_at_what_it_is_about_to_send(sizes, large, size, what):
    steep = Pass(lambda output, step: (output - output.detach()).sum() * 1e30, learn=False)
    seen = []
    chain = Chain(network(), sizes, {"judge": steep}, observers=[seen.append])
    weights = network().state_dict()
    weights[large] = torch.full_like(weights[large], size)
    chain.begin(weights, SGD)
    answer = chain.ask(0, "judge", 10 * INPUT.abs())
    assert isinstance(answer, Diverged)
    assert answer.what == what
    assert not math.isfinite(answer.value)
    assert all(value.isfinite().all() for envelope in seen for _, value in envelope.message.tensors())


def slow(policy, observers):
    return Faulty(policy, observers, faults=[Fault("delay", kind="activation", receiver="device2", seconds=3.0)])


@pytest.mark.parametrize(("deadline", "late"), [(None, False), (4.0, False), (2.0, True)])
def test_parties_along_the_chain_wait_no_longer_than_the_deadline_of_the_session(deadline, late):
    chain = begun(carrier=slow, deadline=deadline)
    if late:
        with pytest.raises(Late, match="answered activation too late: the deadline was 2 s"):
            chain.ask(0, "judge", INPUT)
    else:
        assert isinstance(chain.ask(0, "judge", INPUT), Gradient)
