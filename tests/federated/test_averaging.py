from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fishbone.federated.methods.fedavg import moved
from fishbone.federated.methods.protocol import Answers, Trained
from fishbone.federated.roles import HorizontalRole, vertical_role
from fishbone.federated.weightings import by_samples, class_half
from fishbone.nn.averages import weighted_mean

members = st.tuples(st.integers(0, 20), st.integers(0, 20)).filter(any)
models = st.integers(1, 8).flatmap(
    lambda count: st.lists(
        st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=count, max_size=count
    )
)


def roles(horizontal, vertical, sizes=lambda i: 5):
    return [HorizontalRole(f"h{i:05d}", np.arange(sizes(i))) for i in range(horizontal)] + [
        vertical_role(f"v{j:05d}", np.arange(sizes(horizontal + j)), 2) for j in range(vertical)
    ]


def parts(vectors, shares):
    return {
        f"h{i:05d}": (share, {"w": torch.tensor(vector)})
        for i, (vector, share) in enumerate(zip(vectors, shares, strict=True))
    }


@given(members=members, rule=st.sampled_from([class_half, by_samples]))
def test_weights_of_all_members_add_up_to_one(members, rule):
    shares = rule(roles(*members, sizes=lambda i: 1 + i % 7))
    assert len(shares) == sum(members)
    assert sum(shares.values()) == 1


@pytest.mark.parametrize(("mix", "h", "v"), [((12, 6), 24, 12), ((6, 12), 12, 24), ((18, 0), 18, None)])
def test_class_half_weights_are_those_of_the_letter(mix, h, v):
    shares = class_half(roles(*mix))
    assert shares["h00000"] == Fraction(1, h)
    assert v is None or shares["v00000"] == Fraction(1, v)


def test_sample_weights_are_shares_of_the_samples():
    shares = by_samples(roles(2, 1, sizes=lambda i: [10, 20, 50][i]))
    assert list(shares.values()) == [Fraction(1, 8), Fraction(1, 4), Fraction(5, 8)]


@given(vector=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=5), members=members)
def test_identical_models_aggregate_to_themselves(vector, members):
    shares = class_half(roles(*members)).values()
    before = {"w": torch.zeros(len(vector))}
    after = moved(before, weighted_mean(parts([vector] * sum(members), shares)), 1.0)
    assert torch.equal(after["w"], torch.tensor(vector))


@given(vectors=models)
def test_the_mean_lies_between_the_models(vectors):
    shares = class_half(roles(len(vectors), 0)).values()
    stacked = torch.tensor(vectors)
    mean = moved({"w": stacked[0]}, weighted_mean(parts(vectors, shares)), 1.0)["w"]
    assert (stacked.amin(0) <= mean).all()
    assert (mean <= stacked.amax(0)).all()


@given(vectors=models, data=st.data())
def test_order_of_arrival_does_not_change_a_bit(vectors, data):
    arrived = parts(vectors, class_half(roles(len(vectors), 0)).values())
    shuffled = dict(data.draw(st.permutations(list(arrived.items()))))
    assert torch.equal(weighted_mean(arrived)["w"], weighted_mean(shuffled)["w"])


def test_sums_are_taken_in_float64():
    # 1e8 swallows the 1 in float32.
    thirds = [Fraction(1, 3)] * 3
    mean = weighted_mean(parts([[1e8], [3.0], [-1e8]], thirds))["w"]
    assert mean.item() == pytest.approx(1.0, abs=1e-7)


def test_server_rate_moves_part_of_the_way():
    step = moved({"w": torch.tensor([1.0])}, {"w": torch.tensor([4.0], dtype=torch.float64)}, 1 / 3)
    assert step["w"].dtype == torch.float32
    assert step["w"].item() == 2.0


def test_answers_of_a_round_are_averaged_with_their_shares():
    def trained(weight, sent_beside, loss):
        return Trained({"w": torch.tensor([weight])}, {"w": torch.tensor([sent_beside])}, loss)

    shares = {"h00001": Fraction(1, 4), "h00000": Fraction(3, 4)}
    answers = Answers(3, shares, {"h00001": trained(8.0, 0.0, 4.0), "h00000": trained(4.0, 2.0, 1.0)})
    assert answers.mean()["w"].tolist() == [5.0]
    assert answers.mean_beside()["w"].tolist() == [1.5]
    assert answers.mean_loss() == 1.75
