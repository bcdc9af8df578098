"""Convolutions that add other images to their own in passing, and what prediction holds."""

import naive
import numpy as np
import pytest

from sparsecpu.kernels.machine.arrays import aligned_copy
from sparsecpu.layers import (
    BatchNorm,
    Flatten,
    GlobalAvgPool2d,
    MaxPool2d,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    SparseConv2d,
    SparseLinear,
    Spec,
)
from sparsecpu.layers.base import Layer
from sparsecpu.layers.images.planes import Planes
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.step.context import Context
from sparsecpu.step.gradient_view import whole_rows
from sparsecpu.step.workspace import Workspace
from sparsecpu.topology import make_topology
from sparsecpu.trainer import Trainer

#: Kernel, stride and padding.
SIZES = [(3, 1, 1), (1, 1, 0), (1, 2, 0), (3, 2, 1), ((2, 3), (1, 2), (0, 1))]


def planes(rng, samples, shape):
    """Return random images as planes, and as an array."""
    x = rng.standard_normal((samples, *shape))
    return aligned_copy(naive.to_planes(x, 16)), x


def lazy(values, rng, *, relu=False, other=None):
    """Return planes with something pending, and what they stand for as an array."""
    a, b, c, centre = rng.standard_normal((4, values.shape[2]))
    terms = {} if other is None else {"other": other, "b": b}
    found = Planes(values, a=a, c=c, centre=centre, relu=relu, **terms)
    column = (slice(None), None, None)
    x, m = naive.from_planes(values, 19), centre[column]
    if other is None:
        wanted = a[column] * (x - m) + c[column]
    else:
        wanted = a[column] * x + b[column] * (naive.from_planes(other, 19) - m) + c[column]
    return found, np.maximum(wanted, 0) if relu else wanted


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("form", ["sparse", "dense"])
@pytest.mark.parametrize("density", [0.1, 0.7])
def test_a_convolution_adds_images_in_passing(size, group, form, density, rng):
    kernel, stride, padding = size
    layer = SparseConv2d(5, 9, kernel, stride=stride, padding=padding, group=group,
                         density=density, dtype=np.float64, rng=rng)  # fmt: skip
    layer.form = form
    out = layer.plan(Spec((5, 7, 8), needs_gradient=True)).shape
    layer.bias.data[:] = rng.standard_normal(9)
    ctx = Context(Workspace(), train=True, n_valid=19)
    x, _ = lazy(planes(rng, 19, (5, 7, 8))[0], rng, relu=True)
    dy, _ = planes(rng, 19, out)
    y, saved = layer.forward(x, ctx)
    y = naive.from_planes(y.values, 19).copy()
    dx = naive.from_planes(layer.backward(dy, saved, ctx).values, 19).copy()
    dw = layer.weight.grad.copy()

    behind, added = lazy(planes(rng, 19, out)[0], rng, relu=True)
    before, gradient = lazy(planes(rng, 19, (5, 7, 8))[0], rng, other=planes(rng, 19, (5, 7, 8))[0])
    found, saved = layer.forward_plus(x, ctx, behind)
    np.testing.assert_allclose(naive.from_planes(found.values, 19), y + added, atol=1e-12)
    found = layer.backward_plus(dy, saved, ctx, before)
    np.testing.assert_allclose(naive.from_planes(found.values, 19), dx + gradient, atol=1e-12)
    np.testing.assert_array_equal(layer.weight.grad, dw)

    layer.absorb_relu(), layer.sum_moments(), layer.gate_by_input()
    found, saved = layer.forward_plus(x, ctx, behind)
    wanted = np.maximum(y + added, 0)
    np.testing.assert_allclose(naive.from_planes(found.values, 19), wanted, atol=1e-12)
    if found.sums is not None:
        sums = [wanted.sum(axis=(0, 2, 3)), (wanted**2).sum(axis=(0, 2, 3))]
        np.testing.assert_allclose(found.sums, sums, rtol=1e-10)
    assert (found.sums is None) == (form == "dense")
    found = layer.backward_plus(dy, saved, ctx, before)
    _, raw = lazy(x.values, rng)
    column = (slice(None), None, None)
    raw = naive.from_planes(x.values, 19) - x.centre[column]
    wanted = np.where(x.a[column] * raw + x.c[column] > 0, dx + gradient, 0)
    np.testing.assert_allclose(naive.from_planes(found.values, 19), wanted, atol=1e-12)
    sums = [wanted.sum(axis=(0, 2, 3)), (wanted * raw).sum(axis=(0, 2, 3))]
    np.testing.assert_allclose(found.sums, sums, atol=1e-10)


def conv(n_in, n_out, size, **options):
    return SparseConv2d(n_in, n_out, size, padding=size // 2, density=0.5, **options)


def test_branches_that_end_and_begin_with_convolutions_hold_no_images_of_their_own(rng):
    """The sum is written by a convolution: it is the only one that the block holds."""
    block = Residual([conv(4, 4, 3), BatchNorm(4), ReLU(), conv(4, 4, 3)], [conv(4, 4, 1)])
    network = Sequential([block, BatchNorm(4), ReLU(), GlobalAvgPool2d()], (4, 8, 8))
    ctx = Context(Workspace(), train=True, n_valid=16)
    x = planes(rng, 16, (4, 8, 8))[0].astype(np.float32)
    y, _ = block.forward(Planes(aligned_copy(x)), ctx)
    assert network.layers[0] is block
    assert not any(owner is block for owner, *_ in ctx.workspace._memory)
    assert y.sums is not None  # for the normalisation behind


class Doubled(SparseConv2d):
    """A convolution of one's own, which knows nothing of sums."""

    kind = ""

    def forward(self, x, ctx):
        y, saved = super().forward(x, ctx)
        return Planes(2 * y.values), saved

    def backward(self, dy, saved, ctx):
        return super().backward(2 * (dy.values if isinstance(dy, Planes) else dy), saved, ctx)


@pytest.mark.parametrize("shortcut", [False, True])
def test_what_a_subclass_overrides_is_what_branches_call(shortcut, rng):
    def block(kind):
        own = kind(3, 3, 3, padding=1, density=0.5, rng=np.random.default_rng(0))
        return Residual([own], [conv(3, 3, 1)] if shortcut else [])

    assert Doubled.forward_plus is Layer.forward_plus
    found = Sequential([block(Doubled)], (3, 5, 6))
    wanted = Sequential([block(SparseConv2d)], (3, 5, 6))
    weights = wanted.layers[0].by_name["branch"].layers[0].weight
    weights.data *= 2
    x = rng.standard_normal((4, 3, 5, 6)).astype(np.float32)
    np.testing.assert_allclose(found.predict(x), wanted.predict(x), atol=1e-5)


def deep(blocks, rng):
    """Return a network with so many blocks, whose planes are of 64 KiB for 16 samples."""
    layers = [conv(3, 4, 3, rng=rng)]
    for _ in range(blocks):
        branch = [BatchNorm(4), ReLU(), conv(4, 4, 3, rng=rng), ReLU(), conv(4, 4, 3, rng=rng)]
        layers += [Residual(branch), Parallel([[conv(4, 4, 1, rng=rng)], []])]
    layers += [MaxPool2d(2), Flatten(), SparseLinear(4 * 64, 3, density=0.5, rng=rng)]
    return Sequential(layers, (3, 16, 16))


def test_prediction_holds_as_many_planes_for_deep_networks_as_for_others(rng):
    x = rng.standard_normal((32, 3, 16, 16)).astype(np.float32)
    held = []
    for blocks in (2, 12):
        network = deep(blocks, rng)
        ctx = Context(Workspace(), predicts=True, n_valid=32)
        planes = Planes(aligned_copy(naive.to_planes(x, 16)))
        y, _ = network.forward(planes, ctx)
        np.testing.assert_allclose(naive.from_planes(y[:, None, :, None], 32)[:, :, 0, 0],
                                   network.predict(x), atol=1e-5)  # fmt: skip
        held.append(sum(memory.nbytes for memory in ctx.workspace._lent))
    assert held[0] == held[1] <= 5 * 2 * 16 * 4 * 16 * 16 * 4


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("rule", ["set:update_every=1", "rigl:update_every=1"])
def test_shortcuts_with_a_stride_whose_pattern_changes(group, rule, rng):
    """Passes of the pattern before are given up, step by step; threads change no bits."""
    x, y = rng.standard_normal((80, 3, 8, 8)).astype(np.float32), rng.integers(0, 3, 80)
    found = []
    for threads in (1, 2):
        own = np.random.default_rng(1)
        branch = [conv(8, 12, 3, stride=2, group=group, rng=own), BatchNorm(12), ReLU(),
                  conv(12, 12, 3, group=group, rng=own)]  # fmt: skip
        shortcut = [conv(8, 12, 1, stride=2, group=group, rng=own)]
        network = Sequential(
            [conv(3, 8, 3, rng=own), BatchNorm(8), ReLU(), Residual(branch, shortcut), ReLU(),
             GlobalAvgPool2d(), SparseLinear(12, 3, density=1.0, rng=own)], (3, 8, 8),
        )  # fmt: skip
        before, nnz = shortcut[0].weight.pattern, shortcut[0].weight.nnz
        Trainer(network, loss=SoftmaxCrossEntropy(), topology=make_topology(rule), epochs=3,
                batch_size=32, learning_rate=0.01, threads=threads).fit(x, y)  # fmt: skip
        assert shortcut[0].weight.pattern != before
        assert shortcut[0].weight.nnz == nnz
        found.append([p.data.copy() for p in network.parameters().values()])
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("group", [1, 4])
def test_gradients_elsewhere_of_filters_with_a_stride(group, rng):
    """Rules look at one pattern after another, between two steps of the layer's own."""
    layer = SparseConv2d(6, 8, 1, stride=2, density=0.5, group=group, dtype=np.float64, rng=rng)
    out = layer.plan(Spec((6, 7, 5), needs_gradient=True)).shape
    ctx = Context(Workspace(), train=True, n_valid=19)
    (x, plain_x), (dy, plain_dy) = planes(rng, 19, (6, 7, 5)), planes(rng, 19, out)
    wanted = np.einsum("nohw,nihw->oi", plain_dy, plain_x[:, :, ::2, ::2])
    for _ in range(2):
        layer.backward(dy, layer.forward(x, ctx)[1], ctx)
        own = layer.weight.pattern
        np.testing.assert_allclose(layer.weight.grad, wanted[own.rows(), own.indices])
        for rows in (slice(0, 4), slice(4, 8)):
            pattern = whole_rows(layer.weight.shape, rows)
            found = layer.sparse.gradient_at(pattern, Planes(x), Planes(dy), ctx)
            np.testing.assert_allclose(found, wanted[rows].reshape(-1))
