import pytest
import torch
from fishbone.split.wire import Route, Wire

ROUTE = Route("activation", "a", "b")


def test_only_listed_routes_carry():
    wire = Wire([ROUTE])
    for other in (("gradient", "a", "b"), ("activation", "b", "a"), ("activation", "a", "c")):
        with pytest.raises(RuntimeError, match="may go"):
            wire.send(*other, torch.ones(1))
    assert not wire.traffic


def test_receiver_gets_an_equal_copy_without_graph():
    payload = torch.randn(3, 2, requires_grad=True)
    received = Wire([ROUTE]).send("activation", "a", "b", payload)
    assert torch.equal(received, payload)
    assert not received.requires_grad
    received.zero_()
    assert payload.detach().abs().sum() > 0


def test_traffic_counts_payload_bytes_of_any_type():
    wire = Wire([ROUTE])
    wire.send("activation", "a", "b", torch.zeros(3, 2))
    wire.send("activation", "a", "b", torch.zeros(5, dtype=torch.bfloat16))
    assert wire.traffic == {ROUTE: 24 + 10}


def test_observer_sees_the_message_and_can_stop_it():
    seen = []

    def refuse(message):
        seen.append((message.route, message.tag, message.payload.tolist()))
        raise RuntimeError("stopped")

    wire = Wire([ROUTE], refuse)
    with pytest.raises(RuntimeError, match="stopped"):
        wire.send("activation", "a", "b", torch.ones(2), "7 learn")
    assert seen == [(ROUTE, "7 learn", [1.0, 1.0])]
    assert not wire.traffic
