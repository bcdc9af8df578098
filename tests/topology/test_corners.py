"""Corners of choosing and sharing out: long arrays, layers that are almost empty or full."""

import numpy as np
import pytest
from rewiring import parameter

from sparsecpu.errors import PatternError
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology import (
    RigL,
    Run,
    Topology,
    make_topology,
)
from sparsecpu.topology.batch import BatchTopology
from sparsecpu.topology.change import Change, Growth, fill_up, sorted_places
from sparsecpu.topology.quotas import quotas_in_rounds, water_fill
from sparsecpu.topology.revival import revive_outputs
from sparsecpu.topology.selection import largest_of_rows, smallest


def test_the_smallest_of_many(rng):
    for count in range(1, 2000, 9):
        scores = rng.permutation(2000).astype(float)
        np.testing.assert_array_equal(smallest(scores, count), np.flatnonzero(scores < count))


def test_the_largest_of_each_row_by_magnitude_and_never_a_zero():
    rows = np.array([1, 0, 1, 1, 2, 0])
    scores = np.array([1.0, -3.0, -2.0, 0.5, 0.0, 1.0])
    counts = np.array([1, 2, 5])
    assert largest_of_rows(rows, scores, counts).tolist() == [0, 1, 2]


def test_places_are_sorted_wherever_they_are_out_of_order(rng):
    p = parameter((5, 4), 6, rng)
    assert sorted_places(p, np.array([0, 3, 2])).tolist() == [0, 2, 3]
    for twice in ([0, 2, 2], [2, 0, 2], [1, 1]):
        with pytest.raises(PatternError, match="distinct"):
            sorted_places(p, np.array(twice))


def test_one_dropped_weight_stays_for_one_that_is_missing():
    p = SparseParameter(Pattern((2, 3), [0, 2, 4], [0, 1, 0, 2]), [0.1, -0.3, 0.2, 9.0])
    change = Change(np.array([0, 1, 2]), Growth(np.array([2, 4])))
    assert fill_up(p, change, 3).drop.tolist() == [0, 2]  # the largest of the dropped stays
    assert fill_up(p, change, 2) is change
    for impossible in (1, 6):
        with pytest.raises(PatternError, match="are to grow"):
            fill_up(p, change, impossible)


def test_water_is_filled_up_to_one_level(rng):
    """What a layer gets is its share and the level, or its cap; the level is found by halving."""
    for _ in range(30):
        n = int(rng.integers(1, 8))
        shares, caps = rng.dirichlet(np.full(n, 0.5)), rng.uniform(1, 100, n)
        total = rng.uniform(0.05, 1.0) * caps.sum()
        low, high = -total, 2 * total
        for _ in range(100):
            level = (low + high) / 2
            low, high = ((low, level) if np.minimum(caps, shares * total + level).sum() > total
                         else (level, high))  # fmt: skip
        found = water_fill(shares, caps, total)
        np.testing.assert_allclose(found, np.minimum(caps, shares * total + low), atol=1e-6)
    assert water_fill(np.array([0.5, 0.5]), np.array([3.0, 4.0]), 7).tolist() == [3, 4]


def test_some_of_the_dropped_come_back_where_nothing_is_free():
    stay, free, gone = np.array([5, 9]), np.array([4, 0]), np.array([6, 2])
    # Four find room in the first layer; of the other four, as many come back as went, 3 to 1.
    assert quotas_in_rounds(stay, free, gone).tolist() == [4 + 3, 0 + 1]
    assert quotas_in_rounds(stay, np.array([90, 90]), gone).sum() == 8
    assert quotas_in_rounds(stay, free, np.array([0, 0])).tolist() == [0, 0]


def test_updates_come_at_regular_steps_and_end(rng):
    topology = Topology(update_every=10, stop_after=0.5)
    topology.start(Run({"a": parameter((5, 4), 3, rng)}, 7, 100, 16, None, 0, 1, rng, float))
    assert [step for step in range(101) if topology.due(step)] == [10, 20, 30, 40]
    assert [topology.steps_to_update(step) for step in (0, 9, 10, 39)] == [10, 1, 10, 1]
    assert topology.steps_to_update(40) is None  # the next would be the one at 50
    assert topology.regrow_keeps_value  # unless a rule wants it otherwise
    by_epoch = RigL()
    by_epoch.start(topology.run)
    assert [step for step in range(40) if by_epoch.due(step)] == [7, 14, 21, 28, 35]


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("sparse-momentum", {"prune_rate": 0.5, "stop_after": 1.0, "rank": 16, "window": None,
                             "growth_memory": 64e6}),
        ("rigl", {"prune_rate": 0.3, "stop_after": 0.75, "skip_step": True,
                  "regrow_keeps_value": True}),
        ("gse", {"prune_rate": 0.2, "stop_after": 0.6, "skip_step": True, "subset": 1.0,
                 "scope": "layer", "distribution": "uniform"}),
        ("set", {"prune_rate": 0.3, "variant": "magnitude", "stop_after": 1.0}),
        ("dsr", {"prune_rate": 0.05, "threshold": 1e-3, "stop_after": 1.0}),
        ("deep-r", {"shrinkage": 1e-5, "noise": 1e-5, "regrow_keeps_value": False}),
        ("gradual", {"density": 0.1, "scope": "global", "begin": 0.0, "end": 0.75}),
    ],
)  # fmt: skip
def test_defaults_are_the_documented_ones(name, defaults):
    made = make_topology(name)
    assert {option: getattr(made, option) for option in defaults} == defaults
    assert made.revive is False
    assert made.update_every is None


def test_a_batch_is_seen_with_the_rate_of_its_update(rng):
    """The batch of step 9 is the last before the update after ten steps."""
    p = parameter((5, 4), 6, rng)

    class Seen(BatchTopology):
        def see(self, parameter, view, rate):
            assert parameter is p
            return view, rate

    topology = Seen(prune_rate=0.5, stop_after=0.5)
    topology.name = "seen"  # on the class, it would become a rule for users
    topology.start(Run({"a": p}, 10, 100, 16, "momentum", 0.9, 1.0, rng, float))
    assert [step for step in range(60) if topology.replaces_step(step)] == [9, 19, 29, 39]
    assert [step for step in range(60) if topology.observer(step)] == [9, 19, 29, 39]
    topology.observer(19)(p, "view")
    assert topology.seen == {"a": ("view", topology.rate(20))}
    assert 0 < topology.rate(20) < topology.rate(19) < 0.5


def test_revived_weights_where_all_weights_are_alike(rng):
    """Weights without a spread give none to draw from: then it is 1."""
    p = SparseParameter(Pattern((800, 3), [3 * min(i, 400) for i in range(801)],
                                [0, 1, 2] * 400), np.full(1200, 7.0))  # fmt: skip
    assert revive_outputs(p, rng) == 400
    assert p.nnz == 1200
    drawn = p.data[p.data != 7]
    assert len(drawn) == 400
    assert abs(drawn.mean()) < 0.2
    assert 0.9 < drawn.std() < 1.1


def test_an_output_keeps_its_largest_weight_when_others_revive(rng):
    p = SparseParameter(Pattern((3, 4), [0, 3, 3, 4], [0, 2, 3, 1]), [0.2, -5.0, 3.0, 0.1])
    assert revive_outputs(p, rng) == 1
    assert p.pattern.rows().tolist() == [0, 0, 1, 2]
    assert p.data[[0, 1, 3]].tolist() == np.float32([-5, 3, 0.1]).tolist()
    before = p.data.copy()
    assert revive_outputs(p, rng) == 0
    np.testing.assert_array_equal(p.data, before)
    p = SparseParameter(Pattern((3, 4), [0, 2, 2, 2], [1, 2]), [9.0, -8.0])
    assert revive_outputs(p, rng) == 1  # of two, for the last weight of an output stays
    assert p.pattern.rows().tolist() == [0, 1]
    assert p.data[0] == 9
