"""Calls of the public API, and the wrong arguments that they get."""

import numpy as np

from sparsecpu.interop import import_network
from sparsecpu.layers import BatchNorm, Dropout, ReLU, Sequential, SparseConv2d, SparseLinear
from sparsecpu.layers.base import Layer
from sparsecpu.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from sparsecpu.networks.description import mlp
from sparsecpu.optimizers import SGD, Adam
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology import Topology
from sparsecpu.topology.change import Growth
from sparsecpu.trainer import Trainer
from tests.fuzz.odd_values import odd_array, odd_matrix, odd_number, pick

IN, OUT, SAMPLES = 7, 3, 20


class World:
    """A network, its trainer and data, which the calls share, and wrong arguments for them."""

    def __init__(self, rng):
        self.rng = rng
        norm = [BatchNorm(6)] if rng.random() < 0.5 else []
        layers = [SparseLinear(IN, 6, density=0.5, rng=rng), *norm, ReLU(),
                  SparseLinear(6, OUT, density=0.6, rng=rng)]  # fmt: skip
        self.network = Sequential(layers)
        self.x = rng.standard_normal((SAMPLES, IN)).astype(np.float32)
        self.y = rng.integers(0, OUT, SAMPLES)
        self.trainer = Trainer(self.network, loss=SoftmaxCrossEntropy(), epochs=1, batch_size=8,
                               threads=1, optimizer=pick(rng, [SGD(), Adam()]))  # fmt: skip
        self.trainer.start(SAMPLES)

    def array(self, good):
        """Return an array like a good one, perhaps with one thing wrong."""
        return odd_array(self.rng, good)

    def number(self, good):
        """Return a number, perhaps a wrong one."""
        return odd_number(self.rng, good)

    def samples(self):
        """Return samples of some kind."""
        kind = self.rng.integers(4)
        if kind == 0:
            return odd_matrix(self.rng, (SAMPLES, IN))
        return Made(self) if kind == 1 else self.array(self.x)

    def weight(self):
        """Return the weights of a layer."""
        return self.network.layers[pick(self.rng, [0, -1])].weight


class Made:
    """Samples of somebody else's making."""

    def __init__(self, world):
        self.world, self.shape = world, pick(world.rng, [(SAMPLES, IN), (SAMPLES, IN - 1), None, 3])
        if world.rng.random() < 0.7:
            self.shape = (SAMPLES, IN)

    def take_samples(self, rows):
        world = self.world
        if world.rng.random() < 0.1:
            return pick(world.rng, [None, world.x, (world.x,), (rows, world.x)])
        return world.array(world.x), world.array(rows)


class OddLayer(Layer):
    """A layer of somebody else, whose passes return what they should not."""

    def __init__(self, world):
        self.world = world

    def forward(self, x, ctx):
        return self.world.array(x), None

    def backward(self, dy, saved, ctx):
        return self.world.array(dy)


class OddTopology(Topology):
    """A rule that drops and grows what it should not."""

    def __init__(self, world):
        super().__init__(update_every=1)
        self.world = world

    def drop(self, name, parameter, rate):
        return self.world.array(np.arange(3))

    def grow(self, name, parameter, dropped, count):
        world, pattern = self.world, parameter.pattern
        free = np.setdiff1d(np.arange(pattern.size), pattern.keys())[:count]
        if world.rng.random() < 0.1:
            return pick(world.rng, [None, free, Growth(None), Growth(free, [1])])
        values = {"data": world.array(np.ones(len(free)))} if world.rng.random() < 0.5 else {}
        return Growth(world.array(free), values)


def step(w):
    x = w.samples() if w.rng.random() < 0.3 else w.x
    weights = None if w.rng.random() < 0.6 else w.array(np.ones(SAMPLES))
    w.trainer.step(x, w.array(w.y.astype(np.int32)), w.array(np.arange(8)), weights)


def fit(w):
    w.trainer.epochs_done = w.trainer.position = 0
    w.trainer.fit(w.samples(), w.array(w.y), w.array(np.ones(SAMPLES)))


def gradients(w):
    loss = pick(w.rng, [SoftmaxCrossEntropy(), SigmoidCrossEntropy(), SquaredError()])
    y = w.y if isinstance(loss, SoftmaxCrossEntropy) else np.eye(OUT)[w.y]
    w.network.loss_and_gradients(w.samples(), w.array(y), loss)


def compiled(w):
    predict = w.network.compile(w.number(4), threads=w.number(1))
    n = min(predict.batch_size, SAMPLES)
    predict(w.array(w.x[:n]), out=w.array(np.empty((n, OUT), np.float32)))


def rewire(w):
    p = w.weight()
    free = np.setdiff1d(np.arange(p.pattern.size), p.pattern.keys())[:2]
    values = {pick(w.rng, ["data", "grad", "momentum", 3]): w.array(np.ones(2, np.float32))}
    rows, cols = np.divmod(free, p.shape[1])
    if w.rng.random() < 0.5:
        p.rewire(w.array(np.arange(2)), w.array(rows), w.array(cols), values)
    else:
        p.rewire_keys(w.array(np.arange(2)), w.array(free), values)


def restore(w):
    p = w.weight()
    vectors = {name: w.array(v) for name, v in p.vectors().items()}
    pattern = pick(w.rng, [p.pattern, Pattern.full(p.shape), Pattern.full((2, 2)), None])
    p.restore(pattern, vectors)


def assign(w):
    p, last = w.weight(), w.network.layers[-1]
    holder, name = pick(w.rng, [
        (p, "data"), (p, "grad"), (last.bias or p, "data"),
        (w.network, "offset"), (w.network, "scale"),
        *((layer, n) for layer in w.network.layers if isinstance(layer, BatchNorm)
          for n in ("running_mean", "running_variance")),
    ])  # fmt: skip
    good = np.ones(IN) if holder is w.network else np.array(getattr(holder, name))
    setattr(holder, name, w.array(good))


def assign_objects(w):
    last = w.network.layers[-1]
    others = [None, 3, last.bias, last.weight, w.network.layers[0].weight, Pattern.full((2, 3)),
              SparseLinear(6, OUT).weight, SparseLinear(9, 9).bias]  # fmt: skip
    holder, name = pick(w.rng, [
        (last, "weight"), (last, "bias"), (last.weight, "pattern"), (w.network, "layers"),
        (w.network, "widths"), (w.network, "n_outputs"), (w.network, "input_shape"),
    ])  # fmt: skip
    setattr(holder, name, pick(w.rng, others))


def slots(w):
    p = w.weight()
    p.slots[pick(w.rng, ["momentum", "first_moment", "new"])] = w.array(p.data)


def pattern(w):
    good = w.weight().pattern
    if w.rng.random() < 0.5:
        Pattern(good.shape, w.array(good.indptr), w.array(good.indices))
    elif w.rng.random() < 0.5:
        Pattern.from_keys(good.shape, w.array(good.keys()))
    else:
        Pattern.random((w.number(4), w.number(5)), w.number(6), w.rng)


def parameter(w):
    p = w.weight()
    SparseParameter(p.pattern, w.array(p.data), pick(w.rng, ["f4", "f8", "i4", "f2", None, "O", 3]))


def from_scipy(w):
    bias = None if w.rng.random() < 0.5 else w.array(np.zeros(OUT))
    SparseLinear.from_scipy(odd_matrix(w.rng, (OUT, IN)), bias)


def imported(w):
    network = mlp(IN, (), OUT)
    arrays = {"0.weight": odd_matrix(w.rng, (OUT, IN)), "0.bias": w.array(np.zeros(OUT))}
    import_network(arrays, network)


def others_layer(w):
    made = Sequential([SparseLinear(IN, 6, rng=w.rng), OddLayer(w), SparseLinear(6, OUT)])
    made.loss_and_gradients(w.x, w.y, SoftmaxCrossEntropy())


def others_topology(w):
    t = Trainer(w.network, loss=SoftmaxCrossEntropy(), epochs=1, batch_size=8,
                topology=OddTopology(w), threads=1)  # fmt: skip
    t.fit(w.x, w.y)


def layers(w):
    pick(w.rng, [
        lambda: SparseLinear(w.number(3), w.number(4), density=w.number(0.5), gain=w.number(1.0)),
        lambda: SparseLinear(3, 4, nnz=w.number(4), rng=w.number(None), dtype=w.number("f4")),
        lambda: SparseConv2d(2, w.number(4), w.number(3), stride=w.number(1), padding=w.number(1)),
        lambda: SparseConv2d(2, 4, w.number((3, 3)), groups=w.number(2), nnz=w.number(5)),
        lambda: BatchNorm(w.number(3), momentum=w.number(0.1), epsilon=w.number(1e-5)),
        lambda: Dropout(w.number(0.5)),
        lambda: Sequential([SparseLinear(3, 4)], w.number((3,))),
        lambda: SGD(w.number(0.9), weight_decay=w.number(0.0)),
        lambda: Adam(w.number(0.9), w.number(0.99), epsilon=w.number(1e-8)),
    ])()  # fmt: skip


def trainers(w):
    Trainer(w.network, loss=SoftmaxCrossEntropy(w.number(0.0)), batch_size=w.number(8),
            epochs=w.number(1), learning_rate=w.number(0.1), seed=w.number(0),
            optimizer=w.number(None), topology=w.number(None))  # fmt: skip


CALLS = [
    lambda w: w.network.predict(w.samples()),
    lambda w: w.network.predict(w.x, batch_size=w.number(5)),
    gradients, step, step, fit, compiled, rewire, rewire, restore, assign, assign, assign_objects,
    slots, pattern, parameter, from_scipy, from_scipy, imported, others_layer, others_topology,
    layers, trainers,
]  # fmt: skip
