"""Large outputs go past the caches; what is in them must not change."""

import numpy as np
import pytest

from sparsecpu.kernels.conv.lazy import LARGE
from sparsecpu.kernels.machine.arrays import aligned_copy
from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.layers import AvgPool2d, MaxPool2d, SparseConv2d, Spec
from sparsecpu.layers.images.passes import add
from sparsecpu.layers.images.planes import Planes
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace

SIZE, TILES = 32, 4
#: So many that all tiles together are large, and one by itself is not.
CHANNELS = -(-LARGE // (4 * TILES * SIZE * SIZE * 16 * 4)) * 4


def copies(*arrays):
    return [aligned_copy(a) for a in arrays]


def in_one_and_tile_by_tile(run, *planes):
    """Run on all tiles, with two threads, and on one after the other: both must say the same."""
    with use_threads(2):
        ctx = Context(Workspace(), train=True, n_valid=16 * TILES)
        whole = run(ctx, *copies(*planes))
    assert whole[0].nbytes >= LARGE
    for tile in range(TILES):
        ctx = Context(Workspace(), train=True, n_valid=16)
        parts = run(ctx, *copies(*(p[tile : tile + 1] for p in planes)))
        assert parts[0].nbytes < LARGE
        for one, part in zip(whole, parts, strict=True):
            np.testing.assert_array_equal(one[tile], part[0])


def drawn(rng, size=SIZE):
    return rng.standard_normal((TILES, size, CHANNELS, size, 16), dtype=np.float32)


@pytest.mark.parametrize("gated", [False, True])
def test_convolution(gated, rng):
    layer = SparseConv2d(CHANNELS, CHANNELS, 3, padding=1, density=0.64 / CHANNELS, rng=rng)
    layer.plan(Spec((CHANNELS, SIZE, SIZE), needs_gradient=True))
    if gated:
        layer.gate_by_input()
        layer.sum_moments()
    slope, shift = rng.standard_normal((2, CHANNELS), dtype=np.float32)

    def run(ctx, x, dy):
        x = Planes(x, a=slope, c=shift, relu=True) if gated else Planes(x)
        y, saved = layer.forward(x, ctx)
        return y.values, layer.backward(Planes(dy), saved, ctx).values

    in_one_and_tile_by_tile(run, drawn(rng), drawn(rng))


@pytest.mark.parametrize("kind", [MaxPool2d, AvgPool2d])
def test_pooling(kind, rng):
    layer = kind(2)
    layer.plan(Spec((CHANNELS, SIZE, SIZE), needs_gradient=True))

    def run(ctx, x, dy):
        _, saved = layer.forward(x, ctx)
        return (layer.backward(dy, saved, ctx).values,)

    in_one_and_tile_by_tile(run, drawn(rng), drawn(rng, SIZE // 2))


def test_add(rng):
    in_one_and_tile_by_tile(
        lambda ctx, a, b: (add(a, b, "x", "out", ctx, relu=True).values,), drawn(rng), drawn(rng)
    )
