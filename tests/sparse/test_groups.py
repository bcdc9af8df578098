"""Rows in groups: patterns, and what is moved with them, beside masks of plain NumPy."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import grouped

from sparsecpu.errors import ParameterError, PatternError
from sparsecpu.layers import SparseLinear
from sparsecpu.networks.description import mlp
from sparsecpu.sparse.densities import DISTRIBUTIONS
from sparsecpu.sparse.first_patterns import PATTERNS, first_pattern
from sparsecpu.sparse.format import INT32_MAX
from sparsecpu.sparse.groups import SIZES, nearest_nnz
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern


def mask_of(pattern):
    """Return which positions are kept, from the pattern of groups alone."""
    of_groups = np.zeros(pattern.groups.shape, bool)
    of_groups[pattern.groups.rows(), pattern.groups.indices] = True
    return np.repeat(of_groups, pattern.group, axis=0)[: pattern.shape[0]]


@given(pattern=grouped())
def test_the_rows_of_a_group_have_its_columns(pattern):
    mask, (n_out, n_in) = mask_of(pattern), pattern.shape
    assert pattern.nnz == mask.sum()
    np.testing.assert_array_equal(pattern.keys(), np.flatnonzero(mask))
    assert "indices" not in pattern.__dict__  # nobody wanted each row's
    np.testing.assert_array_equal(pattern.indices, np.nonzero(mask)[1])
    np.testing.assert_array_equal(pattern.indptr, np.append(0, mask.sum(axis=1).cumsum()))
    np.testing.assert_array_equal(pattern.fan_in, mask.sum(axis=1))
    np.testing.assert_array_equal(pattern.fan_out, mask.sum(axis=0))
    np.testing.assert_array_equal(pattern.rows(), np.nonzero(mask)[0])
    every = np.arange(n_out * n_in)
    np.testing.assert_array_equal(pattern.contains(every), mask.ravel())
    np.testing.assert_array_equal(pattern.contains(every[3::7]), mask.ravel()[3::7])
    np.testing.assert_array_equal(pattern.to_scipy(np.ones(pattern.nnz)).toarray(), mask)
    turned = pattern.transposed
    np.testing.assert_array_equal(turned.indices, np.nonzero(mask.T)[1])


@given(pattern=grouped())
def test_equal_patterns_are_made_in_many_ways(pattern):
    shape, group = pattern.shape, pattern.group
    plain = Pattern(shape, pattern.indptr, pattern.indices)
    for same in (
        Pattern(shape, pattern.indptr, pattern.indices, group=group),
        Pattern.from_keys(shape, pattern.keys(), group=group),
        Pattern.of_groups(shape[0], group, pattern.groups),
        copy.copy(pattern), copy.deepcopy(pattern), pickle.loads(pickle.dumps(pattern)),
    ):  # fmt: skip
        assert same == pattern
        assert (same.group, same.shape, same.nnz) == (group, shape, plain.nnz)
        np.testing.assert_array_equal(same.keys(), plain.keys())
        assert same != plain
        for array in (same.indptr, same.indices, same.groups.indices):
            assert not array.flags.writeable
    assert f"group={group}" in repr(pattern)
    assert plain.groups is plain
    assert "group" not in repr(plain)
    assert pattern.nbytes <= plain.nbytes


def nonzeros(pattern, shared):
    """Return the keys that keys of shared columns stand for, row by row of each group."""
    (n_out, n_in), group = pattern.shape, pattern.group
    rows = shared[:, None] // n_in * group + np.arange(group)
    return (rows * n_in + shared[:, None] % n_in)[rows < n_out]


def rewiring(pattern, rng):
    """Return places and keys of shared columns to drop and to grow, and what is there then."""
    shared = pattern.groups
    drop = rng.permutation(shared.nnz)[: shared.nnz // 2]
    stay = np.delete(shared.keys(), drop)
    free = np.setdiff1d(np.arange(shared.size), stay)
    new = rng.permutation(free)[: len(free) // 3]
    return drop, new, np.sort(np.append(stay, new))


@given(pattern=grouped(), seed=st.integers(0, 1000))
def test_shared_columns_are_merged_by_either_name(pattern, seed):
    """By their own places and keys, and by those of all their nonzeros."""
    rng = np.random.default_rng(seed)
    drop, new, wanted = rewiring(pattern, rng)
    merged = pattern.merge_shared(drop, new)
    assert (merged.pattern.group, merged.pattern.shape) == (pattern.group, pattern.shape)
    np.testing.assert_array_equal(merged.pattern.groups.keys(), wanted)
    np.testing.assert_array_equal(merged.pattern.keys()[merged.new_at], nonzeros(pattern, new))
    lost = nonzeros(pattern, pattern.groups.keys()[drop])
    places = np.searchsorted(pattern.keys(), rng.permutation(lost))
    arrivals = rng.permutation(nonzeros(pattern, new))
    found = pattern.merge(places, arrivals)
    assert found.pattern == merged.pattern
    np.testing.assert_array_equal(found.pattern.keys()[found.new_at], arrivals)
    for name in ("kept", "kept_at"):
        np.testing.assert_array_equal(getattr(found, name), getattr(merged, name))


@given(pattern=grouped(), seed=st.integers(0, 1000))
def test_a_rewiring_moves_values_with_their_groups(pattern, seed):
    rng, n_in = np.random.default_rng(seed), pattern.shape[1]
    p = SparseParameter(pattern, rng.standard_normal(pattern.nnz), np.float64)
    p.slot("momentum")[:] = rng.standard_normal(p.nnz)
    old = {n: dict(zip(pattern.keys(), v, strict=True)) for n, v in p.vectors().items()}
    drop, new, wanted = rewiring(pattern, rng)
    places = np.searchsorted(pattern.keys(), nonzeros(pattern, pattern.groups.keys()[drop]))
    arrivals = rng.permutation(nonzeros(pattern, new))
    starts = rng.standard_normal(len(arrivals))
    p.rewire(places, arrivals // n_in, arrivals % n_in, {"data": starts})
    np.testing.assert_array_equal(p.pattern.groups.keys(), wanted)
    fresh = dict(zip(arrivals, starts, strict=True))
    for name, values in p.vectors().items():
        for key, value in zip(p.pattern.keys(), values, strict=True):
            if key in fresh:
                assert value == (fresh[key] if name == "data" else 0)
            else:
                assert value == old[name][key]


WRONG_REWIRING = {
    "a part of a group goes": ([0, 2], [], "whole groups"),
    "a part of a group comes": ([], [1, 6], "whole groups"),
    "other columns come": ([], [1, 7, 11], "whole groups"),
    "a position twice": ([], [1, 6, 6], "distinct"),
    "a group that is there": ([], [0, 5, 10], "already"),
    "a place too far": ([0, 2, 4, 99], [], "places"),
    "a key too far": ([], [1, 6, 11, 25], "must lie in"),
}


@pytest.mark.parametrize("wrong", WRONG_REWIRING.values(), ids=WRONG_REWIRING)
def test_parts_of_groups_are_refused_and_nothing_has_changed(wrong):
    """One group of three rows, with columns 0 and 3 of 5."""
    pattern = Pattern.from_keys((3, 5), [0, 3, 5, 8, 10, 13], group=4)
    p = SparseParameter(pattern, np.arange(6.0))
    drop, new, words = wrong
    with pytest.raises(PatternError, match=words):
        p.rewire_keys(drop, new)
    assert p.pattern is pattern
    np.testing.assert_array_equal(p.data, np.arange(6))
    p.rewire_keys([4, 0, 2], [11, 6, 1], {"data": [3.0, 2.0, 1.0]})
    np.testing.assert_array_equal(p.data, [1, 1, 2, 3, 3, 5])
    np.testing.assert_array_equal(p.pattern.groups.keys(), [1, 3])


def test_what_does_not_share_is_refused():
    keys = np.array([0, 2, 4, 6, 8, 10])  # columns 0 and 2 of rows 0 to 2 of 4
    pattern = Pattern.from_keys((3, 4), keys, group=2)
    assert pattern.groups.keys().tolist() == [0, 2, 4, 6]
    with pytest.raises(PatternError, match="rows 0 and 1"):
        Pattern.from_keys((3, 4), np.array([0, 2, 4, 7, 8, 10]), group=2)
    with pytest.raises(PatternError, match="rows 0 and 2"):
        Pattern.from_keys((3, 4), keys[:5], group=4)
    with pytest.raises(PatternError, match="3 rows"):
        Pattern.of_groups(3, 4, pattern.groups)
    for group in (3, 0, 16, True, "4", None, np.array([4, 4]), 2.5):
        with pytest.raises(ParameterError, match="group"):
            Pattern((4, 4), [0] * 5, [], group=group)
        with pytest.raises(ParameterError, match="group"):
            SparseLinear(8, 8, density=1.0, group=group)


def test_more_nonzeros_than_places_have_numbers_are_refused():
    """Where shared columns alone would still be few enough."""
    n_in = 1 << 16
    full = np.broadcast_to(np.int32(0), INT32_MAX // 8 + n_in)  # takes no memory
    groups = Pattern.__new__(Pattern)
    indptr = np.arange(len(full) // n_in + 1) * n_in
    groups.__dict__.update(shape=(len(indptr) - 1, n_in), group=1, indptr=indptr, indices=full)
    with pytest.raises(PatternError, match="at most"):
        Pattern.of_groups(8 * groups.shape[0], 8, groups)


def test_a_pattern_with_other_groups_is_a_change(rng):
    pattern = Pattern.random((10, 9), 40, rng, group=4)
    plain = Pattern(pattern.shape, pattern.indptr, pattern.indices)
    p = SparseParameter(pattern, rng.standard_normal(pattern.nnz))
    p.slot("momentum")[:] = 1
    before = p.data.copy()
    p.pattern = plain
    assert p.pattern is plain
    np.testing.assert_array_equal(p.data, before)
    p.rewire_keys([0], [])  # a part of what was a group
    p.restore(pattern, {"data": before})
    assert p.pattern is pattern
    copied = pickle.loads(pickle.dumps(p))
    assert copied.pattern == pattern
    np.testing.assert_array_equal(copied.data, before)


@pytest.mark.parametrize("group", [2, 4, 8])
@pytest.mark.parametrize("kind", PATTERNS)
def test_first_patterns_are_drawn_for_groups(kind, group, rng):
    for shape, nnz in (((7, 9), 20), ((16, 30), 120), ((1, 6), 4), ((5, 3), 1), ((50, 40), 900)):
        pattern = first_pattern(shape, nnz, rng, kind, group)
        Pattern(shape, pattern.indptr, pattern.indices, group=group)  # valid
        assert pattern.group == group
        assert abs(pattern.nnz - nnz) < group
        assert pattern.nnz == nearest_nnz(nnz, *shape, group) > 0
        if kind != "random":
            assert np.ptp(pattern.fan_in) <= 1
    for nnz in (63, 62):  # what ends up full has no groups
        dense = first_pattern((7, 9), nnz, rng, kind, group)
        assert dense.group == (1 if dense.is_full else group)
    assert first_pattern((7, 9), 63, rng, kind, group) == Pattern.full((7, 9))


def test_random_groups_are_uniform(rng):
    counts = np.zeros(15)
    for _ in range(2000):
        pattern = Pattern.random((6, 5), 14, rng, group=2)
        assert pattern.nnz == 14
        counts[pattern.groups.keys()] += 1
    assert np.abs(counts - 2000 * 7 / 15).max() < 5 * np.sqrt(2000 * 7 / 15 * 8 / 15)


def test_random_groups_need_memory_for_their_shared_columns_only(rng):
    Pattern.random((100, 100), 800, rng, group=8)
    tracemalloc.start()
    pattern = Pattern.random((80_000, 10**6), 1_600_000, rng, group=8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pattern.nnz == 1_600_000
    assert peak < 8 * 1_600_000
    assert pattern.nbytes < 1_000_000


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_layers_have_their_share_within_a_group(distribution, rng):
    described = mlp(50, (41, 30), 7).sparsify(0.2, distribution)
    for entry, width in zip(described.layers[::2], (50, 41, 30), strict=True):
        layer = SparseLinear(width, **{**entry.options, "group": 4}, rng=rng)
        assert abs(layer.weight.nnz - entry.options["nnz"]) < 4
        assert layer.weight.pattern.group == 4 or layer.weight.pattern.is_full


def test_a_given_pattern_has_its_own_groups(rng):
    pattern = Pattern.random((10, 9), 40, rng, group=4)
    plain = Pattern(pattern.shape, pattern.indptr, pattern.indices)
    for group in (1, 4):
        assert SparseLinear(9, 10, pattern=pattern, group=group).weight.pattern is pattern
    for given_one in (pattern, plain):
        with pytest.raises(ParameterError, match="group=2"):
            SparseLinear(9, 10, pattern=given_one, group=2)
    full = Pattern.full((10, 9))
    assert SparseLinear(9, 10, pattern=full, group=SIZES[-1]).weight.pattern is full
