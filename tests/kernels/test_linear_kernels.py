"""The kernels of linear layers against plain twins, on odd patterns."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from strategies import LANES, patterns

from sparsecpu.kernels.linear import (
    BACK,
    BACK_PLUS,
    BACK_TIMES,
    GATED,
    PLAIN,
    PLUS,
    RELU,
    gradient_kernel,
    matmul_kernel,
    portable,
)
from sparsecpu.kernels.linear.scatter import _portable as portable_scatter
from sparsecpu.kernels.linear.scatter import scatter_kernel
from sparsecpu.kernels.machine.arrays import aligned_copy
from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.sparse.row_blocks import block_bytes, uncut_bytes
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


def finished(dx, gate):
    """Return each way to finish a gradient that reads a gate, and what comes out."""
    return (GATED, dx * (gate > 0)), (BACK_TIMES, dx * gate), (BACK_PLUS, dx + gate)


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
    matmul(*cuts, p.indices, data, xt, bias, dyt, y, PLUS, p.chunks_of(row_bytes))
    close(naive.from_tiles(y, batch), wanted + dy, dtype)

    wanted_dx, wanted_dw, wanted_db = naive.linear_backward(w, x, dy)
    t, dx = p.transposed, np.empty_like(xt)
    turned = aligned_copy(data[t.perm])
    turned_cuts = t.blocks(row_bytes)
    matmul(*turned_cuts, t.indices, turned, dyt, nothing, dx, dx, BACK, t.chunks_of(row_bytes))
    close(naive.from_tiles(dx, batch), wanted_dx, dtype)
    for finish, expected in finished(wanted_dx, x):
        matmul(*turned_cuts, t.indices, turned, dyt, nothing, xt, dx, finish,
               t.chunks_of(row_bytes))  # fmt: skip
        close(naive.from_tiles(dx, batch), expected, dtype)

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


@pytest.mark.parametrize("finish", [BACK, GATED])
@pytest.mark.parametrize("build", [scatter_kernel, portable_scatter])
def test_tiny_scattered_gradients_end(build, finish):
    dy = np.array([1e-31, -1e-31, 1e-29, -1e-29, np.nan, np.inf, 0.0, 1.0] * 2, np.float32)
    pattern, one = Pattern.full((1, 1)), np.ones(1, np.float32)
    tile, found = dy.reshape(1, 1, 16), np.empty((1, 1, 16), np.float32)
    x = np.ones_like(tile)
    build(16)(pattern.indptr, pattern.indices, one, tile, x, found, finish, 1)
    np.testing.assert_array_equal(found[0, 0], np.where(np.abs(dy) < 1e-30, 0, dy))


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
@pytest.mark.parametrize("other", [0.0, 1.0, -3.999, np.nan])
def test_pairs_of_16_bits(value, other):
    """Each number alone, in each half of a pair: no subnormal, nothing finite made of infinity."""
    pattern = Pattern.full((1, 1))
    for first, second in ((value, other), (other, value)):
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
    monkeypatch.setattr("sparsecpu.sparse.row_blocks.near_level_three", lambda: 0)
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
