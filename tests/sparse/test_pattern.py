import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from strategies import patterns

from sparsecpu.errors import ParameterError, PatternError
from sparsecpu.sparse import keys as keys_module
from sparsecpu.sparse.keys import distinct_keys
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern


@given(pattern=patterns())
def test_invariants(pattern):
    assert pattern.indptr[0] == 0
    assert pattern.indptr[-1] == pattern.nnz == len(pattern.indices)
    assert (np.diff(pattern.keys()) > 0).all()
    assert pattern.fan_in.sum() == pattern.fan_out.sum() == pattern.nnz
    assert pattern.density + pattern.sparsity == pytest.approx(1)
    for chunks, rows in ((pattern.chunks, 0), (pattern.transposed.chunks, 1)):
        assert chunks[0] == 0
        assert chunks[-1] == pattern.shape[rows]
        assert (np.diff(chunks) > 0).all()


@given(pattern=patterns())
def test_transposed_is_scipys(pattern):
    data = np.arange(1.0, pattern.nnz + 1)
    wanted = pattern.to_scipy(data).T.tocsr()
    t = pattern.transposed
    np.testing.assert_array_equal(t.indptr, wanted.indptr)
    np.testing.assert_array_equal(t.indices, wanted.indices)
    np.testing.assert_array_equal(data[t.perm], wanted.data)


@given(pattern=patterns(), seed=st.integers(0, 1000))
def test_rewire_moves_everything(pattern, seed):
    rng = np.random.default_rng(seed)
    p = SparseParameter(pattern, rng.standard_normal(pattern.nnz), np.float64)
    p.grad[:] = rng.standard_normal(p.nnz)
    p.slot("momentum")[:] = rng.standard_normal(p.nnz)
    old = {n: dict(zip(pattern.keys(), v, strict=True)) for n, v in p.vectors().items()}
    drop = np.sort(rng.permutation(p.nnz)[: p.nnz // 2])
    gone = set(pattern.keys()[drop])
    free = np.setdiff1d(np.arange(pattern.size), np.setdiff1d(pattern.keys(), list(gone)))
    new = rng.permutation(free)[: len(free) // 3]
    starts = rng.standard_normal(len(new))
    p.rewire(drop, new // pattern.shape[1], new % pattern.shape[1], {"momentum": starts})
    kept = set(pattern.keys()) - gone
    assert set(p.pattern.keys()) == kept | set(new)
    assert (np.diff(p.pattern.keys()) > 0).all()
    given_momentum = dict(zip(new, starts, strict=True))
    for name, values in p.vectors().items():
        for key, value in zip(p.pattern.keys(), values, strict=True):
            if key in given_momentum:
                assert value == (given_momentum[key] if name == "momentum" else 0)
            else:
                assert value == old[name][key]
    np.testing.assert_array_equal(p.transposed_data, p.data[p.pattern.transposed.perm])


@pytest.mark.parametrize("slab", [1, 7, 1 << 22])
@given(pattern=patterns(), seed=st.integers(0, 1000))
def test_contains_what_is_there(slab, pattern, seed):
    """Also where keys are looked for slab by slab."""
    keys = np.unique(np.random.default_rng(seed).integers(pattern.size, size=50))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(keys_module, "SLAB", slab)
        np.testing.assert_array_equal(pattern.contains(keys), np.isin(keys, pattern.keys()))
        parts = list(pattern.slabs())
    for row_slice, places in parts:
        assert pattern.indptr[row_slice.start] == places.start
        assert pattern.indptr[row_slice.stop] == places.stop
        assert row_slice.stop == row_slice.start + 1 or places.stop - places.start <= slab
    assert [rows.stop for rows, _ in parts[:-1]] == [rows.start for rows, _ in parts[1:]]
    assert (parts[0][0].start, parts[-1][0].stop) == (0, pattern.shape[0])


@pytest.mark.parametrize("nnz", [0, 1, 5, 50, 99, 100])
def test_random_has_exactly_nnz(nnz, rng):
    assert Pattern.random((10, 10), nnz, rng).nnz == nnz


@pytest.mark.parametrize("nnz", [-1, 101])
def test_random_refuses_what_does_not_fit(nnz, rng):
    with pytest.raises(ParameterError, match="from 0 to 100"):
        Pattern.random((10, 10), nnz, rng)


def test_random_is_uniform(rng):
    counts = np.zeros(20)
    for _ in range(4000):
        counts[Pattern.random((4, 5), 7, rng).keys()] += 1
    # Each position is kept with probability 7/20; 5 standard deviations of a binomial.
    assert np.abs(counts - 1400).max() < 5 * np.sqrt(4000 * 0.35 * 0.65)


def test_random_needs_memory_for_its_nonzeros_only(rng):
    tracemalloc.start()
    pattern = Pattern.random((10**6, 10**6), 200_000, rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pattern.nnz == 200_000
    # indptr of a million rows takes 8 MB (and its construction a few of them); no n² anything.
    assert peak < 60e6


def test_distinct_keys_beyond_32_bits(rng):
    keys = distinct_keys(10**12, 1000, rng)
    assert len(np.unique(keys)) == 1000
    assert keys.max() > 2**39


BAD = {
    "decreasing indptr": ((2, 3), [0, 2, 1], [0, 1]),
    "wrong length": ((3, 3), [0, 1, 2], [0, 1]),
    "wrong end": ((2, 3), [0, 1, 3], [0, 1]),
    "index too large": ((2, 3), [0, 1, 2], [0, 3]),
    "negative index": ((2, 3), [0, 1, 2], [0, -1]),
    "unsorted": ((2, 3), [0, 2, 2], [1, 0]),
    "repeated": ((2, 3), [0, 2, 2], [1, 1]),
    "unsorted, the first row empty": ((2, 3), [0, 0, 2], [1, 0]),
    "floats": ((2, 3), [0.0, 1.0, 2.0], [0, 1]),
    "matrix": ((2, 3), [[0, 1, 2]], [0, 1]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_patterns_are_refused(name):
    with pytest.raises(PatternError):
        Pattern(*map(np.asarray, BAD[name][:1]), *map(np.asarray, BAD[name][1:]))


def test_the_refusal_says_how_an_index_must_be():
    with pytest.raises(PatternError, match="4 entries and run from 0 to nnz = 2"):
        Pattern((3, 3), [0, 1, 2], [0, 1])


def test_rows_may_start_below_where_the_one_before_ended():
    pattern = Pattern((3, 3), [0, 2, 2, 3], [1, 2, 0])
    assert pattern.nnz == 3


@pytest.mark.parametrize("shape", [(0, 3), (3, -1), (2**31, 2), "ab", (3,)])
def test_bad_shapes_are_refused(shape, rng):
    with pytest.raises(ParameterError):
        Pattern.random(shape, 1, rng)


def test_bad_positions_are_refused(rng):
    p = SparseParameter(Pattern((2, 2), [0, 1, 2], [0, 1]), [1.0, 2.0])
    none = np.empty(0, int)
    for rows, cols in (([0], [0]), ([2], [0]), ([0], [2]), ([0, 0], [1, 1]), ([-1], [1])):
        with pytest.raises(PatternError):
            p.rewire(none, np.array(rows), np.array(cols))
    assert p.nnz == 2
    for keys in ([-1], [4], [-1, 3], [2, 4]):  # of positions, without rows and columns
        with pytest.raises(PatternError, match="must lie in"):
            p.pattern.merge(none, np.array(keys))
    assert p.pattern.merge(none, np.array([1, 2])).pattern.is_full


def test_index_arrays_cannot_be_written():
    """Kernels compile once per kind of array, and a pattern never changes."""
    pattern = Pattern((2, 3), [0, 1, 3], [2, 0, 1])
    t = pattern.transposed
    for array in (pattern.indptr, pattern.indices, t.indptr, t.indices, t.perm):
        assert not array.flags.writeable
    assert (pattern.columns, t.columns) == (3, 2)


def test_scipy_round_trip(rng):
    matrix = sparse.random_array((13, 7), density=0.3, rng=rng, format="coo")
    p = SparseParameter.from_scipy(matrix, np.float64)
    assert (p.to_scipy() != matrix).nnz == 0
    p.data[:] = 0
    assert abs(matrix).sum() > 0  # a copy


def test_full_patterns_are_dense_in_order(rng):
    p = SparseParameter(Pattern.full((3, 4)), np.arange(12.0))
    np.testing.assert_array_equal(p.full_view(), np.arange(12.0).reshape(3, 4))
    assert Pattern.full((3, 4)) == Pattern((3, 4), [0, 4, 8, 12], [0, 1, 2, 3] * 3)
    with pytest.raises(PatternError):
        SparseParameter(Pattern.random((3, 4), 5, rng), np.zeros(5)).full_view()


def test_restore_puts_back_a_pattern_with_all_its_vectors(rng):
    p = SparseParameter(Pattern.random((6, 5), 9, rng), rng.standard_normal(9))
    p.slot("momentum")[...] = rng.standard_normal(9)
    before, kept = p.pattern, {name: array.copy() for name, array in p.vectors().items()}
    turned = p.transposed_data.copy()
    free = np.setdiff1d(np.arange(30), before.keys())
    p.rewire_keys(np.array([0, 4, 5]), free[[2]], {"data": np.array([3.0])})
    p.restore(before, kept)
    assert p.pattern is before
    assert {name: array is p.vectors()[name] for name, array in kept.items()} == {
        "data": True, "momentum": True,
    }  # fmt: skip
    np.testing.assert_array_equal(p.transposed_data, turned)
    np.testing.assert_array_equal(p.grad, np.zeros(9))
    for wrong in ({"data": np.zeros(8)}, {"data": np.zeros(9), "momentum": np.zeros(8)}):
        with pytest.raises(PatternError):
            p.restore(before, wrong)
    with pytest.raises(PatternError):
        p.restore(Pattern.random((5, 6), 9, rng), kept)
