"""Each fast kernel does what the plain definition above it says, on odd shapes."""

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import patterns

from sparsecpu.kernels import loss, norm, update
from sparsecpu.kernels.conv import average_pooling, max_pooling, plain
from sparsecpu.kernels.conv.blend import blend_kernel, plain_blend, plain_gated, plain_value
from sparsecpu.kernels.conv.channel_sums import channel_sums_kernel, plain_channel_sums
from sparsecpu.kernels.conv.sums import NO_SUMS, PRODUCTS
from sparsecpu.kernels.conv.thinning import (
    plain_thinned,
    plain_widened,
    thin_kernel,
    widen_kernel,
)
from sparsecpu.kernels.linear import BACK, PLAIN, gradient_kernel, matmul_kernel
from sparsecpu.kernels.linear.full import plain_product, product
from sparsecpu.kernels.linear.outer import outer
from sparsecpu.kernels.linear.scatter import plain_scatter, scatter_kernel
from sparsecpu.kernels.linear.wide import plain_gradient, plain_matmul
from sparsecpu.kernels.machine.arrays import aligned_copy
from sparsecpu.kernels.vectors.dots import plain_sums
from sparsecpu.kernels.vectors.sixteen_bits import narrow_shape, narrowed, plain_pairs
from sparsecpu.layers import AvgPool2d, MaxPool2d, SparseConv2d, Spec
from sparsecpu.layers.images.planes import Planes, no_gate, output
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace


def close(found, wanted, tolerance=1e-11):
    np.testing.assert_allclose(
        found, wanted, rtol=0, atol=tolerance * max(1, np.abs(wanted).max(initial=0))
    )


def context(samples):
    return Context(Workspace(), train=True, n_valid=samples)


@settings(max_examples=20)
@given(pattern=patterns(), seed=st.integers(0, 99))
def test_linear(pattern, seed):
    rng, p = np.random.default_rng(seed), pattern
    x, dy = (aligned_copy(rng.standard_normal((1, n, 16))) for n in (p.shape[1], p.shape[0]))
    data, bias = aligned_copy(rng.standard_normal(p.nnz)), rng.standard_normal(p.shape[0])
    y, dx, dw, cuts = np.empty_like(dy), np.empty_like(x), np.empty_like(data), p.blocks(128)
    matmul_kernel(16)(*cuts, p.indices, data, x, bias, y, y, PLAIN, p.chunks_of(128))
    close(y[0], plain_matmul(p.indptr, p.indices, data, x[0], bias))
    gradient_kernel(16)(*cuts, p.indices, x, dy, dw, bias[:0], p.chunks_of(128))
    close(dw, plain_gradient(p.indptr, p.indices, x[0], dy[0]))
    scatter_kernel(16)(p.indptr, p.indices, data, dy, x, dx, BACK, 1)
    close(dx[0], plain_scatter(p.indptr, p.indices, data, dy[0], p.shape[1]))


@pytest.mark.parametrize("lanes", [1, 3, 16, 80, 128])
@pytest.mark.parametrize("shape", [(1, 1), (6, 5), (23, 40)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_full_products(lanes, shape, dtype, rng):
    matrix, bias = (rng.standard_normal(n).astype(dtype) for n in (shape, shape[0]))
    x = aligned_copy(rng.standard_normal((2, shape[1], lanes)).astype(dtype))
    x[1, 0, 0] = np.nan
    y = np.empty((2, shape[0], lanes), dtype)
    for relu in (False, True):
        product(matrix, x, bias, y, relu)
        for tile in range(2):
            wanted = plain_product(matrix, x[tile], bias)
            close(y[tile], np.where(wanted < 0, 0, wanted) if relu else wanted, 1e-5)
    product(matrix, x, bias[:0], y, False)
    close(y[0], plain_product(matrix, x[0], 0 * bias), 1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 90), (5, 3), (40, 130)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outer_products(rows, columns, dtype, rng):
    a, b = (rng.standard_normal((n, 70)).astype(dtype)[:, 3:50] for n in (rows, columns))
    out = np.empty((rows, columns + 2), dtype)[:, 1:-1]
    outer(a, b, out)
    close(out, a @ b.T, 1e-5)


@pytest.mark.parametrize("lanes", [1, 2, 4, 16])
def test_sums_of_many_vectors(lanes, rng):
    vectors = list(rng.integers(-9, 9, (lanes, lanes)))
    np.testing.assert_array_equal(plain_sums(vectors), np.sum(vectors, axis=1))


@pytest.mark.parametrize("lanes", [16, 128])
def test_pairs_of_16_bits(lanes, rng):
    x = rng.standard_normal((1, 50, lanes)).astype(np.float32)
    x *= 2.0 ** rng.integers(-70, 70, x.shape)
    x[rng.random(x.shape) < 0.1] = 0
    shape, kind = narrow_shape(x.shape, "bf16")
    found = narrowed(x, np.empty(shape, kind), "bf16")
    np.testing.assert_array_equal(found[0], [plain_pairs(row) for row in x[0]])


@pytest.mark.parametrize(
    ("kernel", "padding", "size"), [(3, 1, (5, 9)), (2, 0, (4, 17)), (1, 0, (1, 3))]
)
def test_convolution(kernel, padding, size, rng):
    layer = SparseConv2d(3, 5, kernel, padding=padding, density=0.6, dtype=np.float64, rng=rng)
    layer.plan(Spec((3, *size), needs_gradient=True))
    layer.bias.data[:] = rng.standard_normal(5)
    p = layer.weight.pattern
    place = np.unravel_index(p.indices, (3, kernel, kernel))
    taps = plain.PlainTaps(p.rows(), *place, (kernel, kernel))
    x = rng.standard_normal((2, 3, *size))
    ctx = context(2)
    y, saved = layer.forward(naive.to_planes(x, 16), ctx)
    wanted = [
        plain.plain_convolution(image, taps, layer.weight.data, layer.bias.data, padding)
        for image in x
    ]
    close(naive.from_planes(y.values, 2), wanted)
    dy = rng.standard_normal(np.shape(wanted))
    dx = layer.backward(naive.to_planes(dy, 16), saved, ctx)
    wanted = [plain.plain_input_gradient(g, taps, layer.weight.data, 3, padding) for g in dy]
    close(naive.from_planes(dx.values, 2), wanted)
    wanted = sum(
        plain.plain_filter_gradient(image, g, taps, padding) for image, g in zip(x, dy, strict=True)
    )
    close(layer.weight.grad, wanted)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("gated", [False, True])
def test_blend(relu, two, gated, rng):
    first, other, second = rng.standard_normal((3, 2, 3, 4, 5, 16))
    a, b, c = rng.standard_normal((3, 4))
    centre = rng.standard_normal(4)
    lazy = Planes(first, a=a, c=c, other=other, b=b, centre=centre, relu=True)
    plus = Planes(second) if two else None
    gate = lazy.gate() if gated else no_gate(np.float64)
    y, mask = np.empty_like(first), np.ones((2, 16))
    out = output(y, np.empty((0, 4, 2, 16)), NO_SUMS, relu=relu, plus=plus)
    blend_kernel(16)(lazy.operand(), out, gate, mask)
    close(y, plain_blend(lazy.operand(), out.plus, relu, gate))


@pytest.mark.parametrize("step", [(2, 2), (1, 3), (3, 1), (4, 5)], ids=str)
@pytest.mark.parametrize("two", [False, True])
def test_pixels_that_a_stride_passes_over(step, two, rng):
    size = (5, 7)
    x, more = rng.standard_normal((2, 2, size[0], 4, size[1], 16))
    steps, seen = np.array(step), plain_thinned(x, step)
    thin = np.empty_like(seen)
    thin_kernel(16)(x, steps, thin)
    np.testing.assert_array_equal(thin, seen)
    a, c, centre = rng.standard_normal((3, 4))
    gating, plus = Planes(x, a=a, c=c, centre=centre), Planes(more) if two else None
    mask = (rng.random((2, 16)) < 0.8).astype(float)
    out = output(np.empty_like(x), np.empty((2, 4, 2, 16)), PRODUCTS, plus=plus)
    widen_kernel(16)(thin, steps, out, gating.gate(), mask)
    wanted = plain_gated(plain_widened(thin, step, size) + (more if two else 0), gating.gate())
    close(out.y, wanted)
    masked = wanted * mask[:, None, None, None]
    factors = 1, x - centre[:, None, None]
    close(out.sums.sum(axis=(0, 3)).T, [(masked * f).sum(axis=(0, 1, 3, 4)) for f in factors])


@pytest.mark.parametrize("other", [False, True])
def test_channel_sums(other, rng):
    values, more = rng.standard_normal((2, 2, 3, 4, 5, 16))
    a, b, c, centre = rng.standard_normal((4, 4))
    terms = {"other": more, "b": b} if other else {}
    operand = Planes(values, a=a, c=c, centre=centre, **terms).operand()
    sums, mask = np.empty((2, 4, 2, 16)), np.ones((2, 16))
    channel_sums_kernel(16)(operand, sums, mask)
    close(sums.sum(axis=(0, 3)).T, plain_channel_sums(operand))


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
@pytest.mark.parametrize("kind", [MaxPool2d, AvgPool2d])
def test_pooling(kind, kernel, stride, padding, rng):
    layer = kind(kernel, stride=stride, padding=padding)
    layer.plan(Spec((4, 7, 9), needs_gradient=True))
    source = Planes(
        rng.standard_normal((1, 7, 4, 9, 16)), a=rng.standard_normal(4), c=np.ones(4), relu=True
    )
    ctx = context(16)
    y, saved = layer.forward(source, ctx)
    dy = rng.standard_normal(y.shape)
    dx = layer.backward(dy, saved, ctx)
    windows, wanted_y, wanted_dx = layer._windows, np.empty(y.shape), np.zeros(dx.shape)
    for channel, lane in np.ndindex(4, 16):
        image = plain_value(source.operand())[0, :, channel, :, lane]
        raw = plain_value(Planes(source.values, a=source.a, c=source.c).operand())[
            0, :, channel, :, lane
        ]
        here = (0, slice(None), channel, slice(None), lane)
        if kind is MaxPool2d:
            max_pooling.plain_max_pool(image, windows, wanted_y[here])
            max_pooling.plain_max_pool_gradient(raw, dy[here], windows, wanted_dx[here])
        else:
            average_pooling.plain_average_pool(image, windows, wanted_y[here])
            average_pooling.plain_average_pool_gradient(dy[here], windows, wanted_dx[here])
    close(y.values, wanted_y)
    close(dx.values, wanted_dx)


@pytest.mark.parametrize("batch", [2, 17])
def test_batch_norm(batch, rng):
    x, dy = rng.standard_normal((2, batch, 5))
    gamma, beta = rng.standard_normal((2, 5))
    xt, dyt = naive.to_tiles(x, 16), naive.to_tiles(dy, 16)
    mean, variance, dgamma, dbeta = np.empty((4, 5))
    y, dx = np.empty_like(xt), np.empty_like(xt)
    norm.batch_statistics(xt, batch, mean, variance)
    norm.normalise(xt, mean, variance, 1e-5, gamma, beta, y)
    close(naive.from_tiles(y, batch), norm.plain_batch_norm(x, gamma, beta, 1e-5), 1e-10)
    norm.normalise_backward(xt, dyt, batch, mean, variance, 1e-5, gamma, True, dgamma, dbeta, dx)
    found = naive.from_tiles(dx, batch), dgamma, dbeta
    for one, wanted in zip(found, norm.plain_batch_norm_backward(x, dy, gamma, 1e-5), strict=True):
        close(one, wanted, 1e-9)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd(nesterov, rng):
    w, g, v = rng.standard_normal((3, 33))
    wanted = update.plain_sgd(w, g, v, 0.1, 0.9, 0.01, nesterov)
    step = (1.0, 0.9) if nesterov else (0.0, 1.0)
    update.sgd_update(w, g, v, 0.1, 0.9, 0.01, *step, 1.0, np.empty(0, np.int32), w[:0])
    close(w, wanted[0], 1e-13)
    close(v, wanted[1], 1e-13)


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam(decoupled, rng):
    w, g, m, v = rng.standard_normal((4, 33))
    v, options = v**2, (0.1, 0.9, 0.99, 1e-8, 0.01, decoupled, 5)
    wanted = update.plain_adam(w, g, m, v, *options)
    update.adam_update(w, g, m, v, *options, 1.0, np.empty(0, np.int32), w[:0])
    for found, want in zip((w, m, v), wanted, strict=True):
        close(found, want, 1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    "name", ["softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error"]
)
def test_losses(name, smoothing, rng):
    z, rows = 3 * rng.standard_normal((19, 5)), rng.permutation(30)[:19]
    options = (smoothing,) if name.startswith("softmax") else ()
    targets = rng.integers(0, 5, 30) if options else rng.random((30, 5))
    tiles = naive.to_tiles(z, 16)
    dz, losses = np.empty_like(tiles), np.empty(2)
    getattr(loss, name)(tiles, rows, targets, np.empty(0), *options, 0.5, dz, losses)
    define = getattr(loss, f"plain_{name}")
    wanted = [
        define(score, target, *options) for score, target in zip(z, targets[rows], strict=True)
    ]
    close(losses.sum(), 0.5 * sum(value for value, _ in wanted))
    close(naive.from_tiles(dz, 19), [0.5 * slope for _, slope in wanted])
