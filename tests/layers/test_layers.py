import naive
import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.layers import (
    GELU,
    KINDS,
    AllReLU,
    BatchNorm,
    Dropout,
    Flatten,
    Identity,
    LeakyReLU,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    SparseLinear,
    Tanh,
)
from sparsecpu.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from sparsecpu.sparse import pattern as csr
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace

F64 = {"dtype": np.float64}


def central_differences(network, x, y, loss, name, k, train, step=1e-6):
    parameter = network.parameters()[name]
    values = []
    for sign in (1, -1):
        parameter.data[k] += sign * step
        if isinstance(parameter, SparseParameter):
            parameter.touch()
        values.append(network.loss_and_gradients(x, y, loss, train=train)[0])
        parameter.data[k] -= sign * step
    if isinstance(parameter, SparseParameter):
        parameter.touch()
    return (values[0] - values[1]) / (2 * step)


def check_gradients(network, x, y, loss, rng, train=True):
    # Biases away from 0: a unit without inputs would sit on the kink of a ReLU.
    for name, parameter in network.parameters().items():
        if name.endswith("bias"):
            parameter.data[:] = rng.uniform(0.05, 0.2, parameter.nnz) * rng.choice([-1, 1])
    _, gradients = network.loss_and_gradients(x, y, loss, train=train)
    checked = 0
    for name, gradient in gradients.items():
        for k in rng.permutation(len(gradient))[:12]:
            wanted = central_differences(network, x, y, loss, name, k, train)
            assert gradient[k] == pytest.approx(wanted, rel=2e-5, abs=2e-8), (name, k)
            checked += 1
    assert checked > 0


ACTIVATIONS = {
    "relu": ReLU,
    "leaky": lambda: LeakyReLU(0.2),
    "all_relu 1": lambda: AllReLU(0.6, 1),
    "all_relu 2": lambda: AllReLU(0.6, 2),
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "gelu": GELU,
    "gelu tanh": lambda: GELU("tanh"),
    "silu": SiLU,
    "identity": Identity,
}


@pytest.mark.parametrize("batch", [1, 17])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_gradients(name, batch, rng):
    network = Sequential(
        [
            SparseLinear(7, 11, density=0.4, rng=rng, **F64),
            ACTIVATIONS[name](),
            SparseLinear(11, 4, density=0.5, rng=rng, **F64),
        ]
    )
    x, y = rng.standard_normal((batch, 7)), rng.integers(0, 4, batch)
    check_gradients(network, x, y, SoftmaxCrossEntropy(), rng)


@pytest.mark.parametrize("batch", [1, 17, 130])
@pytest.mark.parametrize(("density", "blas"), [(0.02, 0), (0.3, 0), (1.0, 0), (1.0, 10**9)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_gradients(density, blas, bias, batch, rng, monkeypatch):
    monkeypatch.setattr(csr, "BLAS_SIZE", blas)  # full layers through BLAS, or through kernels
    network = Sequential(
        [
            SparseLinear(9, 20, density=density, bias=bias, rng=rng, **F64),
            ReLU(),
            SparseLinear(20, 12, density=density, bias=bias, rng=rng, **F64),
            ReLU(),
            SparseLinear(12, 3, density=density, bias=True, rng=rng, **F64),
        ]
    )
    x, y = rng.standard_normal((batch, 9)), rng.integers(0, 3, batch)
    check_gradients(network, x, y, SoftmaxCrossEntropy(0.1), rng)


def test_a_layer_without_weights(rng):
    network = Sequential(
        [SparseLinear(5, 6, nnz=0, rng=rng, **F64), Tanh(), SparseLinear(6, 2, rng=rng, **F64)]
    )
    x, y = rng.standard_normal((3, 5)), np.array([0, 1, 1])
    check_gradients(network, x, y, SoftmaxCrossEntropy(), rng)


@pytest.mark.parametrize("train", [True, False])
def test_batch_norm_gradients(train, rng):
    norm = BatchNorm(8, **F64)
    norm.gamma.data[:] = rng.standard_normal(8)
    norm.running_mean[:] = rng.standard_normal(8)
    layers = [SparseLinear(6, 8, density=0.5, rng=rng, **F64), norm, ReLU()]
    network = Sequential([*layers, SparseLinear(8, 3, density=0.6, rng=rng, **F64)])
    norm.momentum = 1e-300  # running averages must not move between evaluations
    x, y = rng.standard_normal((19, 6)), rng.integers(0, 3, 19)
    check_gradients(network, x, y, SoftmaxCrossEntropy(), rng, train)


@pytest.mark.parametrize("loss", [SigmoidCrossEntropy(), SquaredError()])
def test_other_losses_and_dropout(loss, rng):
    network = Sequential(
        [
            SparseLinear(6, 9, density=0.5, rng=rng, **F64),
            ReLU(),
            Dropout(0.4),
            SparseLinear(9, 9, density=0.5, rng=rng, **F64),
            Dropout(0.2),
            ReLU(),
            SparseLinear(9, 3, density=0.6, rng=rng, **F64),
        ]
    )
    x, y = rng.standard_normal((19, 6)), rng.integers(0, 2, (19, 3)).astype(float)
    check_gradients(network, x, y, loss, rng)


def test_fused_relu_is_the_plain_one(rng):
    weights = [SparseLinear(7, 30, density=0.3, rng=rng), SparseLinear(30, 5, density=0.3, rng=rng)]
    fused = Sequential([weights[0], ReLU(), weights[1]])
    x, y = rng.standard_normal((40, 7)).astype(np.float32), rng.integers(0, 5, 40)
    found = fused.loss_and_gradients(x, y, SoftmaxCrossEntropy())
    # An identity in between keeps the neighbours from taking over the ReLU.
    plain = Sequential([weights[0], Identity(), ReLU(), Identity(), weights[1]])
    wanted = plain.loss_and_gradients(x, y, SoftmaxCrossEntropy())
    assert found[0] == wanted[0]
    for a, b in zip(found[1].values(), wanted[1].values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_predict_does_not_depend_on_batching(rng):
    network = Sequential([SparseLinear(7, 30, rng=rng), ReLU(), SparseLinear(30, 5, rng=rng)])
    x = rng.standard_normal((50, 7))
    whole = network.predict(x)
    np.testing.assert_allclose(network.predict(x, batch_size=7), whole, atol=1e-6)
    assert network.predict(x[:0]).shape == (0, 5)
    np.testing.assert_allclose(network.predict(x[3:4])[0], whole[3], atol=1e-6)


def test_dropout_scales_and_rests(rng):
    network = Sequential([Dropout(0.25)], input_shape=(2000,))
    x = np.ones((3, 2000), np.float32)
    np.testing.assert_array_equal(network.predict(x), x)
    ctx = Context(train=True, dropout=np.random.default_rng(0))
    y, _ = network.layers[0].forward(np.ones((1, 2000, 16), np.float32), ctx)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert y.mean() == pytest.approx(1, abs=0.02)


def test_batch_norm_running_averages(rng):
    norm = BatchNorm(4)
    network = Sequential([norm, SparseLinear(4, 2, density=1.0, rng=rng)], input_shape=(4,))
    x = (3 + 2 * rng.standard_normal((500, 4))).astype(np.float32)
    for _ in range(200):
        network.loss_and_gradients(x, np.zeros(500, int), SoftmaxCrossEntropy())
    np.testing.assert_allclose(norm.running_mean, x.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(norm.running_variance, x.var(axis=0, ddof=1), rtol=1e-4)


def test_flatten_keeps_the_users_order(rng):
    inner = SparseLinear(24, 5, density=0.5, rng=rng)
    network = Sequential([Flatten(), inner], input_shape=(2, 3, 4))
    x = rng.standard_normal((9, 2, 3, 4)).astype(np.float32)
    wanted = x.reshape(9, 24) @ inner.weight.to_scipy().T
    np.testing.assert_allclose(network.predict(x), wanted, atol=1e-5)


def test_layers_are_known_by_name():
    assert {"linear", "relu", "batch_norm", "dropout", "flatten", "gelu"} <= KINDS.keys()


def test_shapes_that_do_not_fit(rng):
    with pytest.raises(ParameterError, match="input shape"):
        Sequential([SparseLinear(4, 3, rng=rng), SparseLinear(4, 3, rng=rng)])
    with pytest.raises(ParameterError, match="input shape"):
        Sequential([SparseLinear(24, 3, rng=rng)], input_shape=(2, 3, 4))
    with pytest.raises(ParameterError, match="input_shape"):
        Sequential([ReLU()])
    shared = ReLU()
    with pytest.raises(ParameterError, match="layers"):
        Sequential([SparseLinear(4, 4, rng=rng), shared, shared])
    with pytest.raises(ParameterError):
        SparseLinear(0, 3)
    with pytest.raises(ParameterError):
        SparseLinear(3, 3, density=1.5)
    with pytest.raises(ParameterError):
        SparseLinear(3, 3, nnz=10)


def test_from_scipy(rng):
    from scipy import sparse

    matrix = sparse.random_array((6, 8), density=0.4, rng=rng, format="csc")
    layer = SparseLinear.from_scipy(matrix, bias=np.arange(6.0))
    x = rng.standard_normal((5, 8)).astype(np.float32)
    wanted = x @ matrix.T.astype(np.float32) + np.arange(6.0)
    np.testing.assert_allclose(Sequential([layer]).predict(x), wanted, atol=1e-5)
    with pytest.raises(ParameterError, match="bias"):
        SparseLinear.from_scipy(matrix, bias=np.zeros(5))


def test_memory_is_lent_for_as_long_as_it_is_held():
    space = Workspace()
    first = space.lend((4, 8), np.float32)
    view = first[1:, ::2]
    assert not np.may_share_memory(first, space.lend((4, 8), np.float32))  # which nobody keeps
    held = space.nbytes
    second = space.lend((2, 16), np.float32)
    assert space.nbytes == held
    start = first.ctypes.data
    del first
    third = space.lend((5,), np.float32)  # the view still holds the first
    assert space.nbytes == held + 20
    del view
    assert space.lend((4, 8), np.float32).ctypes.data == start
    assert not np.may_share_memory(second, third)
    assert space.lend((3,), np.float64).dtype == np.float64


def test_what_a_layer_prepared_is_used_until_something_changes(rng):
    layer, nxt = SparseLinear(7, 6, density=0.5, rng=rng), SparseLinear(6, 3, rng=rng)
    network, space = Sequential([layer, ReLU(), nxt]), Workspace()
    array, rows = rng.standard_normal((20, 7)), np.arange(20)
    x, ctx = network.samples(array), Context(space, train=True, n_valid=20)

    def way():
        for _ in range(2):  # what the first pass prepared goes where memory grows
            y, _ = network.forward(network.gather(x, rows, 16, ctx), ctx)
            np.testing.assert_allclose(naive.from_tiles(y, 20), network.predict(array), atol=1e-6)
        return space.prepared[layer, "way"]

    ways = [way()]
    assert way() is ways[0]
    free = np.setdiff1d(np.arange(42), layer.weight.pattern.keys())
    layer.weight.rewire_keys(np.array([1]), free[:1], {"data": np.array([2.0])})
    ways.append(way())
    layer.form = "dense"
    ways.append(way())
    layer.form = "sparse"
    ctx = Context(space, n_valid=20, predicts=True)
    ways.append(way())
    network = Sequential([layer, Identity(), nxt])  # the ReLU is no longer its own
    ways.append(way())
    assert len({id(found) for found in ways}) == len(ways)


def test_a_context_does_not_change_during_a_step():
    from dataclasses import FrozenInstanceError

    with pytest.raises(FrozenInstanceError):
        Context().n_valid = 3


def test_layers_name_what_is_inside_them(rng):
    from sparsecpu.layers.base import inner_layers

    inner = Sequential([SparseLinear(4, 4, rng=rng), ReLU()])
    network = Sequential([inner, SparseLinear(4, 2, rng=rng)])
    assert [name for name, _ in inner_layers(network)] == ["", "0", "0.0", "0.1", "1"]
    assert list(network.parameters()) == ["0.0.weight", "0.0.bias", "1.weight", "1.bias"]
