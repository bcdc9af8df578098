"""Products of bf16 numbers two by two: what is rounded, and linear layers made of them."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import grouped

from sparsecpu.kernels.linear import (
    BACK,
    BACK_PLUS,
    BACK_TIMES,
    GATED,
    PLAIN,
    PLUS,
    RELU,
    grouped_pairs,
)
from sparsecpu.kernels.linear.grouped import plain_matmul
from sparsecpu.kernels.machine import cpu
from sparsecpu.kernels.machine.arrays import aligned_copy, aligned_empty
from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.kernels.vectors.pairs import plain_bf16, plain_woven
from sparsecpu.sparse.pattern import Pattern

KINDS = [(4, 64)]
needs_pairs = pytest.mark.skipif(
    not cpu._compiles_for("avx512bf16"), reason="needs a CPU with AVX512-BF16"
)


def close(found, wanted):
    scale = max(1.0, float(np.abs(wanted).max(initial=0)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 * scale)


def woven(x):
    out = aligned_empty(x.shape, np.uint16)
    grouped_pairs.weave(x.reshape(-1, x.shape[-1]), out.reshape(-1, x.shape[-1]))
    return out


def in_16_bits(values):
    out = aligned_empty(values.shape, np.uint16)
    grouped_pairs.round_values(values, out)
    return out


class Layer:
    """What the kernels take of a layer, beside values: a pattern, and the cuts of it."""

    def __init__(self, pattern, lanes, blocks=1):
        self.shared, self.group, self.n_out = pattern.groups, pattern.group, pattern.shape[0]
        self.kind, self.cuts = (self.group, lanes), self.shared.cut(blocks)
        groups = self.shared.shape[0]
        self.chunks = np.unique([0, groups // 3, groups])

    def forward(self, values, x, bias, finish, gate=None):
        y = np.empty((len(x), self.n_out, x.shape[2]), np.float32)
        grouped_pairs.matmul_kernel(*self.kind)(
            self.shared.indptr, *self.cuts, self.shared.indices, in_16_bits(values), woven(x), bias,
            y if gate is None else gate, y, finish, self.chunks,
        )  # fmt: skip
        return y

    def scatter(self, values, dy, x, finish):
        words = aligned_empty((self.shared.nnz * self.group // 2,), np.uint32)
        grouped_pairs.pair_values_kernel(self.group)(
            self.shared.indptr, values, self.n_out, words, self.chunks
        )
        dx = np.empty_like(x)
        grouped_pairs.scatter_kernel(*self.kind)(
            *self.cuts, self.shared.indices, words, dy, x, dx, finish
        )
        return dx

    def gradient(self, x, dy, nnz, span):
        dw, db = (np.full(n, np.nan, np.float32) for n in (nnz, self.n_out))
        grouped_pairs.gradient_kernel(*self.kind)(
            self.shared.indptr, *self.cuts, self.shared.indices, woven(x), woven(dy), dy, dw, db,
            self.chunks, span,
        )  # fmt: skip
        return dw, db


def problem(pattern, lanes, batch, seed):
    rng = np.random.default_rng(seed)
    x, dy = (rng.standard_normal((batch, n)).astype("f4") for n in reversed(pattern.shape))
    values = aligned_copy(rng.standard_normal(pattern.nnz), "f4")
    bias = rng.standard_normal(pattern.shape[0]).astype("f4")
    return x, dy, values, bias, *(aligned_copy(naive.to_tiles(a, lanes)) for a in (x, dy))


@needs_pairs
@pytest.mark.parametrize(("group", "lanes"), KINDS)
@given(data=st.data(), batch=st.sampled_from([1, 17, 130]), seed=st.integers(0, 99),
       blocks=st.sampled_from([1, 3]), span=st.integers(1, 5))  # fmt: skip
def test_products_of_factors_in_bf16(group, lanes, data, batch, seed, blocks, span):
    p = data.draw(grouped(40, group))
    layer = Layer(p, lanes, blocks)
    x, dy, values, bias, xt, dyt = problem(p, lanes, batch, seed)
    rounded, x_read, dy_read = plain_bf16(values), plain_bf16(x), plain_bf16(dy)
    w = naive.dense(p.shape, p.indptr, p.indices, rounded)

    wanted, y = naive.linear(w, bias, x_read), layer.forward(values, xt, bias, PLAIN)
    shared = p.groups.indptr, p.groups.indices
    close(y[0], plain_matmul(group, *shared, rounded, plain_bf16(xt[0]), bias))
    close(naive.from_tiles(y, batch), wanted)
    y = layer.forward(values, xt, bias, RELU)
    close(naive.from_tiles(y, batch), naive.relu(wanted))
    close(naive.from_tiles(layer.forward(values, xt, bias, PLUS, dyt), batch), wanted + dy)
    close(naive.from_tiles(layer.forward(values, xt, bias[:0], PLAIN), batch), x_read @ w.T)

    dx, dw, _ = naive.linear_backward(w, x_read, dy_read)
    close(naive.from_tiles(layer.scatter(values, dyt, xt, BACK), batch), dx)
    close(naive.from_tiles(layer.scatter(values, dyt, xt, GATED), batch), dx * (x > 0))
    close(naive.from_tiles(layer.scatter(values, dyt, xt, BACK_TIMES), batch), dx * x)
    close(naive.from_tiles(layer.scatter(values, dyt, xt, BACK_PLUS), batch), dx + x)
    found, db = layer.gradient(xt, dyt, p.nnz, span)
    close(found, naive.at_nonzeros(dw, p.indptr, p.indices))
    close(db, dy.sum(axis=0))


@needs_pairs
def test_numbers_are_rounded_to_the_nearest_even():
    """Ties, NaN, infinities and subnormal numbers, of both signs, and whatever bits there are."""
    bits = np.random.default_rng(0).integers(0, 2**32, 64 * 32, dtype=np.uint32)
    bits[:10] = [0x3F808000, 0x3F818000, 0x3F808001, 0x7F800000, 0x7FC00001, 0x7F800001, 0x7F7FFFFF,
                 0x00000001, 0x007FFFFF, 0x00800000]  # fmt: skip
    bits[10:20] = bits[:10] | 0x80000000
    numbers = aligned_copy(bits.view(np.float32))
    wanted = (plain_bf16(numbers).view(np.uint32) >> 16).astype(np.uint16)
    assert list(wanted[:10]) == [0x3F80, 0x3F82, 0x3F81, 0x7F80, 0x7FC0, 0x7FC0, 0x7F80, 0, 0, 0x80]
    np.testing.assert_array_equal(in_16_bits(numbers[:-3]), wanted[:-3])
    rows = numbers.reshape(1, -1, 64)
    np.testing.assert_array_equal(woven(rows), plain_woven(wanted.reshape(rows.shape)))
    finite = np.isfinite(numbers) & (np.abs(numbers) > 2.0**-126) & (np.abs(numbers) < 1e38)
    assert (plain_bf16(numbers)[finite] == naive.bf16(numbers[finite])).all()


@needs_pairs
@pytest.mark.parametrize(
    ("value", "number", "product"),
    [
        (1.5, 2.0**-100, 1.5 * 2.0**-100),
        (2.0**-70, 2.0**-70, 0.0),  # subnormal
        (2.0**100, 2.0**-127, 0.0),  # of a subnormal factor
        (2.0**-127, 2.0**100, 0.0),
        (np.inf, -2.0, -np.inf),
        (np.inf, 0.0, np.nan),
        (1.0, np.nan, np.nan),
        (2.0**100, 2.0**100, np.inf),
    ],
)
def test_products_at_the_ends_of_the_range(value, number, product):
    """Each alone among zeros, in each half of a pair and as the odd one at the end."""
    pattern = Pattern.of_groups(4, 4, Pattern.full((1, 3)))
    layer, none = Layer(pattern, 64), np.empty(0, np.float32)
    for column in range(3):
        values, x = np.zeros(12, np.float32), np.zeros((1, 3, 64), np.float32)
        values[column::3], x[0, column, 5] = value, number
        y = layer.forward(aligned_copy(values), aligned_copy(x), none, PLAIN)
        np.testing.assert_array_equal(y[0, :, 5], np.float32([product] * 4))
        dy = np.zeros((1, 4, 64), np.float32)
        dy[0, :, 5] = number, 0, 0, 0
        only = np.where(np.arange(12) < 3, values, 0).astype(np.float32)
        dx = layer.scatter(aligned_copy(only), aligned_copy(dy), aligned_copy(x), BACK)
        wanted = 0.0 if abs(product) < 1e-30 else product
        np.testing.assert_array_equal(dx[0, column, 5], np.float32(wanted))


@needs_pairs
@pytest.mark.parametrize(("group", "lanes"), KINDS)
def test_bits_do_not_depend_on_threads(group, lanes, rng):
    p = Pattern.of_groups(43, group, Pattern.random((11, 37), 11 * 9, rng))
    _, _, values, bias, xt, dyt = problem(p, lanes, 130, 0)

    def passes(threads, blocks):
        layer = Layer(p, lanes, blocks)
        with use_threads(threads):
            y = layer.forward(values, xt, bias, RELU)
            return y, layer.scatter(values, dyt, xt, GATED), *layer.gradient(xt, dyt, p.nnz, 2)

    one, two, blocks = passes(1, 1), passes(2, 1), passes(2, 3)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one[1], blocks[1])  # how dx is cut is a matter of threads


@pytest.mark.parametrize(
    ("features", "name", "override", "found"),
    [
        ({"avx512f", "avx512vl", "avx512bf16"}, "znver5", None, "pairs"),
        ({"avx512f", "avx512vl", "avx512bf16"}, "sapphirerapids", None, ""),
        ({"avx512f", "avx512vl", "avx512bf16"}, "sapphirerapids", "pairs", "pairs"),
        ({"avx512f", "avx512vl", "avx512bf16"}, "znver5", "portable", ""),
        ({"avx512f", "avx512vl"}, "znver3", "pairs", ""),
    ],
)
def test_pairs_are_for_cpus_on_which_they_pay(features, name, override, found, monkeypatch):
    monkeypatch.setattr(cpu, "_compiles_for", features.__contains__)
    monkeypatch.setattr("numba.core.config.CPU_NAME", name)
    monkeypatch.delenv("SPARSECPU_KERNELS", raising=False)
    if override:
        monkeypatch.setenv("SPARSECPU_KERNELS", override)
    monkeypatch.setattr(cpu, "wide_vectors_pay", cpu.wide_vectors_pay.__wrapped__)
    assert cpu.bf16_products.__wrapped__() == found
