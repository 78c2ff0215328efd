"""Gradient rows against dense Jacobians, and what the passes must not touch."""

import torch
from torch.func import functional_call, jacrev, jvp, vjp
from torch.nn import functional as F

from fishbone.curvature.layout import Layout, prunable
from fishbone.curvature.learning import fisher_product
from fishbone.curvature.rows import RememberedRows, empirical_rows, fisher_rows


def logits_of(model, layout, inputs):
    """weights (d,) → logits."""
    return lambda weights: functional_call(model, layout.tensors(weights), (inputs,))


def dense_fisher(model, layout, inputs):
    jacobian = jacrev(logits_of(model, layout, inputs))(layout.read(model))
    p = model(inputs).softmax(1).detach()
    return torch.einsum("bcd,bce,bef->df", jacobian, torch.diag_embed(p) - p[:, :, None] * p[:, None], jacobian) / len(
        p
    )


def test_fisher_rows_make_the_exact_fisher_matrix_of_every_kind_of_layer(mixed):
    model, layout, inputs, _ = mixed
    rows = fisher_rows(model, layout, inputs, batch=3)
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
    squares = (empirical_rows(model, layout, many, sampled, batch=1000) @ vector) ** 2
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
    rows = empirical_rows(model, layout, inputs, labels, batch=3)
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


def test_remembered_rows_are_computed_once_for_the_first_weights_only(mixed):
    model, layout, inputs, _ = mixed
    calls = []

    def rows(network):
        calls.append(1)
        return fisher_rows(network, layout, inputs)

    source = RememberedRows(layout, rows)
    first = source(model)
    assert source(model) is first
    with torch.no_grad():
        model.head.weight += 1
    assert not torch.equal(source(model), first)
    assert len(calls) == 2


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
