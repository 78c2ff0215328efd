import torch
from wire_parties import Answer, Note

from fishbone.wire.message import Envelope
from fishbone.wire.traffic import Key, Traffic


def counted():
    traffic = Traffic()
    for sender, receiver, message in [
        ("a", "w", Answer(torch.zeros(3))),
        ("a", "w", Answer(torch.zeros(2))),
        ("w", "a", Answer(torch.zeros(1, dtype=torch.float64))),
        ("a", "w", Note(1)),
    ]:
        traffic(Envelope(sender, receiver, 0, message))
    return traffic


def test_bytes_are_counted_by_link_and_kind():
    assert counted().bytes == {("a", "w", "answer"): 20, ("w", "a", "answer"): 8, ("a", "w", "note"): 0}
    assert Traffic().bytes == {}


def test_a_total_is_of_what_is_wanted():
    traffic = counted()
    assert traffic.total() == 28
    assert traffic.total(lambda key: key.sender == "w") == 8
    assert traffic.total(lambda key: key.receiver == "w") == 20
    assert traffic.total(lambda key: key.kind == "note") == 0


def test_counting_goes_on_from_a_checkpoint_and_leaves_it_alone():
    saved = {("a", "w", "note"): 5}
    traffic = Traffic(saved)
    traffic(Envelope("a", "w", 0, Answer(torch.zeros(1))))
    assert traffic.total(lambda key: key.kind == "note") == 5
    assert traffic.bytes == {Key("a", "w", "note"): 5, Key("a", "w", "answer"): 4}
    assert saved == {("a", "w", "note"): 5}


def test_what_was_taken_is_counted_no_more():
    traffic = counted()
    assert sum(traffic.take().values()) == 28
    assert traffic.take() == {}
    traffic(Envelope("a", "w", 0, Answer(torch.zeros(1))))
    assert traffic.take() == {("a", "w", "answer"): 4}
