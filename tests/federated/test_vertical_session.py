import pytest
import torch
from fishbone.federated.simulate import in_process
from small_federation import (
    EMBEDDING,
    OPTIMISERS,
    federate,
    local_training,
    network,
    one_group,
    one_horizontal,
    rounds,
    same,
    samples,
    weights_of,
)
from torch.nn import functional as F

from fishbone.federated.devices import HorizontalDevice
from fishbone.federated.messages import Begin, EmbeddingGradient, EmbeddingRequest, Finish, Train
from fishbone.nn.two_branch import halves


def trained_whole(model, data, local, optimiser, owner, number=1):
    """The textbook loop on the whole network, in one graph with one optimiser; mean loss of the last epoch."""
    inputs, labels = data
    step = OPTIMISERS[optimiser](model.parameters())
    for epoch in local.batches(owner, number, len(labels)):
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
    data, local = samples(30), local_training(optimiser)
    federation, start = federate([one_group(30, parties)], data, local, parties)
    result = federation.round(1, start)
    whole = network(parties)
    loss = trained_whole(whole, data, local, optimiser, "v00000")
    assert same(result.weights, weights_of(whole))
    assert result.train_loss == loss
    assert not same(result.weights, start)


def test_vertical_group_equals_horizontal_device_with_the_same_samples():
    # So nothing vertical is tested by comparing mixes whose groups are IID and whose devices are not.
    data, local = samples(40), local_training()
    group, start = federate([one_group(40, name="m")], data, local)
    device, _ = federate([one_horizontal(40, name="m")], data, local)
    assert same(rounds(group, start, 3), rounds(device, start, 3))


def devices_of(transport):
    return transport._devices


@pytest.mark.parametrize("parties", [1, 2, 3])
def test_each_party_holds_its_own_columns_and_nothing_else(parties):
    inputs, labels = samples(20)
    role = one_group(20, parties)
    devices = devices_of(in_process([role], network(parties), inputs, labels, local_training()))
    for party, part in zip(role.parties, halves(inputs, parties), strict=True):
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
    data, local, role = samples(14), local_training(), one_group(14)
    federation, start = federate([role], data, local)
    transport = Recording(federation.transport)
    for device in devices_of(federation.transport).values():
        if hasattr(device, "transport"):
            device.transport = transport
    type(federation)(federation.roles, transport, federation.weighting, federation.server_rate).round(1, start)
    crossed = [message for address, message in transport.seen if address in role.parties]
    for message in crossed:
        match message:
            case Begin():
                assert len({name.split(".")[1] for name in message.weights}) == 1
            case EmbeddingGradient():
                assert message.values.shape == (7, EMBEDDING)
            case _:
                assert isinstance(message, EmbeddingRequest | Finish)
    assert sum(isinstance(message, EmbeddingGradient) for message in crossed) == 2 * 2 * 2


class Recording:
    """A transport that notes every request."""

    def __init__(self, inner):
        self.inner, self.seen = inner, []

    def request(self, address, message):
        self.seen.append((address, message))
        return self.inner.request(address, message)

    def drain_traffic(self):
        return self.inner.drain_traffic()


@pytest.mark.parametrize("stale", [(1, 1), (2, 0), (1, 2)], ids=["repeated", "early", "of another round"])
def test_a_message_out_of_turn_is_refused(stale):
    data, role = samples(14), one_group(14)
    model = network()
    transport = in_process([role], model, *data, local_training())
    party = role.parties[0]
    bottom = {name: value for name, value in weights_of(model).items() if name.startswith("bottoms.0.")}
    transport.request(party, Begin(2, bottom))
    for step in (0, 1):
        values = transport.request(party, EmbeddingRequest(2, step)).values
        transport.request(party, EmbeddingGradient(2, step, torch.ones_like(values)))
    with pytest.raises(RuntimeError, match="is at round 2, step 2"):
        transport.request(party, EmbeddingRequest(*stale))


def test_a_device_refuses_a_message_that_is_not_for_its_role():
    device = HorizontalDevice("h", network(), *samples(5), local_training())
    with pytest.raises(RuntimeError, match="h cannot answer"):
        device.handle(Finish(1))
    party = devices_of(in_process([one_group(5)], network(), *samples(5), local_training()))["v00000/party0"]
    with pytest.raises(RuntimeError, match="cannot answer"):
        party.handle(Train(1, {}))
