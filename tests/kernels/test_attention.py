"""Attention on lane-tiled arrays, forward and backward, against the plain twin."""

import math

import naive
import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.attention.backward import attend_backward_kernel, plain_attention_backward
from sparsecpu.kernels.attention.chance import plain_kept
from sparsecpu.kernels.attention.forward import attend_kernel, plain_attention, scratch_size
from sparsecpu.kernels.attention.sequences import Sequences, strip_of
from sparsecpu.kernels.machine.arrays import aligned_copy, aligned_empty
from sparsecpu.kernels.machine.threads import available_threads, use_threads

#: Numbers of the sequences of tokens; the rest of the last tile is padding.
PACKED = [0] * 5 + [1] + [2] * 9 + [-1] * 3 + [3] * 37 + [4] * 2
ONE_TOKEN = [0]
APART = [0, 1] * 3 + [-1] + [5] * 20 + [1]


def tiled(x, lanes):
    return aligned_copy(naive.to_tiles(x, lanes))


def attend(q, k, v, dy, owner, heads, causal, lanes, threads=1, *, seed=0, rate=0.0):
    """Return y, dq, dk and dv in the users' order, the lanes that are padding at the end too."""
    tokens, itemsize = -(-len(owner) // lanes) * lanes, q.itemsize
    numbers = np.full(tokens, -1)
    numbers[: len(owner)] = owner
    sequences = Sequences.of(numbers, lanes, itemsize)
    tiles = [tiled(x, lanes) for x in (q, k, v, dy)]
    y, dq, dk, dv = (np.full_like(tiles[0], np.nan) for _ in range(4))
    statistics = aligned_empty((2, len(y), heads, lanes), q.dtype)
    scratch = aligned_empty((threads, scratch_size(lanes, itemsize)), q.dtype)
    given = *tiles[:3], *sequences.strips, heads, q.dtype.type(1 / math.sqrt(q.shape[1] // heads))
    given = *given, seed, q.dtype.type(rate)
    drops = int(rate > 0)
    with use_threads(min(threads, available_threads())):
        attend_kernel(lanes, itemsize, causal, drops)(
            threads, q.dtype, *given, y, statistics, scratch
        )
        attend_backward_kernel(lanes, itemsize, causal, drops)(
            threads, q.dtype, *given, y, statistics, tiles[3], dq, dk, dv, scratch
        )
    return [naive.from_tiles(x, tokens) for x in (y, dq, dk, dv)]


def wanted(q, k, v, dy, owner, heads, causal):
    given = np.asarray(owner), heads, causal
    x = [a.astype(np.float64) for a in (q, k, v, dy)]
    return naive.attention(*x[:3], *given), *naive.attention_backward(*x, *given)


def close(found, wanted, tolerance):
    for one, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(
            one[: len(want)], want, rtol=0, atol=tolerance * max(1, np.abs(want).max())
        )
        assert not one[len(want) :].any()  # padding


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("owner", [PACKED, ONE_TOKEN, APART, [-1, -1]])
@pytest.mark.parametrize(("heads", "size"), [(1, 1), (3, 6)])
def test_attention(owner, heads, size, causal, rng):
    given = rng.standard_normal((4, len(owner), heads * size)) * 2
    found = attend(*given, owner, heads, causal, 16)
    close(found, wanted(*given, owner, heads, causal), 1e-12)


@pytest.mark.parametrize("owner", [PACKED, [0] * 200, [0] * 64 + [1] * 64])
def test_attention_in_float32(owner, rng):
    given = rng.standard_normal((4, len(owner), 64)).astype(np.float32)
    close(attend(*given, owner, 2, 1, 64), wanted(*given, owner, 2, 1), 1e-5)


def test_a_long_sequence(rng):
    given = rng.standard_normal((4, 2048, 8)).astype(np.float32)
    close(attend(*given, [0] * 2048, 1, 1, 64), wanted(*given, [0] * 2048, 1, 1), 2e-5)


@pytest.mark.parametrize("causal", [0, 1])
def test_gradients_by_central_differences(causal, rng):
    owner = [0] * 3 + [-1] + [1] * 18
    arrays = rng.standard_normal((4, len(owner), 4))
    gradients, step = attend(*arrays, owner, 2, causal, 16)[1:], 1e-6
    for number, gradient in enumerate(gradients):
        for place in [(0, 0), (2, 3), (3, 1), (4, 2), (21, 0), (13, 3)]:
            losses = []
            for sign in (1, -1):
                moved = arrays.copy()
                moved[(number, *place)] += sign * step
                y = attend(*moved, owner, 2, causal, 16)[0]
                losses.append((y[: len(owner)] * arrays[3]).sum())
            slope = (losses[0] - losses[1]) / (2 * step)
            assert gradient[place] == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_scores_may_be_large(rng):
    """A later key whose score is far above all before takes over; no weight runs over."""
    given = rng.standard_normal((4, 40, 4))
    given[:2] *= 40
    close(attend(*given, [0] * 40, 1, 1, 16), wanted(*given, [0] * 40, 1, 1), 1e-10)


def test_what_is_not_a_number_stays_in_the_strips_of_its_sequence(rng):
    owner = np.repeat([0, 1], 32)
    given = rng.standard_normal((4, 64, 4))
    before = attend(*given, owner, 1, 1, 16)
    given[:, 40] = np.nan
    for one, old in zip(attend(*given, owner, 1, 1, 16), before, strict=True):
        np.testing.assert_array_equal(one[:32], old[:32])
        assert np.isnan(one[40]).all()


@pytest.mark.parametrize("size", [1, 3, 20])
def test_heads_of_any_size(size, rng):
    given = rng.standard_normal((4, 70, 2 * size)).astype(np.float32)
    close(attend(*given, [0] * 70, 2, 1, 64), wanted(*given, [0] * 70, 2, 1), 1e-5)


def with_dropout(q, k, v, dy, head, seed, rate):
    """Return y, dq, dk and dv of a head of one causal sequence, by the matrices of its weights."""
    scale, seen = 1 / math.sqrt(q.shape[1]), np.tri(len(q), dtype=bool)
    weights = np.where(seen, np.exp(scale * q @ k.T), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    kept = plain_kept(seed, head, len(q), rate) / (1 - rate)
    dp = dy @ v.T * kept
    ds = weights * (dp - (weights * dp).sum(axis=1, keepdims=True)) * scale
    return weights * kept @ v, ds @ k, ds.T @ q, (weights * kept).T @ dy


def test_dropped_weights_are_the_same_forward_and_backward(rng):
    """And whatever the number of threads, and of lanes."""
    given, rate = rng.standard_normal((4, 100, 6)), 0.3
    found = attend(*given, [0] * 100, 2, 1, 16, seed=7, rate=rate)
    heads = [with_dropout(*given[:, :, 3 * h : 3 * h + 3], h, 7, rate) for h in range(2)]
    close(found, [np.hstack(pair) for pair in zip(*heads, strict=True)], 1e-12)
    again = attend(*given, [0] * 100, 2, 1, 16, threads=3, seed=7, rate=rate)
    np.testing.assert_array_equal(again, found)


def test_chance_drops_as_many_as_it_should():
    """Neighbours have nothing to do with each other, nor heads, nor seeds."""
    masks = np.array([plain_kept(seed, head, 256, 0.25) for seed in (0, 1) for head in (0, 1)])
    assert masks.mean(axis=(1, 2)) == pytest.approx(0.75, abs=0.01)
    pairs = [(masks[0], other) for other in masks[1:]]
    pairs += [(masks[0][1:], masks[0][:-1]), (masks[0][:, 1:], masks[0][:, :-1])]
    for one, other in pairs:
        assert (one & other).mean() == pytest.approx(0.75**2, abs=0.01)
    assert masks[0].mean(axis=0).std() == pytest.approx(math.sqrt(0.75 * 0.25 / 256), rel=0.2)


@pytest.mark.parametrize("owner", [[0] * 300, [0] * 250 + [1] * 5])
def test_few_long_sequences_are_shared_out_by_strips(owner, rng):
    """Every sum has the order that it has where a worker does a whole sequence."""
    given = rng.standard_normal((4, len(owner), 6))
    alone = attend(*given, owner, 1, 1, 16)
    for workers in (2, 3, 5):
        for one, other in zip(alone, attend(*given, owner, 1, 1, 16, workers), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(available_threads() < 2, reason="needs two threads")
def test_attention_on_any_number_of_threads(rng):
    owner = np.repeat(np.arange(5), 40)
    given = rng.standard_normal((4, 200, 64)).astype(np.float32)
    alone, together = (attend(*given, owner, 2, 1, 64, threads) for threads in (1, 2))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_sequence_reaches_into_two_runs():
    owner = np.array([0] * 20 + [-1] * 12 + [1] * 16 + [2] * 40 + [-1] * 40)
    found = Sequences.of(owner, 16, 8)
    assert strip_of(16, 8) == 16
    assert found.runs.tolist() == [0, 2, 3, 6, 7, 8]
    assert found.opens.tolist() == [0, 0, 2, 3, 3, 3, 6, 7]
    with pytest.raises(ParameterError, match="owner"):
        Sequences.of(owner[:-1], 16, 8)


def test_the_definitions_are_those_of_the_twin(rng):
    q, k, v, dy = rng.standard_normal((4, 7, 4))
    for causal in (0, 1):
        y, *gradients = wanted(q, k, v, dy, [0] * 7, 1, causal)
        np.testing.assert_allclose(plain_attention(q, k, v, 0.5, causal), y)
        for found, want in zip(
            plain_attention_backward(q, k, v, dy, 0.5, causal), gradients, strict=True
        ):
            np.testing.assert_allclose(found, want, atol=1e-14)
