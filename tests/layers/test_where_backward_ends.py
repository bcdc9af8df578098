"""A backward pass ends where nothing before learns, whatever stands there."""

import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.layers import (
    AvgPool2d,
    BatchNorm,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Identity,
    MaxPool2d,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    SparseConv2d,
    SparseLinear,
    Spec,
    Subsample,
    Tanh,
)
from sparsecpu.losses import SquaredError
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.topology import GuidedStochasticExploration, RigL, SparseMomentum
from sparsecpu.trainer import Trainer

IMAGE = (3, 6, 6)


class NeverBack(Identity):
    """Stands where nothing learns."""

    kind = ""

    def backward(self, dy, saved, ctx):
        raise AssertionError("nothing needs this gradient")


def linear(n_in, n_out):
    return SparseLinear(n_in, n_out, density=0.5, rng=np.random.default_rng(1))


def conv(n_in, n_out, size=3):
    rng = np.random.default_rng(1)
    return SparseConv2d(n_in, n_out, size, padding=size // 2, density=0.5, rng=rng)


def inside(*layers):
    return Sequential(layers, IMAGE)


FIRST = {
    "features": ((7,), lambda: [NeverBack(), linear(7, 5)]),
    "norm": ((7,), lambda: [NeverBack(), BatchNorm(7), linear(7, 5)]),
    "images": (IMAGE, lambda: [NeverBack(), conv(3, 8), ReLU(), GlobalAvgPool2d()]),
    "nothing learns": (IMAGE, lambda: [NeverBack(), Parallel([[NeverBack()], []]), NeverBack()]),
    "one branch": ((7,), lambda: [Parallel([[NeverBack(), linear(7, 5)], [linear(7, 5)]])]),
    "no branch": ((7,), lambda: [Parallel([[NeverBack()], [NeverBack()]]), linear(7, 5)]),
    "a branch without weights": (
        IMAGE,
        lambda: [Residual([NeverBack(), conv(3, 3)], [NeverBack()]), ReLU(), conv(3, 2)],
    ),
    "a wide branch": (IMAGE, lambda: [Residual([conv(3, 24), ReLU(), conv(24, 3)]), conv(3, 2)]),
    "a wide shortcut": (
        IMAGE,
        lambda: [Residual([NeverBack(), Subsample(24, 1)], [conv(3, 24)]), Flatten()],
    ),
    "branches inside": (
        IMAGE,
        lambda: [
            inside(NeverBack(), Residual([NeverBack(), Residual([conv(3, 9, 1), conv(9, 3)])])),
            ReLU(),
            inside(conv(3, 4)),
        ],
    ),
}


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize("form", ["sparse", "dense"])
def test_nothing_runs_backward_for_nothing(name, form, rng):
    shape, layers = FIRST[name]
    network = Sequential(layers(), shape)
    for layer in network.layers:
        if layer.has_two_forms:
            layer.form = form
    x = rng.standard_normal((21, *shape)).reshape(21, -1)
    y = rng.standard_normal((21, network.n_outputs))
    first, _ = network.loss_and_gradients(x, y, SquaredError())
    trainer = Trainer(network, loss=SquaredError(), epochs=8, batch_size=8, learning_rate=3e-4)
    trainer.fit(x, y)
    last, _ = network.loss_and_gradients(x, y, SquaredError())
    assert last < first or not network.parameters()


#: In front of a network, and what it makes of (samples, 3, 6, 6); each alone learns nothing.
FRONTS = {
    "tanh": (Tanh, lambda x: np.tanh(x)),
    "relu": (ReLU, lambda x: np.maximum(x, 0)),
    "dropout": (lambda: Dropout(0.0), lambda x: x),
    "max pool": (lambda: MaxPool2d(2), lambda x: x.reshape(-1, 3, 3, 2, 3, 2).max(axis=(3, 5))),
    "avg pool": (lambda: AvgPool2d(2), lambda x: x.reshape(-1, 3, 3, 2, 3, 2).mean(axis=(3, 5))),
    "parallel": (lambda: Parallel([[Tanh()], []]), lambda x: np.tanh(x) + x),
}


def behind(shape, kind):
    if kind == "conv":
        return [conv(3, 8), BatchNorm(8), ReLU(), Flatten(), linear(8 * shape[1] * shape[2], 3)]
    return [Flatten(), linear(int(np.prod(shape)), 20), ReLU(), linear(20, 3)]


@pytest.mark.parametrize("name", FRONTS)
@pytest.mark.parametrize("topology", [RigL, GuidedStochasticExploration, SparseMomentum])
@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_what_learns_sees_what_the_layers_before_make(name, kind, topology, rng):
    """Training behind a front is training on what it makes: weights, pattern, statistics."""
    front, made = FRONTS[name]
    x = rng.standard_normal((40, *IMAGE)).astype(np.float32)
    y = rng.standard_normal((40, 3))
    whole = Sequential([front(), *behind(made(x).shape[1:], kind)], IMAGE)
    seen = Sequential(whole.layers[:1], IMAGE).predict(x).reshape(made(x).shape)
    np.testing.assert_allclose(seen, made(x), atol=1e-6)
    part = Sequential(behind(seen.shape[1:], kind), seen.shape[1:])
    for network, samples in ((whole, x), (part, seen)):
        Trainer(network, loss=SquaredError(), topology=topology(update_every=3), epochs=3,
                batch_size=16, learning_rate=0.01).fit(samples.reshape(40, -1), y)  # fmt: skip
    for a, b in zip(whole.parameters().values(), part.parameters().values(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
        assert not hasattr(a, "pattern") or a.pattern == b.pattern


@pytest.mark.parametrize("how", [{"lean": True}, {"precision": "bf16"}])
def test_other_ways_to_train_end_there_too(how, rng):
    network = Sequential([NeverBack(), Dropout(0.2), linear(80, 64), ReLU(), linear(64, 3)], (80,))
    x, y = rng.standard_normal((64, 80)), rng.standard_normal((64, 3))
    Trainer(network, loss=SquaredError(), epochs=2, batch_size=64, learning_rate=1e-3, **how).fit(
        x, y
    )
    assert np.isfinite(network.predict(x)).all()


class Scale(Identity):
    """Learns one factor, and does not say so in its plan."""

    kind = ""

    def __init__(self):
        self.factor = Parameter(np.full(1, 2.0), np.float64)

    def plan(self, spec):
        return Spec(spec.shape)

    def forward(self, x, ctx):
        return self.factor.data * x, x

    def backward(self, dy, saved, ctx):
        self.factor.grad[0] = (dy * saved).sum()
        return self.factor.data * dy

    def parameters(self):
        return {"factor": self.factor}


def test_a_layer_of_ones_own_learns_whatever_its_plan_returns(rng):
    network = Sequential([Tanh(), Scale(), Tanh(), Identity()], (4,))
    x, y = rng.standard_normal((5, 4)), rng.standard_normal((5, 4))
    found = network.loss_and_gradients(x, y, SquaredError())[1]["1.factor"]
    h, out = np.tanh(x), np.tanh(2 * np.tanh(x))
    assert found[0] == pytest.approx(((out - y) * (1 - out**2) * h).sum() / 5, rel=1e-12)


def test_networks_that_share_layers_are_both_right(rng):
    """A layer may be planned for another place in another network since."""
    layers = [linear(7, 30), ReLU(), linear(30, 4)]
    network = Sequential(layers)
    x, y = rng.standard_normal((40, 7)), rng.standard_normal((40, 4))
    wanted = network.predict(x), *network.loss_and_gradients(x, y, SquaredError())[1].values()
    first, last = Sequential(layers[:1]), Sequential(layers[2:])
    compiled = network.compile(batch_size=40)
    alone = compiled(x).copy()
    for _ in range(2):
        hidden = first.predict(x)
        assert hidden.min() < 0
        np.testing.assert_allclose(last.predict(np.maximum(hidden, 0)), wanted[0], atol=1e-5)
        found = network.loss_and_gradients(x, y, SquaredError())[1].values()
        first.predict(x[:3])
        for a, b in zip((network.predict(x), *found), wanted, strict=True):
            np.testing.assert_array_equal(a, b)
        first.predict(x)
        np.testing.assert_array_equal(compiled(x), alone)
        np.testing.assert_allclose(alone, wanted[0], atol=1e-5)


def test_a_network_inside_of_another_hands_images_on(rng):
    inner = inside(conv(3, 4))
    outer = Sequential([inner, ReLU(), conv(4, 2), GlobalAvgPool2d()], IMAGE)
    flat = Sequential([*inner.layers, *outer.layers[1:]], IMAGE)
    x, y = rng.standard_normal((5, 108)), rng.standard_normal((5, 2))
    wanted, gradients = flat.loss_and_gradients(x, y, SquaredError())
    found = outer.loss_and_gradients(x, y, SquaredError())
    assert found[0] == wanted
    for a, b in zip(found[1].values(), gradients.values(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(outer.predict(x), flat.predict(x))
    large = Sequential([inner, GlobalAvgPool2d()], (3, 8, 9))
    assert large.predict(np.zeros((2, 216))).shape == (2, 4)
    assert inner.predict(x).shape == (5, 144)  # and still is a network by itself
    assert large.predict(np.zeros((2, 216))).shape == (2, 4)


def test_a_layer_stands_in_one_place():
    shared = linear(7, 5)
    twin = SparseLinear.from_parameters(shared.weight)
    for layers in ([Parallel([[shared], [shared]])], [Parallel([[shared], [twin]])],
                   [Sequential([shared]), shared]):  # fmt: skip
        with pytest.raises(ParameterError, match="each layer once"):
            Sequential(layers, (7,))
