"""Choosing the smallest, the largest, and free positions."""

import numpy as np
import pytest

from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology.free_positions import grow_largest, grow_random, random_free
from sparsecpu.topology.running_top import RunningTop
from sparsecpu.topology.selection import largest, smallest, smallest_of_all


@pytest.mark.parametrize("total", [0, 1, 7, 30])
def test_selection_breaks_ties_by_position(total):
    scores = np.array([1.0, 0, 1, 0, 1, 2, 0, 2, 1, 1])
    assert smallest(scores, total).tolist() == sorted(np.argsort(scores, kind="stable")[:total])
    assert largest(scores, total).tolist() == sorted(np.argsort(-scores, kind="stable")[:total])


@pytest.mark.parametrize("count", [500, 6000])
@pytest.mark.parametrize("turn", [1, -1])
def test_running_top_is_the_top(count, turn, rng):
    """Also where the last come first, and an equal value at an earlier position is to win."""
    values = np.round(rng.standard_normal(20_000), 2) / 100
    values[::7] = 0
    top = RunningTop(count, values.dtype)
    for part in np.array_split(np.arange(20_000), 40)[::turn]:
        found = part[np.abs(values[part]) > top.threshold]
        top.add(found, values[found])
    assert top.threshold > 0  # what is too small is passed over
    keys, kept = top.result()
    np.testing.assert_array_equal(keys, largest(np.abs(values), count))
    np.testing.assert_array_equal(kept, values[keys])


def test_an_equal_value_at_an_earlier_position_may_still_come():
    top = RunningTop(2, np.float32)
    top.add(np.arange(1000, 3000), np.full(2000, 0.5, np.float32))
    assert 0 < top.threshold < 0.5
    top.add(np.array([0]), np.array([0.5], np.float32))
    assert top.result()[0].tolist() == [0, 1000]


def test_a_running_top_passes_nothing_over_before_it_has_enough():
    top, values = RunningTop(3, np.float64), np.zeros(2000)
    values[7] = 5
    top.add(np.arange(2000), values)
    assert top.threshold == 0
    assert top.result()[0].tolist() == [7]


def test_global_pruning_takes_the_smallest_of_all():
    weights = [np.array([0.1, -5.0, 0.2]), np.array([0.01, 0.02]), np.array([9.0])]
    assert [w.tolist() for w in smallest_of_all(weights, 2)] == [[0], [0], []]
    assert [w.tolist() for w in smallest_of_all(weights, 99)] == [[0, 2], [0], []]


@pytest.mark.parametrize("nnz", [0, 3, 50, 90, 99])
def test_random_free_positions(nnz, rng):
    pattern = Pattern.random((10, 10), nnz, rng)
    taken = np.setdiff1d(np.arange(100), pattern.keys())[:1]
    for count in {0, min(1, 99 - nnz), 3 * (99 - nnz) // 4, 99 - nnz}:
        keys = random_free(pattern, count, rng, taken)
        assert len(np.unique(keys)) == count
        assert not np.isin(keys, pattern.keys()).any()
        assert not np.isin(keys, taken).any()


def test_random_free_is_uniform(rng):
    pattern = Pattern.random((5, 6), 9, rng)
    counts = np.zeros(30)
    for _ in range(3000):
        counts[random_free(pattern, 4, rng)] += 1
    assert (counts[pattern.keys()] == 0).all()
    free = np.delete(counts, pattern.keys())
    assert np.abs(free - 3000 * 4 / 21).max() < 5 * np.sqrt(3000 * (4 / 21) * (17 / 21))


def test_random_growth_takes_dropped_places_only_where_nothing_else_is_free(rng):
    pattern = Pattern.from_keys((3, 4), np.arange(10))  # keys 10 and 11 are free
    dropped = np.array([2, 5, 7])
    for _ in range(20):
        assert grow_random(pattern, dropped, 1, rng)[0] in (10, 11)
        keys = grow_random(pattern, dropped, 4, rng).tolist()
        assert keys == sorted({*keys})
        assert len({*keys} & {2, 5, 7}) == 2
        assert keys[2:] == [10, 11]
        assert grow_random(pattern, dropped, 5, rng).tolist() == [2, 5, 7, 10, 11]


def test_growth_by_score_draws_what_is_missing_dropped_places_last(rng):
    pattern = Pattern.from_keys((3, 4), np.arange(10))
    inactive = np.array([10, 11]), np.array([0.5, 0.0])
    dropped = np.array([5, 2]), np.array([0.0, -2.0])
    for count, wanted, scores in (
        (1, [2], [-2]),
        (2, [10, 2], [0.5, -2]),
        (3, [10, 2, 11], [0.5, -2, 0]),
        (4, [10, 2, 11, 5], [0.5, -2, 0, 0]),
    ):
        keys, found, shortfall = grow_largest(inactive, dropped, pattern, count, rng)
        assert keys.tolist() == wanted
        assert found.tolist() == scores
        assert shortfall == max(count - 2, 0)
