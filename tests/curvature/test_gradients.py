"""Gradient rows against dense Jacobians, and what the passes must not touch."""

import hashlib
import re

import pytest
import torch
from torch.func import functional_call, jacrev, jvp, vjp
from torch.nn import functional as F

from fishbone.curvature import gradients as module
from fishbone.curvature.gradients import Gradients, Remembered
from fishbone.curvature.layout import Layout, prunable
from fishbone.curvature.learning import fisher_product
from fishbone.curvature.likelihoods import Bernoulli, Gaussian, Softmax
from fishbone.curvature.statistics import rows
from fishbone.seeding import torch_generator


def fisher_rows(model, layout, inputs):
    return rows(model, Gradients(layout, inputs, "exact"))


def empirical_rows(model, layout, inputs, labels):
    return rows(model, Gradients(layout, inputs, "labels", targets=labels))[:, 0]


def logits_of(model, layout, inputs):
    """weights (d,) → logits."""
    return lambda weights: functional_call(model, layout.tensors(weights), (inputs,))


def dense_fisher(model, layout, inputs):
    jacobian = jacrev(logits_of(model, layout, inputs))(layout.read(model))
    p = model(inputs).softmax(1).detach()
    return torch.einsum("bcd,bce,bef->df", jacobian, torch.diag_embed(p) - p[:, :, None] * p[:, None], jacobian) / len(
        p
    )


@pytest.fixture(params=[1, 64_000_000], ids=["one image at a time", "all at once"])
def row_bytes(request, monkeypatch):
    monkeypatch.setattr(module, "ROW_BYTES", request.param)


def test_fisher_rows_make_the_exact_fisher_matrix_of_every_kind_of_layer(mixed, row_bytes):
    model, layout, inputs, _ = mixed
    rows = fisher_rows(model, layout, inputs)
    assert rows.shape == (4, 3, layout.size)
    exact = dense_fisher(model, layout, inputs)
    made = torch.einsum("bkd,bke->de", rows, rows) / 4
    assert (made - exact).abs().max() <= 1e-10 * exact.abs().max()


def test_fisher_product_of_rows_equals_jvp_then_vjp(mixed):
    model, layout, inputs, _ = mixed
    vector = torch.randn(layout.size, dtype=torch.float64)
    forward, weights = logits_of(model, layout, inputs), layout.read(model)
    logits, tangent = jvp(forward, (weights,), (vector,))
    p = logits.softmax(1)
    (expected,) = vjp(forward, weights)[1]((p * tangent - p * (p * tangent).sum(1, keepdim=True)) / 4)
    rows = fisher_rows(model, layout, inputs)
    made = fisher_product(rows[:, :, None], vector[None, None])[0, 0]
    assert (made - expected).abs().max() <= 1e-10 * expected.abs().max()


def test_sampled_labels_agree_with_the_exact_product_within_their_error(mixed):
    model, layout, inputs, _ = mixed
    vector = torch.randn(layout.size, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    many = inputs[:1].expand(4000, -1, -1, -1)
    sampled = torch.multinomial(model(many).softmax(1).detach(), 1, generator=generator)[:, 0]
    squares = (empirical_rows(model, layout, many, sampled) @ vector) ** 2
    exact = ((fisher_rows(model, layout, inputs[:1]) @ vector) ** 2).sum()
    assert abs(squares.mean() - exact) < 4 * squares.std() / len(squares) ** 0.5


def test_hessian_of_softmax_regression_is_the_fisher_matrix_whatever_the_labels():
    torch.manual_seed(0)
    model, inputs = torch.nn.Linear(3, 4, bias=False).double(), torch.randn(5, 3, dtype=torch.float64)
    layout = Layout.of(model, ("weight",))
    wrapped = torch.nn.Sequential(model)
    layout = Layout.of(wrapped, ("0.weight",))
    forward = logits_of(wrapped, layout, inputs)
    hessian = torch.func.hessian(lambda w: F.cross_entropy(forward(w), torch.tensor([0, 3, 3, 1, 0])))(
        layout.read(wrapped)
    )
    rows = fisher_rows(wrapped, layout, inputs)
    torch.testing.assert_close(torch.einsum("bkd,bke->de", rows, rows) / 5, hessian, rtol=1e-10, atol=1e-14)


def test_empirical_rows_are_the_gradients_of_each_image_alone(mixed):
    model, layout, inputs, labels = mixed
    rows = empirical_rows(model, layout, inputs, labels)
    for image in range(4):
        loss = F.cross_entropy(model(inputs[image : image + 1]), labels[image : image + 1])
        parameters = dict(model.named_parameters())
        gradients = torch.autograd.grad(loss, [parameters[name] for name in layout.names])
        torch.testing.assert_close(rows[image], torch.cat([g.flatten() for g in gradients]), rtol=1e-10, atol=1e-14)


def test_curvature_passes_leave_the_network_as_it_was_even_in_training_mode(mixed):
    model, layout, inputs, labels = mixed
    expected = fisher_rows(model, layout, inputs)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows = fisher_rows(model, layout, inputs)
    empirical_rows(model, layout, inputs, labels)
    assert torch.equal(rows, expected)  # frozen statistics, although the network was training
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_rows_of_frozen_weights_are_the_same(mixed):
    model, layout, inputs, _ = mixed
    expected = fisher_rows(model, layout, inputs)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    torch.testing.assert_close(fisher_rows(model, layout, inputs), expected, rtol=1e-12, atol=1e-15)


def test_a_weight_that_happens_to_be_zero_still_has_curvature(mixed):
    model, layout, inputs, labels = mixed
    with torch.no_grad():
        model.hidden.weight[0, 0] = 0
    place = sum(layout.sizes[: layout.names.index("hidden.weight")])
    assert empirical_rows(model, layout, inputs, labels)[:, place].abs().max() > 0


def test_remembered_curvature_is_computed_once_for_the_first_weights_only(mixed):
    model, layout, inputs, _ = mixed
    calls = []

    def compute(network):
        calls.append(1)
        return fisher_rows(network, layout, inputs)

    source = Remembered(layout, compute)
    first = source(model)
    assert source(model) is first
    with torch.no_grad():
        model.head.weight += 1
    assert not torch.equal(source(model), first)
    assert len(calls) == 2


def test_random_signs_average_to_the_fisher_matrix(mixed):
    model, layout, inputs, _ = mixed
    vector = torch.randn(layout.size, dtype=torch.float64)
    many = Gradients(layout, inputs[:1].expand(4000, -1, -1, -1), "signs")
    products = (rows(model, many)[:, 0] @ vector) ** 2
    exact = ((fisher_rows(model, layout, inputs[:1]) @ vector) ** 2).sum()
    assert abs(products.mean() - exact) < 4 * products.std() / len(products) ** 0.5
    assert many.backward == 4000


def test_a_row_of_random_signs_is_the_sum_of_the_exact_rows_with_the_signs_of_records(mixed):
    model, layout, inputs, _ = mixed
    signs = torch.randint(0, 2, (4, 3), generator=torch_generator(5, "signs")) * 2.0 - 1
    expected = torch.einsum("bk,bkd->bd", signs.double(), fisher_rows(model, layout, inputs))
    found = rows(model, Gradients(layout, inputs, "signs", seed=5))[:, 0]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)


def test_signs_of_an_image_do_not_depend_on_its_batch(mixed, monkeypatch):
    model, layout, inputs, _ = mixed
    whole = rows(model, Gradients(layout, inputs, "signs", seed=3))
    monkeypatch.setattr(module, "ROW_BYTES", 1)
    single = rows(model, Gradients(layout, inputs, "signs", seed=3))
    torch.testing.assert_close(single, whole, rtol=1e-12, atol=1e-15)
    assert not torch.equal(rows(model, Gradients(layout, inputs, "signs", seed=4)), single)


@pytest.mark.parametrize(
    ("likelihood", "targets"),
    [
        (Softmax(), torch.tensor([0, 1])),  # of three classes
        (Gaussian(0.3), torch.randn(2, 3, dtype=torch.float64)),
        (Bernoulli(), torch.rand(2, 3, dtype=torch.float64)),
    ],
    ids=["softmax", "gaussian", "bernoulli"],
)
def test_likelihoods_are_derivatives_of_their_loss(likelihood, targets):
    outputs = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(likelihood.loss(outputs, targets), outputs)
    torch.testing.assert_close(likelihood.residual(outputs, targets), gradient, rtol=1e-10, atol=1e-12)
    for image in range(2):
        one = targets[image : image + 1]
        hessian = torch.func.hessian(lambda z, y=one: likelihood.loss(z[None], y))(outputs[image].detach())
        root = likelihood.root(outputs.detach())[image]
        torch.testing.assert_close(root @ root.T, hessian, rtol=1e-10, atol=1e-12)


def test_temperature_makes_sure_images_count():
    outputs = 20 * torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.05, 0.1]], dtype=torch.float64)
    sure, unsure = Softmax().root(outputs).square().sum((1, 2))  # traces of H
    assert sure < 1e-3 < 0.1 < unsure
    tempered = Softmax(temperature=4.0).root(4 * outputs)
    torch.testing.assert_close(tempered, Softmax().root(outputs), rtol=1e-12, atol=1e-15)
    even = Softmax(temperature=1e9).root(outputs)
    whole = (torch.eye(3, dtype=torch.float64) - 1 / 3) / 3  # every logit alike, but for a common shift
    torch.testing.assert_close(even @ even.mT, whole.expand(2, 3, 3), rtol=1e-6, atol=1e-8)


def test_a_layer_that_takes_no_part_is_named(mixed):
    model, _, inputs, _ = mixed
    model.idle = torch.nn.Linear(2, 2).double()
    with pytest.raises(ValueError, match=r"idle\.weight"):
        fisher_rows(model, Layout.of(model, ("stem.weight", "idle.weight")), inputs)


def test_inputs_that_do_not_lead_with_images_are_refused_by_name():
    class Tokens(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = torch.nn.Linear(4, 4)

        def forward(self, x):
            return self.mix(x.flatten(0, 1)).view(len(x), -1)

    model, inputs = Tokens(), torch.randn(3, 5, 4)
    with pytest.raises(ValueError, match=r"mix.weight: its input \(15, 4\) has not the 3 images first"):
        rows(model, Gradients(Layout.of(model, ("mix.weight",)), inputs, "signs"))


def test_modules_kept_in_eval_mode_stay_so(mixed):
    model, layout, inputs, _ = mixed
    model.train()
    model.norm.eval()
    fisher_rows(model, layout, inputs)
    assert model.training
    assert not model.norm.training


def test_tied_and_frozen_weights_and_nothing_to_prune(mixed):
    model, *_ = mixed
    model.point.weight.requires_grad_(False)
    assert "point.weight" not in prunable(model)
    tied = torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(4)))
    tied[2].weight = tied[1].weight
    with pytest.raises(ValueError, match=r"1\.weight and 2\.weight share one weight"):
        prunable(tied)
    with pytest.raises(ValueError, match="no Conv2d or Linear layer"):
        prunable(torch.nn.Linear(3, 3))


def test_first_and_last_layer_biases_and_norms_are_not_prunable(mixed):
    model, *_ = mixed
    assert prunable(model) == ("grouped.weight", "dilated.weight", "point.weight", "hidden.weight")


def test_layout_writes_back_what_it_reads(mixed):
    model, layout, *_ = mixed
    vector = layout.read(model)
    layout.write(model, vector + 1)
    assert torch.equal(layout.read(model), vector + 1)
    assert torch.equal(layout.join(layout.blocks(vector)), vector)
    assert layout.tensors(vector)["dilated.weight"].shape == (3, 4, 3, 2)


@pytest.mark.parametrize(
    ("row_bytes", "start", "stop", "sizes"),
    [
        (None, 0, None, [100, 100, 50]),
        (None, 30, 140, [100, 10]),
        (7 * 12 * 4, 235, None, [7, 7, 1]),  # twelve weights of four bytes in the larger layer
        (7 * 12 * 4 - 1, 235, None, [6, 6, 3]),
        (1, 248, None, [1, 1]),
    ],
)
def test_a_batch_has_as_many_images_as_its_rows_have_room_for_and_at_most_a_hundred(row_bytes, start, stop, sizes):
    model, inputs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)), torch.randn(250, 4)
    gradients = Gradients(Layout.of(model, ("0.weight", "1.weight")), inputs, "exact")
    assert len(gradients) == 250
    batches = list(gradients.batches(model, start, stop, row_bytes))
    assert [len(layers[0].inputs[0]) for layers in batches] == sizes
    assert torch.equal(torch.cat([layers[0].inputs[0] for layers in batches]), inputs[start:stop])
    assert gradients.backward == 2 * sum(sizes)


def test_remembered_answers_are_kept_again_after_they_were_forgotten(mixed):
    model, layout, *_ = mixed
    answers = iter(range(9))
    source = Remembered(layout, lambda network: next(answers))
    assert [source(model), source(model)] == [0, 0]
    source.forget()
    assert [source(model), source(model)] == [1, 1]


def test_the_digest_of_a_layout_depends_on_its_weights_alone(mixed):
    model, layout, *_ = mixed
    digest = layout.digest(model)
    with torch.no_grad():
        model.stem.weight[0, 0, 0, 0] += 1
        other = layout.digest(model)
        model.stem.weight[0, 0, 0, 0] -= 1
        model.head.bias += 1
    assert other != layout.digest(model)
    layout.write(model, layout.read(model))
    restored = Layout.of(model, layout.names[1:])
    assert digest == hashlib.sha256(layout.read(model).numpy().tobytes()).hexdigest()
    assert restored.digest(model) == hashlib.sha256(restored.read(model).numpy().tobytes()).hexdigest()


def test_weights_asked_for_are_taken_in_their_order_if_they_can_be(mixed):
    model, *_ = mixed
    model.point.weight.requires_grad_(False)
    assert prunable(model, ["head.weight", "point.weight", "stem.weight"]) == (
        "head.weight", "point.weight", "stem.weight",
    )  # fmt: skip
    for names, message in {
        ("norm.weight", "head.weight", "x"): "Linear layer: norm.weight, x; there are stem.weight, grouped.weight",
        (): "at least one weight, each once, not []",
        ("head.weight", "head.weight"): "each once, not ['head.weight', 'head.weight']",
    }.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            prunable(model, names)
    torch.nn.utils.parametrizations.weight_norm(model.hidden)
    with pytest.raises(ValueError, match=r"^hidden\.weight is computed from other parameters"):
        prunable(model)
    assert prunable(model, ["head.weight"]) == ("head.weight",)
    model.dilated.weight = torch.nn.Parameter(model.grouped.weight)
    model.grouped.weight = model.dilated.weight
    for name in ("grouped.weight", "dilated.weight"):
        with pytest.raises(ValueError, match=r"^grouped\.weight and dilated\.weight share one weight"):
            prunable(model, [name])
    assert prunable(model, ["head.weight"]) == ("head.weight",)
