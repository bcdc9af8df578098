"""Optimizers on parameters: the updates of their twins, their slots, and what they refuse."""

import naive
import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.optimizers import SGD, Adam, Optimizer
from sparsecpu.sparse.dense_parameter import Parameter, Table
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern


def sparse(rng, nnz=40):
    parameter = SparseParameter(Pattern.random((12, 9), nnz, rng), rng.standard_normal(nnz), float)
    parameter.grad[:] = rng.standard_normal(nnz)
    return parameter


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_the_plain_one(momentum, nesterov, rng):
    parameter, v = sparse(rng), np.zeros(40)
    w, g = parameter.data.copy(), parameter.grad.copy()
    optimizer = SGD(momentum, nesterov=nesterov, weight_decay=0.1)
    for step in range(3):
        parameter.grad[:] = g
        w, v = naive.sgd(w, g, v, 0.2, momentum, 0.1, nesterov)
        optimizer.step([parameter], 0.2, step)
    np.testing.assert_allclose(parameter.data, w, rtol=1e-12)
    assert set(parameter.slots) == ({"momentum"} if momentum else set())
    assert optimizer.momentum_slot == ("momentum" if momentum else None)
    assert optimizer.slots_per_weight == len(parameter.slots)
    assert (optimizer.history_decay, optimizer.gradient_weight) == (momentum, 1.0)


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_is_the_plain_one(decoupled, rng):
    parameter, m, v = sparse(rng), np.zeros(40), np.zeros(40)
    w, g = parameter.data.copy(), parameter.grad.copy()
    optimizer = Adam(0.8, 0.95, epsilon=1e-3, weight_decay=0.1, decoupled=decoupled)
    for step in range(3):
        w, m, v = naive.adam(w, g, m, v, 0.2, 0.8, 0.95, 1e-3, 0.1, decoupled, step)
        optimizer.step([parameter], 0.2, step)
    np.testing.assert_allclose(parameter.data, w, rtol=1e-12)
    np.testing.assert_allclose(parameter.slots["first_moment"], m, rtol=1e-12)
    np.testing.assert_allclose(parameter.slots["second_moment"], v, rtol=1e-12)
    assert optimizer.momentum_slot == "first_moment"
    assert optimizer.slots_per_weight == len(parameter.slots)
    assert optimizer.history_decay == 0.8
    assert optimizer.gradient_weight == pytest.approx(0.2)


def test_epsilon_hat_is_added_before_the_correction(rng):
    """As Kingma and Ba write the efficient form, and scikit-learn has it."""
    parameter, m, v = sparse(rng), np.zeros(40), np.zeros(40)
    w, g = parameter.data.copy(), parameter.grad.copy()
    optimizer = Adam(0.8, 0.95, epsilon=1e-2, epsilon_hat=True)
    for step in range(3):
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
        rate = 0.2 * np.sqrt(1 - 0.95 ** (step + 1)) / (1 - 0.8 ** (step + 1))
        w = w - rate * m / (np.sqrt(v) + 1e-2)
        optimizer.step([parameter], 0.2, step)
    np.testing.assert_allclose(parameter.data, w, rtol=1e-12)


@pytest.mark.parametrize("optimizer", [SGD(0.9, weight_decay=0.5), Adam(weight_decay=0.5)])
def test_biases_do_not_decay_and_transposed_weights_follow(optimizer, rng):
    weight, bias = sparse(rng), Parameter([1.0, 2.0], float)
    weight.grad[:] = 0
    before = weight.data.copy()
    optimizer.step([weight, bias], 0.1, 0)
    assert (np.abs(weight.data) < np.abs(before)).all()
    assert bias.data.tolist() == [1, 2]
    np.testing.assert_array_equal(
        weight.transposed_data, weight.data[weight.pattern.transposed.perm]
    )


def test_adamw_is_torchs_with_its_groups_of_parameters(rng):
    """Matrices decay, sparse ones and tables; biases and the scales of norms do not."""
    torch = pytest.importorskip("torch")
    ours = [sparse(rng), Table(rng.standard_normal((5, 6)), float), Parameter(np.ones(6), float)]
    theirs = [torch.tensor(p.data.copy(), requires_grad=True) for p in ours]
    groups = [
        {"params": theirs[:2], "weight_decay": 0.1},
        {"params": theirs[2:], "weight_decay": 0},
    ]
    adamw = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), eps=1e-8)
    optimizer = Adam(0.9, 0.95, weight_decay=0.1)
    for step in range(20):
        rate = 1e-2 / (step + 1)
        for group in adamw.param_groups:
            group["lr"] = rate
        for parameter, other in zip(ours, theirs, strict=True):
            parameter.grad = rng.standard_normal(parameter.nnz)
            other.grad = torch.tensor(parameter.grad.copy())
        norm = torch.nn.utils.clip_grad_norm_(theirs, 3.0)
        optimizer.step(ours, rate, step, min(1.0, 3.0 / float(norm + 1e-6)))  # as it divides
        adamw.step()
    for parameter, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(parameter.data, other.detach().numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("optimizer", [SGD(0.9, weight_decay=0.1), Adam(weight_decay=0.1)])
def test_part_by_part_is_all_at_once(optimizer, rng):
    whole = sparse(rng)
    parts = SparseParameter(whole.pattern, whole.data, float)
    optimizer.step([whole], 0.1, 0)
    for places in (slice(0, 15), slice(15, 40)):
        optimizer.apply(parts, places, whole.grad[places].copy(), 0.1, 0)
    np.testing.assert_array_equal(parts.data, whole.data)
    for name, slot in whole.slots.items():
        np.testing.assert_array_equal(parts.slots[name], slot)
    np.testing.assert_array_equal(parts.transposed_data, whole.transposed_data)


@pytest.mark.parametrize(
    ("made", "argument"),
    [
        (lambda: SGD(-0.1), "momentum"),
        (lambda: SGD(1.0), "momentum"),
        (lambda: SGD(weight_decay=-1e-9), "weight_decay"),
        (lambda: Adam(-0.1), "beta1"),
        (lambda: Adam(1.0), "beta1"),
        (lambda: Adam(0.9, -0.1), "beta2"),
        (lambda: Adam(0.9, 1.0), "beta2"),
        (lambda: Adam(epsilon=0.0), "epsilon"),
        (lambda: Adam(weight_decay=-1e-9), "weight_decay"),
    ],
)
def test_arguments_out_of_range(made, argument):
    with pytest.raises(ParameterError, match=argument):
        made()


def test_bounds_that_are_allowed():
    assert SGD(0.0, weight_decay=0.0).weight_decay == 0
    assert SGD().nesterov
    assert (SGD().momentum, SGD().weight_decay, Adam().weight_decay) == (0.9, 0, 0)
    assert (Adam(0.0, 0.0).beta1, Adam().beta2, Adam().epsilon) == (0, 0.999, 1e-8)
    assert Adam().decoupled
    assert not Adam().epsilon_hat


def test_an_optimizer_that_says_nothing_of_it_has_no_momentum():
    plain = Optimizer()
    assert (plain.momentum_slot, plain.history_decay, plain.gradient_weight) == (None, 0, 1)
