"""The kernels of linear layers whose rows stand in groups, against plain twins, on odd patterns."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import grouped

from sparsecpu.kernels.linear import BACK, BACK_PLUS, BACK_TIMES, GATED, PLAIN, PLUS, RELU
from sparsecpu.kernels.linear.grouped import (
    gradient_kernel,
    matmul_kernel,
    plain_matmul,
    scatter_kernel,
    tiles_at_once,
)
from sparsecpu.kernels.machine.arrays import aligned_copy
from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.kernels.shared_columns import (
    magnitudes,
    move,
    plain_magnitudes,
    plain_move,
    plain_to_rows,
    to_rows,
)
from sparsecpu.sparse.pattern import Pattern

TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
KINDS = [(4, 64, np.float32), (2, 32, np.float64), (8, 32, np.float64)]


def close(found, wanted, dtype):
    scale = max(1.0, float(np.abs(wanted).max(initial=0)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE[dtype] * scale)


class Layer:
    """What the kernels take of a layer: a pattern, values, and the cuts of blocks and chunks."""

    def __init__(self, pattern, lanes, dtype, blocks=1):
        self.shared, self.group = pattern.groups, pattern.group
        self.kind = pattern.group, lanes, np.dtype(dtype).itemsize
        self.cuts = self.shared.indptr, *self.shared.cut(blocks), self.shared.indices
        groups = self.shared.shape[0]
        self.chunks = np.unique([0, groups // 3, groups])

    def forward(self, data, x, bias, y, finish, gate=None):
        matmul_kernel(*self.kind)(
            *self.cuts, data, x, bias, y if gate is None else gate, y, finish, self.chunks
        )
        return y

    def scatter(self, data, dy, x, dx, finish):
        scatter_kernel(*self.kind)(*self.cuts, data, dy, x, dx, finish)
        return dx

    def gradient(self, x, dy, dw, db, span):
        gradient_kernel(*self.kind)(*self.cuts, x, dy, dw, db, self.chunks, span, 0)
        return dw, db


@pytest.mark.parametrize(("group", "lanes", "dtype"), KINDS)
@given(data=st.data(), batch=st.sampled_from([1, 17, 130]), seed=st.integers(0, 99),
       blocks=st.sampled_from([1, 3]), span=st.integers(1, 5))  # fmt: skip
def test_grouped_kernels(group, lanes, dtype, data, batch, seed, blocks, span):
    p = data.draw(grouped(40, group))
    layer, rng = Layer(p, lanes, dtype, blocks), np.random.default_rng(seed)
    x, dy = (rng.standard_normal((batch, n)).astype(dtype) for n in (p.shape[1], p.shape[0]))
    values = aligned_copy(rng.standard_normal(p.nnz), dtype)
    bias = rng.standard_normal(p.shape[0]).astype(dtype)
    xt, dyt = (aligned_copy(naive.to_tiles(a, lanes)) for a in (x, dy))
    w = naive.dense(p.shape, p.indptr, p.indices, values)

    wanted, y = naive.linear(w, bias, x), np.empty_like(dyt)
    plain = plain_matmul(group, p.groups.indptr, p.groups.indices, values, xt[0], bias)
    close(layer.forward(values, xt, bias, y, PLAIN)[0], plain, dtype)
    close(naive.from_tiles(y, batch), wanted, dtype)
    layer.forward(values, xt, bias, y, RELU)
    close(naive.from_tiles(y, batch), naive.relu(wanted), dtype)
    layer.forward(values, xt, bias[:0], y, PLAIN)
    close(naive.from_tiles(y, batch), x @ w.T, dtype)
    layer.forward(values, xt, bias, y, PLUS, dyt)
    close(naive.from_tiles(y, batch), wanted + dy, dtype)

    wanted_dx, wanted_dw, wanted_db = naive.linear_backward(w, x, dy)
    dx = layer.scatter(values, dyt, xt, np.full_like(xt, np.nan), BACK)
    close(naive.from_tiles(dx, batch), wanted_dx, dtype)
    layer.scatter(values, dyt, xt, dx, GATED)
    close(naive.from_tiles(dx, batch), wanted_dx * (x > 0), dtype)
    layer.scatter(values, dyt, xt, dx, BACK_TIMES)
    close(naive.from_tiles(dx, batch), wanted_dx * x, dtype)
    layer.scatter(values, dyt, xt, dx, BACK_PLUS)
    close(naive.from_tiles(dx, batch), wanted_dx + x, dtype)

    dw, db = np.full(p.nnz, np.nan, dtype), np.full(p.shape[0], np.nan, dtype)
    layer.gradient(xt, dyt, dw, db, span)
    close(dw, naive.at_nonzeros(wanted_dw, p.indptr, p.indices), dtype)
    close(db, wanted_db, dtype)
    again = layer.gradient(xt, dyt, np.empty_like(dw), np.empty(0, dtype), span)[0]
    np.testing.assert_array_equal(again, dw)


@pytest.mark.parametrize("tiles", [1, 9])
def test_bits_do_not_depend_on_threads(tiles, rng):
    """Nor on how columns are cut into blocks, but for where they are added up again."""
    p, found = Pattern.random((91, 130), 4000, rng, group=4), []
    x, dy = (aligned_copy(rng.standard_normal((tiles, n, 64)), np.float32) for n in (130, 91))
    values, bias = aligned_copy(rng.standard_normal(p.nnz), np.float32), np.ones(91, np.float32)
    for threads in (1, 2):
        for blocks in (1, 2, 5):
            layer = Layer(p, 64, np.float32, blocks)
            with use_threads(threads):
                found.append((
                    layer.forward(values, x, bias, np.empty_like(dy), RELU),
                    layer.scatter(values, dy, x, np.empty_like(x), GATED),
                    *layer.gradient(x, dy, np.empty_like(values), np.empty_like(bias), 4),
                ))  # fmt: skip
    for others in found[1:]:
        for one, other in zip(found[0][:2], others[:2], strict=True):
            np.testing.assert_array_equal(one, other)
    for one, other in zip(found[:3], found[3:], strict=True):
        np.testing.assert_array_equal(one[2], other[2])
        np.testing.assert_array_equal(one[3], other[3])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_comes_through(value):
    """In the rows, columns and lanes that it concerns, and in no other; a last group of one row."""
    p = Pattern.of_groups(5, 4, Pattern((2, 3), [0, 2, 3], [0, 2, 1]))
    layer, lanes = Layer(p, 64, np.float32), 64
    values, x = np.ones(p.nnz, np.float32), np.ones((1, 3, lanes), np.float32)
    dy, bias = np.ones((1, 5, lanes), np.float32), np.zeros(5, np.float32)
    values[2] = value  # row 1, column 0
    y = layer.forward(values, x, bias, np.empty_like(dy), RELU)[0]
    wanted = np.array([2, max(value, 0) if value < 0 else value, 2, 2, 1], np.float32)
    np.testing.assert_array_equal(y, np.repeat(wanted[:, None], lanes, axis=1))
    dx = layer.scatter(values, dy, x, np.empty_like(x), GATED)[0]
    np.testing.assert_array_equal(dx[:, 0], np.array([value, 1, 4], np.float32))
    x[0, 1, 3] = value
    dw, db = layer.gradient(x, dy, np.empty_like(values), np.empty_like(bias), 1)
    np.testing.assert_array_equal(dw, np.array([lanes] * 8 + [value], np.float32))
    np.testing.assert_array_equal(db, np.full(5, lanes, np.float32))
    closed = layer.scatter(values, dy, np.full_like(x, np.nan), np.empty_like(x), GATED)
    assert not closed.any()  # a gate that is no number is shut


def test_tiny_gradients_end():
    """Below 1e-30 a gradient is 0; what is larger stays, and so does NaN."""
    p, one = Pattern.of_groups(1, 4, Pattern.full((1, 1))), np.ones(1, np.float32)
    dy = np.array([1e-31, -1e-31, 1e-29, -1e-29, np.nan, np.inf, 0.0, 1.0] * 8, np.float32)
    tile, x = dy.reshape(1, 1, 64), np.ones((1, 1, 64), np.float32)
    for finish in (BACK, GATED):
        found = Layer(p, 64, np.float32).scatter(one, tile, x, np.empty_like(x), finish)
        np.testing.assert_array_equal(found[0, 0], np.where(np.abs(dy) < 1e-30, 0, dy))


def test_a_tile_as_large_as_the_cache_is_gone_through_alone():
    assert tiles_at_once(np.empty((3, 1 << 20, 64), np.float32)) == 1
    assert tiles_at_once(np.empty((3, 1, 16), np.float32)) > 3


@pytest.mark.parametrize("group", [2, 4, 8])
@pytest.mark.parametrize("squares", [False, True])
@given(data=st.data(), seed=st.integers(0, 99))
def test_shared_columns_and_their_rows(group, squares, data, seed):
    p, rng = data.draw(grouped(40, group)), np.random.default_rng(seed)
    n_out, indptr = p.shape[0], p.groups.indptr
    shared, values = rng.standard_normal(p.groups.nnz), rng.standard_normal(p.nnz)
    out = np.full(p.nnz, np.nan)
    to_rows(indptr, shared, group, n_out, out)
    np.testing.assert_array_equal(out, plain_to_rows(indptr, shared, group, n_out))
    found = np.full(p.groups.nnz, np.nan)
    magnitudes(indptr, values, group, n_out, squares, found)
    wanted = plain_magnitudes(indptr, values, group, n_out, squares)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize("group", [1, 4])
@given(data=st.data(), seed=st.integers(0, 99), rate=st.floats(0, 1))
def test_vectors_move_to_another_pattern(group, data, seed, rate):
    p, rng = data.draw(grouped(40, group)), np.random.default_rng(seed)
    free = np.setdiff1d(np.arange(p.groups.size), p.groups.keys())
    drop = rng.choice(p.groups.nnz, int(rate * p.groups.nnz), replace=False)
    come = rng.choice(free, rng.integers(len(free) + 1), replace=False)
    merge = p.merge_shared(drop, come)
    given, n_out = rng.standard_normal(p.nnz), p.shape[0]
    wanted = dict(zip(p.keys().tolist(), given, strict=True))
    gone = np.isin(np.arange(p.nnz), np.flatnonzero(~merge.kept))
    wanted |= dict.fromkeys(p.keys()[gone].tolist(), 0.0)
    wanted = [wanted.get(key, 0.0) for key in merge.pattern.keys().tolist()]
    parts = merge.stays, merge.stays_at, p.groups.indptr, merge.pattern.groups.indptr
    found = np.full(merge.pattern.nnz, np.nan)
    move(given, found, *parts, group, n_out)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(plain_move(given, *parts, group, n_out), wanted)
