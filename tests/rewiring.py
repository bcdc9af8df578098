"""Small networks and data to rewire, and callbacks that watch their updates."""

from itertools import pairwise

import numpy as np

from sparsecpu.layers import ReLU, Sequential, SparseLinear
from sparsecpu.layers.linear_view import LinearView
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.optimizers import SGD
from sparsecpu.sparse.densities import allocate
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.trainer import Trainer


def make_network(widths, density, rng, dtype=np.float64, group=1):
    shapes = [(o, i) for i, o in pairwise(widths)]
    layers = []
    groups = [group] * len(shapes) if isinstance(group, int) else group
    for (n_out, n_in), nnz, rows in zip(shapes, allocate(shapes, density), groups, strict=True):
        layers += [SparseLinear(n_in, n_out, nnz=nnz, rng=rng, dtype=dtype, group=rows), ReLU()]
    return Sequential(layers[:-1])


def blobs(rng, samples=96, features=12, classes=4):
    y = rng.integers(0, classes, samples)
    x = rng.standard_normal((samples, features)) + 1.5 * rng.standard_normal((classes, features))[y]
    return x, y


def dense_copies(network):
    weights = [p.to_scipy().todense() for p in network.sparse_parameters().values()]
    masks = []
    for p in network.sparse_parameters().values():
        mask = np.zeros(p.shape, bool)
        mask.reshape(-1)[p.pattern.keys()] = True
        masks.append(mask)
    biases = [p.data for name, p in network.parameters().items() if name.endswith("bias")]
    return [np.asarray(w) for w in weights], masks, biases


class Follow:
    """A callback that keeps every report, and what ``look()`` returns right after the update."""

    def __init__(self, look=lambda: None):
        self.reports, self.looks, self.look = [], [], look

    def __getattr__(self, name):
        return lambda *args: None

    def on_update(self, trainer, report):
        self.reports.append(report)
        self.looks.append(self.look())


def train(network, topology, x, y, **given):
    follow = Follow(given.pop("look", lambda: None))
    settings = dict(learning_rate=0.05, batch_size=16, epochs=6, optimizer=SGD(0.9), shuffle=False)
    Trainer(network, loss=SoftmaxCrossEntropy(), topology=topology, callbacks=[follow],
            **{**settings, **given}).fit(x, y)  # fmt: skip
    return follow


def parameter(shape, nnz, rng):
    return SparseParameter(Pattern.random(shape, nnz, rng), rng.standard_normal(nnz), np.float64)


def options(steps, momentum=0.9, interval=100):
    return dict(
        steps=steps, batch_size=16, momentum=momentum, gradient_weight=1.0, interval=interval
    )


def feed(sources, steps, rng, n_out, n_in, rank, last=None):
    """Show sources steps whose gradients share ``rank`` directions; return the exact momentum."""
    a, b = rng.standard_normal((n_out, rank)), rng.standard_normal((n_in, rank))
    exact, last = np.zeros((n_out, n_in)), last or steps
    for step in range(steps):
        x = (b @ rng.standard_normal((rank, 16)))[None]
        dy = (a @ rng.standard_normal((rank, 16)))[None] / 16
        for source in sources:
            source.observe(step, steps - step, LinearView(x, dy))
        beta = 0.0 if steps - step == last else 0.9
        exact = beta * exact + dy[0] @ x[0].T
    return exact


def watch(source, steps, rng, n_out, n_in, batch=16, kept=None):
    """Show a source some steps; return the exact momentum, dense."""
    exact = np.zeros((n_out, n_in))
    for step in range(steps):
        x = rng.standard_normal((1, n_in, batch))
        dy = rng.standard_normal((1, n_out, batch)) / batch
        source.observe(step, steps - step, LinearView(x, dy))
        exact = source.momentum * exact + dy[0] @ x[0].T
        if kept is not None:
            kept.append((x, dy))
    return exact
