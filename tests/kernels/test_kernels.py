import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from strategies import LANES, patterns

from sparsecpu.kernels.linear import (
    BACK,
    GATED,
    PLAIN,
    RELU,
    gradient_kernel,
    matmul_kernel,
    portable,
)
from sparsecpu.kernels.linear.scatter import _portable as portable_scatter
from sparsecpu.kernels.linear.scatter import scatter_kernel
from sparsecpu.kernels.machine.arrays import aligned_copy
from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.kernels.norm import batch_statistics, normalise, normalise_backward
from sparsecpu.kernels.tiling import gather_samples, scatter_samples
from sparsecpu.kernels.update import adam_update, refresh, sgd_update
from sparsecpu.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.sparse.row_blocks import block_bytes, uncut_bytes
from sparsecpu.step.context import Context
from sparsecpu.step.precision import sixteen_bit_copy
from sparsecpu.step.workspace import Workspace

TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}


def close(found, wanted, dtype):
    scale = max(1.0, float(np.abs(wanted).max(initial=0)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE[dtype] * scale)


def problem(pattern, batch, lanes, dtype, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, pattern.shape[1])).astype(dtype)
    dy = rng.standard_normal((batch, pattern.shape[0])).astype(dtype)
    data = aligned_copy(rng.standard_normal(pattern.nnz), dtype)
    bias = rng.standard_normal(pattern.shape[0]).astype(dtype)
    return x, dy, data, bias, *(aligned_copy(naive.to_tiles(a, lanes)) for a in (x, dy))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lanes", LANES)
@given(
    pattern=patterns(),
    batch=st.sampled_from([1, 17, 64, 130]),
    seed=st.integers(0, 99),
    row_bytes=st.sampled_from([4, 100_000]),  # one block of columns, or several where that pays
)
def test_linear_kernels(lanes, dtype, pattern, batch, seed, row_bytes):
    check_linear(matmul_kernel(lanes), gradient_kernel(lanes), lanes, dtype, pattern, batch, seed,
                 row_bytes)  # fmt: skip


@pytest.mark.parametrize(("lanes", "dtype"), [(32, np.float32), (64, np.float64)])
@given(pattern=patterns(), batch=st.sampled_from([1, 17, 130]), seed=st.integers(0, 99),
       row_bytes=st.sampled_from([4, 100_000]))  # fmt: skip
def test_portable_kernels(lanes, dtype, pattern, batch, seed, row_bytes):
    check_linear(portable.matmul_kernel(lanes), portable.gradient_kernel(lanes), lanes, dtype,
                 pattern, batch, seed, row_bytes)  # fmt: skip


def check_linear(matmul, gradient, lanes, dtype, pattern, batch, seed, row_bytes):
    x, dy, data, bias, xt, dyt = problem(pattern, batch, lanes, dtype, seed)
    w = naive.dense(pattern.shape, pattern.indptr, pattern.indices, data)
    y, nothing = np.empty_like(dyt), np.empty(0, dtype)
    p = pattern
    cuts = p.blocks(row_bytes)
    matmul(*cuts, p.indices, data, xt, bias, y, y, PLAIN, p.chunks_of(row_bytes))
    wanted = naive.linear(w, bias, x)
    close(naive.from_tiles(y, batch), wanted, dtype)
    matmul(*cuts, p.indices, data, xt, bias, y, y, RELU, p.chunks_of(row_bytes))
    close(naive.from_tiles(y, batch), naive.relu(wanted), dtype)

    wanted_dx, wanted_dw, wanted_db = naive.linear_backward(w, x, dy)
    t, dx = p.transposed, np.empty_like(xt)
    turned = aligned_copy(data[t.perm])
    turned_cuts = t.blocks(row_bytes)
    matmul(*turned_cuts, t.indices, turned, dyt, nothing, dx, dx, BACK, t.chunks_of(row_bytes))
    close(naive.from_tiles(dx, batch), wanted_dx, dtype)
    matmul(*turned_cuts, t.indices, turned, dyt, nothing, xt, dx, GATED, t.chunks_of(row_bytes))
    close(naive.from_tiles(dx, batch), wanted_dx * (x > 0), dtype)

    dw, db = np.full(p.nnz, np.nan, dtype), np.full(p.shape[0], np.nan, dtype)
    gradient(*cuts, p.indices, xt, dyt, dw, db, p.chunks_of(row_bytes))
    close(dw, naive.at_nonzeros(wanted_dw, p.indptr, p.indices), dtype)
    close(db, wanted_db, dtype)


def test_rows_far_away(rng):
    """Narrow tiles larger than the caches, read ahead of the sums: to the last nonzero."""
    shape, lanes = (50, (17 << 20) // 64), 16
    pattern = Pattern.from_keys(shape, np.sort(rng.choice(shape[0] * shape[1], 301, False)))
    x, dy, data, bias, xt, dyt = problem(pattern, 16, lanes, np.float32, 0)
    cuts, rows = pattern.blocks(4), np.repeat(np.arange(shape[0]), pattern.fan_in)
    y, dw, db = np.empty_like(dyt), np.empty_like(data), np.empty_like(bias)
    matmul_kernel(lanes)(*cuts, pattern.indices, data, xt, bias, y, y, PLAIN, pattern.chunks)
    sparse = csr_array((data, pattern.indices, pattern.indptr), shape=shape)
    close(naive.from_tiles(y, 16), (sparse @ x.T).T + bias, np.float32)
    gradient_kernel(lanes)(*cuts, pattern.indices, xt, dyt, dw, db, pattern.chunks)
    close(dw, (dy[:, rows] * x[:, pattern.indices]).sum(axis=0), np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("build", [matmul_kernel, portable.matmul_kernel])
def test_tiny_gradients_end(build, dtype):
    """Below 1e-30 a gradient is 0; what is larger stays, and so does NaN."""
    dy = np.array([1e-31, -1e-31, 1e-29, -1e-29, np.nan, np.inf, 0.0, 1.0] * 2, dtype)
    wanted = np.where(np.abs(dy) < 1e-30, 0, dy)
    pattern, one = Pattern.full((1, 1)), np.ones(1, dtype)
    tile, x = dy.reshape(1, 1, 16), np.ones((1, 1, 16), dtype)
    for finish, expected in ((BACK, wanted), (GATED, wanted), (PLAIN, dy)):
        found = np.empty_like(tile)
        build(16)(*pattern.blocks(4), pattern.indices, one, tile, one[:0], x, found, finish,
                  pattern.chunks)  # fmt: skip
        np.testing.assert_array_equal(found[0, 0], expected)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("build", [scatter_kernel, portable_scatter])
def test_tiny_scattered_gradients_end(build, gated):
    dy = np.array([1e-31, -1e-31, 1e-29, -1e-29, np.nan, np.inf, 0.0, 1.0] * 2, np.float32)
    pattern, one = Pattern.full((1, 1)), np.ones(1, np.float32)
    tile, found = dy.reshape(1, 1, 16), np.empty((1, 1, 16), np.float32)
    x = np.ones_like(tile)
    build(16)(pattern.indptr, pattern.indices, one, tile, x, found, gated, 1)
    np.testing.assert_array_equal(found[0, 0], np.where(np.abs(dy) < 1e-30, 0, dy))


def test_sure_samples_have_no_gradient():
    """A softmax that has left all doubt behind would pass subnormal numbers back."""
    z = np.zeros((1, 3, 16), np.float32)
    z[0, 0], z[0, 1] = 95.0, np.linspace(-9, 95, 16)
    rows = np.arange(16)
    _, dz = SoftmaxCrossEntropy()(z, rows, np.zeros(16, np.int32), Context())
    _, wanted = naive.softmax_cross_entropy(z[0].T.astype(np.float64), np.zeros(16, int))
    assert not ((dz != 0) & (np.abs(dz) < 1e-30)).any()
    np.testing.assert_allclose(naive.from_tiles(dz, 16), wanted, atol=1e-8)
    assert (dz[0, 2] == 0).all()


@pytest.mark.parametrize(("lanes", "precision"), [(16, "bf16"), (64, "bf16"), (128, "fp16")])
@given(pattern=patterns(), batch=st.sampled_from([1, 17, 130]), seed=st.integers(0, 99))
def test_kernels_read_16_bits(lanes, precision, pattern, batch, seed):
    x, dy, data, bias, xt, dyt = problem(pattern, batch, lanes, np.float32, seed)
    x[x < -1] = 0
    xt = aligned_copy(naive.to_tiles(x, lanes))
    read = sixteen_bit_copy(Workspace(), "x", xt, precision)
    assert read.nbytes * 2 == xt.nbytes
    exact = naive.bf16(x) if precision == "bf16" else x.astype(np.float16)
    w = naive.dense(pattern.shape, pattern.indptr, pattern.indices, data)
    # the second of a pair may be its other neighbour: as near, by the bits of the first
    slack = np.abs(x).max() * (2**-7 if precision == "bf16" else 2**-11)
    y, p = np.empty_like(dyt), pattern
    matmul_kernel(lanes)(*p.blocks(4), p.indices, data, read, bias, y, y, PLAIN, p.chunks_of(4))
    allowed = slack * np.abs(w).sum(axis=1) + 1e-4
    assert (np.abs(naive.from_tiles(y, batch) - naive.linear(w, bias, exact)) <= allowed).all()
    dw, db = np.empty(p.nnz, np.float32), np.empty(p.shape[0], np.float32)
    gradient_kernel(lanes)(*p.blocks(4), p.indices, read, dyt, dw, db, p.chunks)
    wanted = naive.at_nonzeros(dy.T @ exact, p.indptr, p.indices)
    rows = np.repeat(np.arange(p.shape[0]), np.diff(p.indptr))
    assert (np.abs(dw - wanted) <= slack * np.abs(dy).sum(axis=0)[rows] + 1e-4).all()


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -1e-30, 3e38, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("beside", [0.0, 1.0, -3.999, np.nan])
def test_pairs_of_16_bits(value, beside):
    """Each number alone, in each half of a pair: no subnormal, nothing finite made of infinity."""
    pattern = Pattern.full((1, 1))
    for first, second in ((value, beside), (beside, value)):
        x = np.zeros((1, 1, 32), np.float32)
        x[0, 0, 3], x[0, 0, 19] = first, second
        read = sixteen_bit_copy(Workspace(), "x", x, "bf16")
        halves = np.array([read[0, 0, 3] << 16, read[0, 0, 3]], np.uint32).view(np.float32)
        assert not ((np.abs(halves) > 0) & (np.abs(halves) < 1e-37)).any()
        y, one = np.empty((1, 1, 32), np.float32), np.ones(1, np.float32)
        matmul_kernel(32)(*pattern.blocks(4), pattern.indices, one, read, one[:0], y, y, PLAIN,
                          pattern.chunks)  # fmt: skip
        for found, given_ in ((y[0, 0, 3], first), (y[0, 0, 19], second)):
            if np.isfinite(given_):
                assert found == pytest.approx(given_, rel=2**-8, abs=2**-59)
            else:
                assert not np.isfinite(found)


@pytest.mark.parametrize("row_bytes", [4, 20_000, 300_000])
def test_blocks_hold_every_nonzero_once(row_bytes, rng):
    p = Pattern.random((37, 501), 37 * 200, rng)
    for index in (p, p.transposed):
        starts, ends = index.blocks(row_bytes)
        size, most = index.columns * row_bytes, len(index.indices) // (10 * starts.shape[1])
        wanted = 1 if size <= uncut_bytes() else -(-size // block_bytes())
        assert len(starts) == max(1, min(wanted, most))
        np.testing.assert_array_equal(starts[0], index.indptr[:-1])
        np.testing.assert_array_equal(ends[-1], index.indptr[1:])
        np.testing.assert_array_equal(starts[1:], ends[:-1])
        width = -(-index.columns // len(starts))
        for block, (begin, end) in enumerate(zip(starts, ends, strict=True)):
            for a, b in zip(begin, end, strict=True):
                assert (index.indices[a:b] // width == block).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_chunks_share_out_all_rows(threads, rng, monkeypatch):
    monkeypatch.setattr("sparsecpu.sparse.row_blocks.level_two_cache", lambda: 8000)
    p = Pattern.random((37, 501), 37 * 200, rng)
    assert p.chunks_of(4) is p.chunks  # one block
    with use_threads(threads):
        chunks = p.chunks_of(400)
    assert len(p.blocks(400)[0]) > 1
    assert (chunks[0], chunks[-1]) == (0, 37)
    assert (np.diff(chunks) > 0).all()
    assert (len(chunks) - 1) % threads == 0
    assert np.diff(chunks).max() * 400 <= 2 * 4000  # sums about half of the cache


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_come_through(value):
    p = Pattern.full((3, 2))
    data = np.ones(6, np.float32)
    data[2] = value
    x, y = np.ones((1, 2, 16), np.float32), np.empty((1, 3, 16), np.float32)
    bias = np.zeros(3, np.float32)
    matmul_kernel(16)(*p.blocks(64), p.indices, data, x, bias, y, y, RELU, p.chunks)
    assert np.isfinite(y[0, 0]).all()
    assert not np.isfinite(y[0, 1]).any()


@given(samples=st.integers(1, 70), features=st.integers(1, 40), lanes=st.sampled_from(LANES))
def test_layout(samples, features, lanes):
    rng = np.random.default_rng(samples)
    x = rng.standard_normal((90, features)).astype(np.float32)
    rows = rng.permutation(90)[:samples]
    offset, scale = rng.standard_normal((2, features)).astype(np.float32)
    out = np.full((-(-samples // lanes), features, lanes), np.nan, np.float32)
    padded = np.zeros(len(out) * lanes, np.int64)
    padded[:samples] = rows
    gather_samples(x, padded, samples, offset, scale, out)
    np.testing.assert_allclose(out, naive.to_tiles((x[rows] - offset) * scale, lanes), rtol=1e-6)
    gather_samples(x, padded, samples, offset[:0], scale[:0], out)
    np.testing.assert_array_equal(out, naive.to_tiles(x[rows], lanes))
    back = np.empty((samples, features), np.float32)
    scatter_samples(out, back)
    np.testing.assert_array_equal(back, x[rows])


@pytest.mark.parametrize("given", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("wanted", [np.float32, np.float64])
def test_samples_are_read_from_any_type(given, wanted, rng):
    x = rng.integers(0, 256, (50, 37)).astype(given)
    rows = rng.permutation(50)[:43]
    offset, scale = rng.standard_normal((2, 37)).astype(wanted)
    out = np.empty((2, 37, 32), wanted)
    gather_samples(x, np.r_[rows, [0] * 21], 43, offset, scale, out)
    want = naive.to_tiles((x[rows].astype(wanted) - offset) * scale, 32)
    np.testing.assert_allclose(out, want, rtol=1e-6)


LOSSES = {
    "softmax": (SoftmaxCrossEntropy(), naive.softmax_cross_entropy),
    "smoothed": (
        SoftmaxCrossEntropy(0.1),
        lambda z, y, w: naive.softmax_cross_entropy(z, y, w, 0.1),
    ),
    "sigmoid": (SigmoidCrossEntropy(), naive.sigmoid_cross_entropy),
    "squared": (SquaredError(), naive.squared_error),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch", [1, 17, 33])
def test_losses(name, weighted, batch, rng):
    loss, twin = LOSSES[name]
    z = 3 * rng.standard_normal((batch, 4))
    rows = rng.permutation(50)[:batch]
    targets = rng.integers(0, 4, 50) if "s" in name[:2] and name != "sigmoid" else None
    if name in ("sigmoid", "squared"):
        targets = rng.integers(0, 2, (50, 4)).astype(float)
    weights = rng.random(50) + 0.1 if weighted else None
    ctx = Context(Workspace(), n_valid=batch)
    tiles = naive.to_tiles(z, 16)
    tiles[-1, :, (batch - 1) % 16 + 1 :] = 7.0  # padding must not count
    value, dz = loss(tiles, rows, loss.prepare(targets, 4), ctx, weights)
    wanted, gradient = twin(z, targets[rows], None if weights is None else weights[rows])
    assert value == pytest.approx(wanted, rel=1e-12)
    np.testing.assert_allclose(naive.from_tiles(dz, batch), gradient, atol=1e-14)
    assert not dz[-1, :, (batch - 1) % 16 + 1 :].any()


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd(nesterov, momentum, rng):
    w, g, v = rng.standard_normal((3, 41))
    if momentum == 0:
        v[:] = 0
    perm = rng.permutation(41).astype(np.int32)
    turned = np.empty(41)
    wanted = naive.sgd(w, g, v, 0.1, momentum, 0.01, nesterov)
    slot = v if momentum else g
    by_gradient, by_velocity = (1.0, momentum) if nesterov else (0.0, 1.0)
    sgd_update(w, g, slot, 0.1, momentum, 0.01, by_gradient, by_velocity, perm, turned)
    np.testing.assert_allclose(w, wanted[0], rtol=1e-13)
    np.testing.assert_array_equal(turned, w[perm])
    refresh(v, perm, turned)
    np.testing.assert_array_equal(turned, v[perm])
    if momentum:
        np.testing.assert_allclose(v, wanted[1], rtol=1e-13)


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam(decoupled, rng):
    w, g, m, v = rng.standard_normal((4, 23))
    v = np.abs(v)
    args = (0.1, 0.9, 0.99, 1e-8, 0.01, decoupled)
    wanted = naive.adam(w, g, m, v, *args, 4)
    adam_update(w, g, m, v, *args, 5, np.empty(0, np.int32), w[:0])
    for found, want in zip((w, m, v), wanted, strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-12)


def test_tiny_values_are_flushed():
    w = np.array([1e-31, -1e-31, 1e-20, np.nan], np.float32)
    v = np.array([1e-33, 0, 0, 0], np.float32)
    zero = np.zeros(4, np.float32)
    n = np.float32
    sgd_update(w, zero, v, n(0.1), n(0.9), n(0), n(1), n(0.9), np.empty(0, np.int32), w[:0])
    assert w[0] == 0
    assert w[1] == 0
    assert w[2] == n(1e-20)
    assert np.isnan(w[3])
    assert v[0] == 0


@pytest.mark.parametrize("batch", [2, 17, 40])
def test_batch_norm_kernels(batch, rng):
    x, dy = rng.standard_normal((2, batch, 5))
    gamma, beta = np.array([1.0, -2.0, 0.5, 0.0, 3.0]), rng.standard_normal(5)
    xt, dyt = naive.to_tiles(x, 16), naive.to_tiles(dy, 16)
    xt[-1, :, (batch - 1) % 16 + 1 :] = 9.0
    mean, variance, y = np.empty(5), np.empty(5), np.empty_like(xt)
    batch_statistics(xt, batch, mean, variance)
    np.testing.assert_allclose(mean, x.mean(axis=0), atol=1e-14)
    np.testing.assert_allclose(variance, x.var(axis=0), rtol=1e-12)
    normalise(xt, mean, variance, 1e-5, gamma, beta, y)
    wanted = naive.batch_norm(x, gamma, beta, 1e-5)
    np.testing.assert_allclose(naive.from_tiles(y, batch), wanted, atol=1e-12)
    dx, dgamma, dbeta = np.full_like(xt, np.nan), np.empty(5), np.empty(5)
    normalise_backward(
        xt, dyt, batch, mean, variance, 1e-5, gamma, True, dgamma, dbeta, dx
    )  # fmt: skip
    h = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
    np.testing.assert_allclose(dgamma, (dy * h).sum(axis=0), atol=1e-11)
    np.testing.assert_allclose(dbeta, dy.sum(axis=0), atol=1e-12)
    inner = dy - dy.mean(axis=0) - h * (dy * h).mean(axis=0)
    wanted = gamma / np.sqrt(x.var(axis=0) + 1e-5) * inner
    np.testing.assert_allclose(naive.from_tiles(dx, batch), wanted, atol=1e-11)
    assert not dx[-1, :, (batch - 1) % 16 + 1 :].any()
