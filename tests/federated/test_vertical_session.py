import pytest
import torch
from small_federation import (
    EMBEDDING,
    OPTIMISERS,
    federate,
    local_work,
    network,
    one_group,
    one_horizontal,
    rounds,
    same,
    samples,
    weights_of,
)
from torch.nn import functional as F

from fishbone.errors import Forbidden, Malformed, Replayed
from fishbone.federated.engines.in_process import in_process
from fishbone.federated.messages import (
    SERVER,
    Begin,
    Done,
    EmbeddingGradient,
    EmbeddingRequest,
    Finish,
    NamedMethod,
    Train,
)
from fishbone.nn.two_branch import columns
from fishbone.wire.memory import Memory


def trained_whole(model, data, work, optimiser, owner, number=1):
    """The textbook loop on the whole network, in one graph with one optimiser; mean loss of the last epoch."""
    inputs, labels = data
    step = OPTIMISERS[optimiser].make(model.parameters())
    for epoch in work.batches(owner, number, len(labels)):
        losses = []
        for batch in epoch:
            step.zero_grad()
            loss = F.cross_entropy(model(inputs[batch]), labels[batch])
            loss.backward()
            step.step()
            losses.append(loss.item() * len(batch))
    return sum(losses) / len(labels)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("parties", [1, 2, 3, 4])
def test_split_training_equals_whole_bit_for_bit(parties, optimiser):
    data, work = samples(30), local_work(optimiser)
    federation, start = federate([one_group(30, parties)], data, work, parties)
    result = federation.round(1, start)
    whole = network(parties)
    loss = trained_whole(whole, data, work, optimiser, "v00000")
    assert same(result.state.weights, weights_of(whole))
    assert result.train_loss == loss
    assert not same(result.state.weights, start.weights)


def test_vertical_group_equals_horizontal_device_with_the_same_samples():
    # So nothing vertical is tested by comparing mixes whose groups are IID and whose devices are not.
    data, work = samples(40), local_work()
    group, start = federate([one_group(40, name="m")], data, work)
    device, _ = federate([one_horizontal(40, name="m")], data, work)
    assert same(rounds(group, start, 3), rounds(device, start, 3))


class Noted(Memory):
    """A carrier that notes its actors."""

    def __init__(self, policy, observers=()):
        super().__init__(policy, observers)
        self.actors = {}

    def attach(self, address, actor):
        self.actors[address] = actor
        super().attach(address, actor)


@pytest.mark.parametrize("parties", [1, 2, 3])
def test_each_party_holds_its_own_columns_and_nothing_else(parties):
    inputs, labels = samples(20)
    role = one_group(20, parties)
    devices = in_process([role], network(parties), inputs, labels, carrier=Noted).parties.actors
    for party, part in zip(role.parties, columns(inputs, parties), strict=True):
        held = devices[party].inputs
        assert torch.equal(held, part)
        assert held.untyped_storage().nbytes() == part.numel() * 4
        assert not hasattr(devices[party], "labels")
    holder = devices[role.label_holder]
    assert torch.equal(holder.labels, labels)
    assert not any(
        tensor.shape[-1:] == inputs.shape[-1:] for tensor in vars(holder).values() if torch.is_tensor(tensor)
    )
    held = sum(sum(p.numel() for p in devices[at].module.parameters()) for at in role.parts)
    assert held == sum(p.numel() for p in network(parties).parameters())


def test_only_embeddings_gradients_and_own_weights_cross():
    data, work, role = samples(14), local_work(), one_group(14)
    seen = []
    federation, start = federate(
        [role], data, work, carrier=lambda policy, observers: Memory(policy, [*observers, seen.append])
    )
    federation.round(1, start)
    crossed = [envelope.message for envelope in seen if envelope.receiver in role.parties]
    for message in crossed:
        match message:
            case Begin():
                assert len({name.split(".")[1] for name in message.weights}) == 1
            case EmbeddingGradient():
                assert message.gradient.shape == (7, EMBEDDING)
            case _:
                assert isinstance(message, EmbeddingRequest | Finish)
    assert sum(isinstance(message, EmbeddingGradient) for message in crossed) == 2 * 2 * 2


PLAIN = NamedMethod("fedavg", {})
PARTY, HOLDER = "v00000/party0", "v00000/labels"


@pytest.fixture
def asked():
    """(ask as somebody, the weights of party 0): a group of 14 samples, two steps an epoch, two epochs."""
    memory = in_process([one_group(14), one_group(14, name="v00001")], network(), *samples(14)).parties
    bottom = {name: value for name, value in weights_of(network()).items() if name.startswith("bottoms.0.")}
    return lambda sender, message: memory.ask(sender, PARTY, message, None), bottom


def learn(ask, round_, step):
    embedding = ask(HOLDER, EmbeddingRequest(round_, step)).embedding
    return ask(HOLDER, EmbeddingGradient(round_, step, torch.ones_like(embedding)))


@pytest.mark.parametrize(
    ("other", "error"),
    [((1, 1), Replayed), ((2, 0), Replayed), ((1, 2), Replayed), ((2, 3), Malformed), ((3, 2), Malformed)],
    ids=["of another round and step", "repeated", "of another round", "too early", "of a later round"],
)
def test_a_message_out_of_turn_is_refused(asked, other, error):
    ask, bottom = asked
    ask(SERVER, Begin(2, 0, bottom, {}, local_work(), PLAIN))
    for step in (0, 1):
        assert isinstance(learn(ask, 2, step), Done)
    with pytest.raises(error, match="is at round 2, step 2"):
        ask(HOLDER, EmbeddingRequest(*other))
    assert isinstance(learn(ask, 2, 2), Done)  # the session goes on


def test_within_a_step_embedding_and_gradient_take_turns(asked):
    ask, bottom = asked
    with pytest.raises(Malformed, match="has not begun"):
        ask(HOLDER, EmbeddingRequest(1, 0))
    ask(SERVER, Begin(1, 0, bottom, {}, local_work(), PLAIN))
    with pytest.raises(Malformed, match="has sent no embedding of step 0"):
        ask(HOLDER, EmbeddingGradient(1, 0, torch.ones(7, EMBEDDING)))
    ask(HOLDER, EmbeddingRequest(1, 0))
    with pytest.raises(Replayed, match="has sent its embedding of step 0"):
        ask(HOLDER, EmbeddingRequest(1, 0))


@pytest.mark.parametrize(
    "gradient",
    [torch.ones(7, EMBEDDING + 1), torch.ones(6, EMBEDDING), torch.ones(7, EMBEDDING).double(),
     torch.full((7, EMBEDDING), torch.nan)],
    ids=["wider", "fewer", "float64", "nan"],
)  # fmt: skip
def test_a_gradient_that_is_not_the_embeddings_is_refused(asked, gradient):
    ask, bottom = asked
    ask(SERVER, Begin(1, 0, bottom, {}, local_work(), PLAIN))
    ask(HOLDER, EmbeddingRequest(1, 0))
    with pytest.raises(Malformed, match="needs a finite gradient"):
        ask(HOLDER, EmbeddingGradient(1, 0, gradient))


def test_a_party_answers_its_own_label_holder_only(asked):
    ask, bottom = asked
    ask(SERVER, Begin(1, 0, bottom, {}, local_work(), PLAIN))
    with pytest.raises(Forbidden, match=r"v00001/labels; v00000/party0 answers v00000/labels"):
        ask("v00001/labels", EmbeddingRequest(1, 0))
    with pytest.raises(Forbidden):
        ask(SERVER, EmbeddingRequest(1, 0))


def test_a_session_ends_after_its_last_step_and_not_before(asked):
    ask, bottom = asked
    with pytest.raises(Malformed, match="in no session of round 1"):
        ask(SERVER, Finish(1))
    ask(SERVER, Begin(1, 0, bottom, {}, local_work(epochs=1), PLAIN))
    with pytest.raises(Malformed, match="at step 0 of 2"):
        ask(SERVER, Finish(1))
    learn(ask, 1, 0)
    learn(ask, 1, 1)
    with pytest.raises(Malformed, match="at its last step, 2"):
        ask(HOLDER, EmbeddingRequest(1, 2))
    with pytest.raises(Malformed, match="in no session of round 2"):
        ask(SERVER, Finish(2))
    update = ask(SERVER, Finish(1))
    assert update.weights.keys() == bottom.keys()
    assert (update.round, update.loss) == (1, None)


@pytest.mark.parametrize(
    "change",
    [lambda w: w[:1], lambda w: w.double(), lambda w: w * torch.nan],
    ids=["shape", "type", "nan"],
)
def test_weights_that_are_not_the_partys_are_refused(asked, change):
    ask, bottom = asked
    with pytest.raises(Malformed, match="other weights than v00000/party0"):
        ask(SERVER, Begin(1, 0, {name: change(value) for name, value in bottom.items()}, {}, local_work(), PLAIN))
    with pytest.raises(Malformed, match="other weights"):
        ask(SERVER, Begin(1, 0, {}, {}, local_work(), PLAIN))


@pytest.mark.parametrize("counted", [-1, 2, 3])
def test_a_round_that_counted_lies_before_the_one_that_begins(asked, counted):
    ask, bottom = asked
    with pytest.raises(Malformed, match=f"begin of round 2 says that round {counted} counted"):
        ask(SERVER, Begin(2, counted, bottom, {}, local_work(), PLAIN))


def test_a_message_for_another_role_is_forbidden(asked):
    ask, bottom = asked
    with pytest.raises(Forbidden):
        ask(SERVER, Train(1, 0, bottom, {}, local_work(), PLAIN))
