"""Networks keep the sizes they were planned with, and check what users and others give them."""

import copy
import pickle

import numpy as np
import pytest

from sparsecpu.errors import DataError, ParameterError
from sparsecpu.layers import BatchNorm, Parallel, ReLU, Sequential, SparseConv2d, SparseLinear
from sparsecpu.layers.base import Layer, Spec
from sparsecpu.layers.images.passes import as_array
from sparsecpu.layers.images.planes import Planes
from sparsecpu.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context

RNG = np.random.default_rng(0)
X = RNG.standard_normal((8, 6)).astype(np.float32)
Y = np.arange(8) % 3


def made(*between):
    return Sequential([SparseLinear(6, 5, density=0.5), *between, SparseLinear(5, 3, density=0.5)])


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SquaredError(), SigmoidCrossEntropy()])
@pytest.mark.parametrize(("samples", "targets"), [(4000, 3), (8, 7), (8, 9), (0, 0), (0, 3)])
def test_there_is_a_target_for_each_sample(loss, samples, targets):
    y = np.zeros(targets, int) if isinstance(loss, SoftmaxCrossEntropy) else np.zeros((targets, 3))
    with pytest.raises(DataError, match=f"x has {samples} samples and y has {targets}"):
        made().loss_and_gradients(np.zeros((samples, 6)), y, loss)


@pytest.mark.parametrize("labels", [[3] * 8, [-1] * 8, [0.0] * 8, [[0]] * 8, [1 << 40] * 8, 2,
                                    ["a"] * 8, None, [[1], [2, 3]]])  # fmt: skip
def test_labels_are_classes(labels):
    with pytest.raises(ParameterError, match="class numbers from 0 to 2"):
        made().loss_and_gradients(X, labels, SoftmaxCrossEntropy())


def test_a_loss_of_others_prepares_what_our_kernel_may_read():
    class FromOne(SoftmaxCrossEntropy):
        def prepare(self, targets, n_outputs):
            return np.asarray(targets) - 1

    value, _ = made().loss_and_gradients(X, Y + 1, FromOne())
    assert value == made().loss_and_gradients(X, Y, SoftmaxCrossEntropy())[0]
    with pytest.raises(ParameterError, match="class numbers"):
        made().loss_and_gradients(X, Y, FromOne())


@pytest.mark.parametrize("batch_size", [-5, 0, True, 2.5, "3", None, np.nan, np.inf, [4]])
def test_batches_to_predict_have_a_size(batch_size):
    with pytest.raises(ParameterError, match="batch_size"):
        made().predict(X, batch_size=batch_size)
    with pytest.raises(ParameterError, match="batch_size"):
        made().compile(batch_size)


@pytest.mark.parametrize("x", [
    [["1"] * 6], X.astype(complex), X.astype("M8[s]"), [[1, 2], [3]], None, 3, X[:, :5], X[0],
    [[None] * 6], np.array([["1"] * 6], object), X[None],
])  # fmt: skip
def test_samples_are_numbers_of_so_many_features(x):
    with pytest.raises(DataError, match="x "):
        made().predict(x)


def test_samples_may_lie_anywhere():
    network, raw = made(), np.zeros(X.nbytes + 1, np.uint8)[1:]
    odd = raw.view(np.float32).reshape(X.shape)
    odd[...] = X
    for same in (odd, X.astype(">f4"), np.asfortranarray(X), np.repeat(X, 2, 0)[::2], X.tolist()):
        np.testing.assert_array_equal(network.predict(same), network.predict(X))


@pytest.mark.parametrize("out", [
    np.empty((8, 3), ">f4"), np.empty((8, 3)), np.empty((8, 2), "f4"), [[0.0] * 3] * 8,
    np.broadcast_to(np.float32(0), (8, 3)),
])  # fmt: skip
def test_a_predictor_writes_only_where_it_can(out):
    with pytest.raises(DataError, match="out"):
        made().compile(8)(X, out=out)


@pytest.mark.parametrize("name", ["offset", "scale"])
def test_the_scaling_has_the_size_of_a_sample(name):
    network = made()
    plain = network.predict(X)
    for wrong in (np.ones(5), np.ones((1, 6)), 1.0, None, ["a"] * 6, np.full(6, np.nan), [1j] * 6):
        with pytest.raises(ParameterError, match=name):
            setattr(network, name, wrong)
    setattr(network, name, np.full(6, 2.0))  # the other one is neutral until it is set
    wanted = X - 2 if name == "offset" else X * 2
    np.testing.assert_array_equal(network.predict(X), made().predict(wanted))
    setattr(network, name, [])
    np.testing.assert_array_equal(network.predict(X), plain)


def test_the_scaling_is_a_copy():
    network, given = made(), np.ones(6, np.float32)
    network.offset = given
    given[:] = 5
    assert network.offset.tolist() == [1] * 6
    assert pickle.loads(pickle.dumps(network)).offset.tolist() == [1] * 6


@pytest.mark.parametrize(("name", "value"), [
    ("layers", []), ("widths", [60, 5, 3]), ("n_outputs", 1), ("input_shape", (60,)),
    ("dtype", np.float64),
])  # fmt: skip
def test_what_was_planned_cannot_be_replaced(name, value):
    for network in (made(), copy.deepcopy(made()), pickle.loads(pickle.dumps(made()))):
        with pytest.raises(ParameterError, match=name):
            setattr(network, name, value)
        assert network.predict(X).shape == (8, 3)


def test_a_plan_that_fails_leaves_the_one_before():
    network = Sequential([SparseConv2d(2, 3, 3), SparseConv2d(3, 4, 3)], (2, 6, 6))
    images = RNG.standard_normal((3, 2, 6, 6))
    wanted = network.predict(images)
    with pytest.raises(ParameterError):
        network.plan(Spec((2, 4, 4)))  # the first layer fits, the second does not
    np.testing.assert_array_equal(network.predict(images), wanted)
    with pytest.raises(DataError):
        network.predict(np.zeros((3, 2, 4, 4)))


def test_weights_are_replaced_by_ones_that_fit():
    network = made()
    first, last = network.layers
    for wrong in (None, last.weight, last.bias, SparseLinear(6, 5, dtype=np.float64).weight, 3):
        with pytest.raises(ParameterError, match="weight"):
            first.weight = wrong
    for wrong in (last.bias, Parameter(np.zeros(5), np.float64), np.zeros(5), first.weight):
        with pytest.raises(ParameterError, match="bias"):
            first.bias = wrong
    first.weight, first.bias = SparseLinear(6, 5, density=1.0).weight, None
    network.predict(X)
    with pytest.raises(ParameterError, match="bias"):
        first.bias = Parameter(np.zeros(4))  # checked where there is none, too


def test_norms_keep_their_size():
    network, norm = made(norm := BatchNorm(5)), norm
    held = norm.running_mean
    norm.running_mean = np.arange(5)
    assert norm.running_mean is held
    for name in ("running_mean", "running_variance", "gamma", "beta"):
        for wrong in (np.zeros(4), None, Parameter(np.zeros(4)), np.zeros((5, 1))):
            with pytest.raises(ParameterError, match=name):
                setattr(norm, name, wrong)
    assert network.predict(X).shape == (8, 3)


class Others(Layer):
    """What somebody wrote, and got wrong."""

    def __init__(self, y=lambda x: x, dx=lambda dy: dy):
        self.y, self.dx = y, dx

    def forward(self, x, ctx):
        return self.y(x), None

    def backward(self, dy, saved, ctx):
        return self.dx(dy)


WRONG_ARRAYS = {
    "features": lambda a: np.ascontiguousarray(a[:, :-1]),
    "tiles": lambda a: a[:0],
    "type": lambda a: a.astype(np.float64),
    "order": lambda a: np.asfortranarray(np.repeat(a, 2, axis=0))[:1],
    "strides": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "lanes": lambda a: np.ascontiguousarray(a[..., :-1]),
    "nothing": lambda a: None,
    "a list": lambda a: a.tolist(),
}


@pytest.mark.parametrize("wrong", WRONG_ARRAYS.values(), ids=WRONG_ARRAYS)
def test_layers_of_others_return_what_their_neighbours_read(wrong):
    with pytest.raises(ParameterError, match="y of Others"):
        made(Others(y=wrong)).predict(X)
    with pytest.raises(ParameterError, match="dx of Others"):
        made(Others(dx=wrong)).loss_and_gradients(X, Y, SoftmaxCrossEntropy())
    inside = Parallel([[Others(y=wrong)], [ReLU()]])
    with pytest.raises(ParameterError, match="y of Others"):
        made(inside).predict(X)


@pytest.mark.parametrize("name", ["a", "c", "centre"])
def test_what_others_leave_pending_has_a_number_for_each_channel(name):
    sizes = {"a": 4, "c": 4, "centre": 4, name: 1}

    def pending(x):
        return Planes(as_array(x, None, "x", Context()), **{
            part: np.ones(size, np.float32) for part, size in sizes.items()
        })  # fmt: skip

    network = Sequential([SparseConv2d(1, 4, 3), Others(pending), SparseConv2d(4, 2, 3)], (1, 8, 8))
    with pytest.raises(ParameterError, match="y of Others"):
        network.predict(np.ones((2, 64), np.float32))


def test_layers_of_others_that_are_right_change_nothing():
    with_one, without = made(Others()), made()
    loss = SoftmaxCrossEntropy()
    assert with_one.loss_and_gradients(X, Y, loss)[0] == without.loss_and_gradients(X, Y, loss)[0]


def test_layers_are_layers():
    with pytest.raises(ParameterError, match="Layer"):
        Sequential([SparseLinear(6, 5), np.tanh])


def test_a_layer_by_itself_refuses_tiles_of_other_sizes():
    ctx = Context(n_valid=3)
    with pytest.raises(ParameterError, match="shape of x"):
        SparseLinear(6, 5).forward(np.zeros((1, 5, 16), np.float32), ctx)
    conv = SparseConv2d(2, 3, 3)
    conv.plan(Spec((2, 6, 6)))
    with pytest.raises(ParameterError, match="shape of x"):
        conv.forward(np.zeros((1, 4, 2, 4, 16), np.float32), ctx)


def test_a_view_of_a_gradient_is_asked_for_positions_of_its_layer():
    layer, seen = SparseLinear(6, 5, density=0.5), []
    ctx = Context(n_valid=16, train=True, observe=lambda parameter, view: seen.append(view))
    layer.needs_dx = False
    _, saved = layer.forward(np.ones((1, 6, 16), np.float32), ctx)
    layer.backward(np.ones((1, 5, 16), np.float32), saved, ctx)
    with pytest.raises(ParameterError, match="pattern"):
        seen[0].at(Pattern.full((5, 60)))
    with pytest.raises(ParameterError, match="out"):
        seen[0].at(Pattern.full((5, 6)), np.empty(29, np.float32))
    assert seen[0].at(Pattern.full((5, 6))).tolist() == [16] * 30


@pytest.mark.parametrize("rng", [0, "x", np.random])
def test_random_numbers_come_from_a_generator(rng):
    with pytest.raises(ParameterError, match="rng"):
        SparseLinear(6, 5, rng=rng)
