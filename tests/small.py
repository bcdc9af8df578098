"""Small layers and networks, their pictures and filters, for several tests."""

import naive
import numpy as np

from sparsecpu.layers import (
    BatchNorm,
    GlobalAvgPool2d,
    MaxPool2d,
    ReLU,
    Sequential,
    SparseConv2d,
    SparseLinear,
    Spec,
)
from sparsecpu.networks.description import mlp
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace


def forward_and_backward(layer, x, dy):
    """Return y and dx of a linear layer; the samples are rows, as users have them."""
    context = Context(Workspace(), train=True, n_valid=len(x))
    y, saved = layer.forward(naive.to_tiles(x, 16).astype(np.float32), context)
    y = naive.from_tiles(y, len(x)).copy()
    dx = layer.backward(naive.to_tiles(dy, 16).astype(np.float32), saved, context)
    return y, naive.from_tiles(dx, len(x))


def filters_of(layer):
    """Return the filters of a convolution with zeros where it has no weight."""
    p = layer.weight.pattern
    dense = naive.dense(p.shape, p.indptr, p.indices, layer.weight.data)
    return dense.reshape(p.shape[0], -1, *layer.kernel)


def images(samples=96, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, samples)
    x = rng.standard_normal((samples, 1, 8, 8)).astype(np.float32)
    for i, label in enumerate(y):
        x[i, 0, 2 * label : 2 * label + 2] += 2
    return x.reshape(samples, -1), y


def small_net(rng):
    return Sequential(
        [SparseConv2d(1, 8, 3, padding=1, density=0.6, rng=rng), BatchNorm(8), ReLU(),
         MaxPool2d(2), SparseConv2d(8, 12, 3, padding=1, density=0.2, rng=rng), BatchNorm(12),
         ReLU(), GlobalAvgPool2d(), SparseLinear(12, 3, density=0.9, rng=rng)],
        (1, 8, 8),
    )  # fmt: skip


def made(shape, kernel, size, *, density=0.4, dtype=np.float64, empty=(), **options):
    """Return a convolution, planned for images of a size; filters in ``empty`` have no weight."""
    channels, filters = shape
    rng = np.random.default_rng(3)
    layer = SparseConv2d(channels, filters, kernel, density=density, rng=rng, dtype=dtype,
                         **options)  # fmt: skip
    if len(empty):
        pattern = layer.weight.pattern
        kept = ~np.isin(pattern.rows(), empty)
        rest = Pattern.from_keys(pattern.shape, pattern.keys()[kept])
        rest = Pattern(rest.shape, rest.indptr, rest.indices, group=pattern.group)
        weight = SparseParameter(rest, layer.weight.data[kept], dtype)
        layer._set(weight, None if layer.bias is None else layer.bias.data)
    if layer.bias is not None:
        layer.bias.data[:] = rng.standard_normal(filters)
    layer.plan(Spec((channels, *size), needs_gradient=True))
    return layer


def described_mlp(rng, dtype=np.float32, **options):
    """Return a description of 6 inputs and 3 outputs, and its network; no array is of one value."""
    options = {"batch_norm": True, "dropout": 0.1, **options}
    architecture = mlp(6, (9, 7), 3, **options).sparsify(0.4)
    network = architecture.build(rng, dtype=dtype)
    for buffer in network.buffers().values():
        buffer[...] = rng.random(buffer.shape)
    network.offset, network.scale = rng.random((2, 6)).astype(dtype)
    return architecture, network
