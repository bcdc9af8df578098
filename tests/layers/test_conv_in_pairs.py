"""Convolutions in groups that multiply bf16 numbers in pairs."""

import naive
import numpy as np
import pytest
from small import filters_of

from sparsecpu.kernels.machine import cpu
from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.layers import SparseConv2d, Spec
from sparsecpu.layers.images import grouped_pass, sparse_convolution
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace

pytestmark = pytest.mark.skipif(
    not cpu._compiles_for("avx512bf16"), reason="needs a CPU with AVX512-BF16"
)
#: The ring's second of two numbers is off by a whole last bit at most, a weight by half of one.
ROUNDING = 3.1 * 2.0**-8


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "filters", "size", "batch"),
    [
        (3, 1, 1, 11, (9, 7), 17),
        (3, 2, 1, 14, (9, 7), 33),
        (1, 1, 0, 98, (9, 7), 5),
        (3, 1, 1, 12, (2, 2), 40),
    ],
)
def test_outputs_are_near_those_of_float32(
    kernel, stride, padding, filters, size, batch, monkeypatch
):
    """With odd numbers of taps, and a last group of fewer filters; on one thread and on two."""
    rng = np.random.default_rng(batch)
    layer = SparseConv2d(40, filters, kernel, stride=stride, padding=padding, density=0.425,
                         group=4, rng=rng)  # fmt: skip
    layer.bias.data[:] = rng.standard_normal(filters)
    layer.plan(Spec((40, *size), needs_gradient=True))
    x = rng.standard_normal((batch, 40, *size), dtype=np.float32)
    x[x < -1.5] = 0
    found = []
    for way, threads in (("", 1), ("pairs", 1), ("pairs", 2)):
        monkeypatch.setattr(grouped_pass, "bf16_products", lambda way=way: way)
        ctx = Context(Workspace(), train=True, n_valid=batch, precision="bf16")
        with use_threads(threads):
            y, _ = layer.forward(naive.to_planes(x, 16), ctx)
        found.append(naive.from_planes(y.values, batch).copy())
    assert (layer.weight.pattern.groups.fan_in % 2).any()
    filters_, settings = filters_of(layer), (layer.stride, layer.padding, 1)
    exact = naive.conv2d(x, filters_, layer.bias.data, *settings)
    sizes = naive.conv2d(abs(x), abs(filters_), 0 * layer.bias.data, *settings)
    for y in found:
        assert (np.abs(y - exact) <= ROUNDING * sizes + 1e-4).all()
    assert np.abs(found[0] - found[1]).max() > 1e-5  # weights are rounded, too
    np.testing.assert_array_equal(found[1], found[2])


def _gradients(layer, x, dy, precision):
    """Return dx and dW, in the users' order and as filters."""
    ctx = Context(Workspace(), train=True, n_valid=len(x), precision=precision)
    _, saved = layer.forward(naive.to_planes(x, 16), ctx)
    dx = layer.backward(naive.to_planes(dy, 16), saved, ctx)
    p = layer.weight.pattern
    dw = naive.dense(p.shape, p.indptr, p.indices, layer.weight.grad)
    return naive.from_planes(dx.values, len(x)).copy(), dw.copy()


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "filters", "size", "batch"),
    [
        (3, 1, 1, 11, (9, 7), 17),  # a last group of three filters, a pixel that has no pair
        (3, 2, 1, 14, (9, 8), 33),
        (1, 1, 0, 98, (8, 8), 5),
        (3, 1, 1, 12, (4, 4), 40),  # tiles side by side in a strip
        (3, 1, 1, 12, (2, 2), 40),
        (5, 1, 2, 8, (12, 16), 16),
    ],
)
def test_gradients_are_near_those_of_float32(
    kernel, stride, padding, filters, size, batch, monkeypatch
):
    for name in ("_FEW_TAPS", "_FEW_PAIRED_TAPS", "_FEW_POINTS"):
        monkeypatch.setattr(sparse_convolution, name, -1)
    rng = np.random.default_rng(batch)
    layer = SparseConv2d(40, filters, kernel, stride=stride, padding=padding, density=0.425,
                         group=4, rng=rng)  # fmt: skip
    out = layer.plan(Spec((40, *size), needs_gradient=True)).shape
    x = rng.standard_normal((batch, 40, *size), dtype=np.float32)
    dy = rng.standard_normal((batch, *out), dtype=np.float32)
    found = []
    for way, threads in (("", 1), ("pairs", 1), ("pairs", 2)):
        monkeypatch.setattr(grouped_pass, "bf16_products", lambda way=way: way)
        with use_threads(threads):
            found.append(_gradients(layer, x, dy, "bf16"))
    w, settings = filters_of(layer), (layer.stride, layer.padding, 1)
    p = layer.weight.pattern
    at = naive.dense(p.shape, p.indptr, p.indices, np.ones(p.nnz)) != 0
    exact = naive.conv2d_backward(x, w, dy, *settings)
    sizes = naive.conv2d_backward(abs(x), abs(w), abs(dy), *settings)
    for dx, dw in found:
        assert (np.abs(dx - exact[0]) <= ROUNDING * sizes[0] + 1e-4).all()
        error = np.abs(dw - exact[1].reshape(p.shape))
        assert (error <= ROUNDING * sizes[1].reshape(p.shape) + 1e-3)[at].all()
    for one, other in zip(found[0], found[1], strict=True):
        assert np.abs(one - other).max() > 1e-4  # dy and the weights are rounded, too
    for one, other in zip(found[1], found[2], strict=True):
        np.testing.assert_array_equal(one, other)


def test_infinite_gradients_stay_so(monkeypatch):
    """NaN and infinities of dy reach dx and dW; other samples' pixels do not become NaN."""
    monkeypatch.setattr(grouped_pass, "bf16_products", lambda: "pairs")
    rng = np.random.default_rng(0)
    layer = SparseConv2d(16, 8, 3, padding=1, density=0.5, group=4, rng=rng)
    layer.plan(Spec((16, 8, 8), needs_gradient=True))
    x, dy = (rng.standard_normal((16, n, 8, 8), dtype=np.float32) for n in (16, 8))
    dy[3, 2, 4, 4] = np.nan
    dx, dw = _gradients(layer, x, dy, "bf16")
    assert np.isnan(dx[3]).any()
    assert np.isnan(dw[2]).any()
    assert np.isfinite(np.delete(dx, 3, axis=0)).all()
    assert np.isfinite(np.delete(dw, 2, 0)).all()
