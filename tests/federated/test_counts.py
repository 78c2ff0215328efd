from small_federation import one_group, one_horizontal

from fishbone.federated.counts import Counts, count
from fishbone.wire.traffic import Key

ROLES = [one_horizontal(5), one_group(5)]


def test_traffic_is_told_apart_by_who_takes_part_and_what_it_is():
    traffic = {
        Key("server", "h00000", "train"): 1,
        Key("h00000", "server", "update"): 2,
        Key("server", "v00000/labels", "train"): 10,
        Key("v00000/party0", "server", "update"): 20,
        Key("v00000/labels", "v00000/party0", "embedding_request"): 40,
        Key("v00000/party0", "v00000/labels", "embedding"): 100,
        Key("v00000/labels", "v00000/party1", "embedding_gradient"): 200,
    }
    left_out = {"h00000": "late", "v00000": "late"}
    assert count(traffic, ROLES, left_out) == Counts(3, 70, 300, {"late": 2})


def test_where_nothing_crossed_nothing_is_counted():
    assert count({}, ROLES, {}) == Counts() == Counts(0, 0, 0, {})
