import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishbone.errors import InputError
from fishbone.federated.roles import HorizontalRole, VerticalRole, assign

LABELS = np.repeat(np.arange(10), 36)


def deal(horizontal, vertical, seed=0, labels=LABELS, parties=2, **partitions):
    kinds = {"horizontal_partition": "shards-2", "vertical_partition": "iid"} | partitions
    return assign(labels, horizontal, vertical, parties=parties, seed=seed, **kinds)


@given(mix=st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(any), seed=st.integers(0, 999))
def test_members_hold_disjoint_samples_and_only_a_remainder_is_left_out(mix, seed):
    roles = deal(*mix, seed)
    held = np.concatenate([role.samples for role in roles])
    assert len(roles) == len({role.id for role in roles}) == sum(mix)
    assert len(np.unique(held)) == len(held)
    assert len(LABELS) - len(held) < 2 * mix[0] + max(mix[1], 1)


@pytest.mark.parametrize("mix", [(12, 6), (6, 12), (18, 0), (0, 18)])
def test_devices_and_groups_hold_equal_amounts(mix):
    assert {len(role.samples) for role in deal(*mix)} == {len(LABELS) // 18}


def test_devices_are_skewed_and_groups_are_not():
    roles = deal(6, 6)
    labels_held = {
        kind: np.mean([len(np.unique(LABELS[role.samples])) for role in roles if isinstance(role, kind)])
        for kind in (HorizontalRole, VerticalRole)
    }
    assert labels_held[HorizontalRole] <= 4
    assert labels_held[VerticalRole] > 8


def test_either_kind_can_be_skewed():
    roles = deal(6, 6, horizontal_partition="iid", vertical_partition="shards-1")
    assert all(len(np.unique(LABELS[role.samples])) <= 3 for role in roles if isinstance(role, VerticalRole))
    assert all(len(np.unique(LABELS[role.samples])) > 6 for role in roles if isinstance(role, HorizontalRole))


def test_a_group_is_a_label_holder_and_its_parties():
    (role,) = deal(0, 1, parties=3)
    assert role.parts == {
        "v00000/labels": "top.",
        "v00000/party0": "bottoms.0.",
        "v00000/party1": "bottoms.1.",
        "v00000/party2": "bottoms.2.",
    }


def test_pools_do_not_depend_on_the_order_of_classes_in_the_file():
    roles = deal(0, 2)
    assert all(len(np.unique(LABELS[role.samples])) == 10 for role in roles)
    horizontal = np.concatenate([role.samples for role in deal(9, 9) if isinstance(role, HorizontalRole)])
    assert len(np.unique(LABELS[horizontal])) == 10


def test_the_seed_decides_and_alone_decides():
    first, again, other = (np.concatenate([role.samples for role in deal(4, 2, seed)]) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_too_many_members_are_an_input_error():
    with pytest.raises(InputError, match="cannot fill"):
        deal(200, 2)


def test_the_seed_deals_the_samples_that_it_always_dealt():
    roles = deal(2, 2, seed=5, labels=np.arange(24) % 3, horizontal_partition="shards-1")
    assert {role.id: role.samples.tolist() for role in roles} == {
        "h00000": [4, 6, 7, 15, 19, 21],
        "h00001": [2, 8, 11, 14, 22, 23],
        "v00000": [0, 3, 5, 9, 13, 16],
        "v00001": [1, 10, 12, 17, 18, 20],
    }
