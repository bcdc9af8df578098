"""Corners of single rules: what each drops and grows where there is little to choose from."""

import numpy as np
import pytest
from rewiring import parameter

from sparsecpu.errors import ParameterError
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology import (
    DSR,
    SET,
    DeepR,
    GradualPruning,
    GuidedStochasticExploration,
    Run,
    SparseMomentum,
)
from sparsecpu.topology.deep_r import signs
from sparsecpu.topology.momentum_ablations import drop_together
from sparsecpu.topology.sampling import AliasTable


def updated(topology, parameters, rng):
    """Let a rule update some layers once; return the report."""
    topology.start(Run(parameters, 10, 100, 16, "momentum", 0.9, 1.0, rng, lambda step: 0.1))
    return topology.update(10)


def test_dsr_leaves_every_layer_a_weight_however_high_the_threshold(rng):
    small, large = parameter((5, 4), 3, rng), parameter((9, 8), 10, rng)
    kept = [np.abs(p.data).max() for p in (small, large)]
    report = updated(DSR(threshold=1e9), {"small": small, "large": large}, rng)
    assert [report.layers[name]["dropped"] for name in ("small", "large")] == [2, 9]
    assert small.nnz + large.nnz == 13
    assert [np.abs(p.data).max() for p in (small, large)] == kept


def test_dsr_grows_no_more_than_there_is_room_for(rng):
    full, wide = parameter((4, 4), 15, rng), parameter((20, 20), 15, rng)
    full.data[:] = 5
    full.data[:3] = 1e-6
    wide.data[:] = 1e-6
    report = updated(DSR(threshold=1e-3), {"full": full, "wide": wide}, rng)
    # Of 3 + 14 new weights, shared out as 12 to 1, the full layer can take but one.
    assert report.layers["full"]["grown"] == 1
    assert report.layers["wide"]["grown"] == 16


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_gradual_pruning_reports_the_fraction_it_dropped(scope, rng):
    layers = {"a": parameter((10, 10), 90, rng), "b": parameter((5, 4), 10, rng)}
    report = updated(GradualPruning(density=0.25, scope=scope, end=0.1), layers, rng)
    left = {name: p.nnz for name, p in layers.items()}
    assert left["a"] + left["b"] == 30  # a quarter of 120
    if scope == "layer":
        assert left == {"a": 25, "b": 5}
    assert report.prune_rate == 0.7  # of 100
    assert {name: facts["nnz"] for name, facts in report.layers.items()} == left


@pytest.mark.parametrize(("momentum", "steps"), [(0.9, 22), (0.5, 4), (0.05, 1)])
def test_windows_reach_back_until_a_tenth_is_left(momentum, steps, rng):
    """0.9 to the power of 21 is more than a tenth, 0.9 to the power of 22 is less."""
    p = parameter((5, 4), 6, rng)
    topology = SparseMomentum(source="window")
    topology.start(Run({"a": p}, 50, 100, 16, "momentum", momentum, 1.0, rng, float))
    assert topology.sources["a"].steps == steps


def test_sparse_momentum_leaves_a_weight_and_needs_momentum(rng):
    p = parameter((5, 4), 2, rng)
    topology = SparseMomentum(growth_memory=1)
    topology.start(Run({"a": p}, 10, 100, 16, "momentum", 0.9, 1.0, rng, float))
    topology.prepare(10)
    assert topology.drop("a", p, 0.95).tolist() == [np.argmin(np.abs(p.data))]
    with pytest.raises(ParameterError, match="momentum"):
        topology.start(Run({"a": p}, 10, 100, 16, "momentum", 0.0, 1.0, rng, float))
    with pytest.raises(ParameterError, match="growth_memory"):
        SparseMomentum(growth_memory=0)


def test_layers_are_pruned_together_and_grow_at_random(rng):
    layers = {"a": parameter((5, 4), 4, rng), "b": parameter((5, 4), 6, rng)}
    layers["a"].data[:], layers["b"].data[:] = [1, 2, 3, 9], [0.5, 8, 8, 8, 2.5, 8]
    assert {name: places.tolist() for name, places in drop_together(layers, 0.31).items()} == {
        "a": [0, 1], "b": [0, 4],
    }  # fmt: skip
    topology = SparseMomentum(prune_rate=0.5, growth="random", redistribution="none")
    report = updated(topology, layers, rng)
    for facts, kept in zip(report.layers.values(), (4, 6), strict=True):
        assert facts["dropped"] == facts["grown"] == kept // 2
        assert (facts["regrown"], facts["shortfall"], facts["nnz"]) == (0, 0, kept)


class Rows:
    """A source that was told what it finds in each row."""

    name = "told"

    def __init__(self, keys, values):
        self.found = np.array(keys), np.array(values)

    def top_of_rows(self, counts, steps_done):
        self.counts = counts.tolist()
        return self.found


def grown_by_neuron(p, source, dropped, count, rng):
    topology = SparseMomentum(growth="momentum-neuron")
    topology.start(Run({"a": p}, 10, 100, 16, "momentum", 0.9, 1.0, rng, float))
    topology.prepare(10)
    topology.sources = {"a": source}
    return topology.grow("a", p, np.array(dropped, int), count)


def test_outputs_grow_by_their_mean_momentum(rng):
    """Means of 3, 1 and 2: of six, the outputs grow three, one and two."""
    pattern = Pattern((3, 10), [0, 4, 6, 7], [0, 1, 2, 3, 0, 1, 0])
    p = SparseParameter(pattern, np.ones(7))
    p.slot("momentum")[:] = [3, -3, 3, -3, 1, -1, 2]
    source = Rows([5, 6, 7, 15, 25, 26], [0.5, -0.4, 0.3, 0.1, 5, -4])
    growth = grown_by_neuron(p, source, [1, 4], 6, rng)
    assert source.counts == [3, 1, 2]
    found = dict(zip(growth.keys.tolist(), growth.values["momentum"].tolist(), strict=True))
    # What was dropped, at keys 1 and 10, has more momentum than what it stands beside.
    assert found == {1: -3.0, 5: 0.5, 6: -0.4, 10: 1.0, 25: 5.0, 26: -4.0}
    assert growth.facts == {"source": "told", "shortfall": 0}


def test_full_outputs_grow_only_what_they_dropped(rng):
    p = SparseParameter(Pattern((3, 4), [0, 4, 6, 6], [0, 1, 2, 3, 0, 1]), np.ones(6))
    p.slot("momentum")[:] = [3, 3, 3, 3, 1, 1]
    source = Rows([6, 8], [1.0, 2.0])
    assert sorted(grown_by_neuron(p, source, [], 2, rng).keys) == [6, 8]
    assert source.counts == [0, 1, 1]
    source = Rows([6], [0.5])
    assert sorted(grown_by_neuron(p, source, [0, 1, 2], 3, rng).keys) == [0, 1, 6]
    assert source.counts == [2, 1, 0]  # 99 % of three are two whole ones


def test_a_layer_whose_momentum_is_not_finite_gets_no_share(rng):
    layers = {name: parameter((5, 4), 6, rng) for name in ("good", "bad", "other")}
    for name, value in (("good", 3.0), ("bad", np.inf), ("other", 1.0)):
        layers[name].slot("momentum")[:] = value
    topology = SparseMomentum(source="window")
    topology.start(Run(layers, 10, 100, 16, "momentum", 0.9, 1.0, rng, float))
    topology.prepare(10)
    assert topology.shares == {"good": 0.75, "bad": 0.0, "other": 0.25}


def test_signs_are_bits_of_splitmix64():
    """The first numbers that the published generator gives from the seed 0."""
    published = [
        0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC,
        0x1B39896A51A8749B, 0x53CB9F0C747EA2EA, 0x2C829ABE1F4532E1, 0xC584133AC916AB3C,
    ]  # fmt: skip
    wanted = [-1 if number >> 63 else 1 for number in published]
    assert signs(0, np.arange(8)).tolist() == wanted
    assert signs(5, np.arange(3)).tolist() == wanted[5:]


class Scores:
    """A view of a gradient that is the key itself, from 0 to the last position."""

    def at(self, pattern):
        return pattern.keys().astype(float)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_gse_draws_by_its_subset_and_keeps_what_may_grow(scope, rng):
    p = parameter((30, 20), 41, rng)
    topology = GuidedStochasticExploration(subset=0.3, scope=scope)
    topology.start(Run({"a": p}, 10, 100, 16, "momentum", 0.9, 1.0, rng, float))
    keys, scores, drawn = topology.see(p, Scores(), 0.1)
    assert drawn <= 13  # 0.3 * 41, rounded up, less what was drawn twice
    assert drawn >= 11
    assert len(keys) == (5 if scope == "layer" else drawn)  # 0.1 * 41, rounded up
    assert scores.tolist() == keys.tolist()
    assert not p.pattern.contains(np.sort(keys)).any()


def test_global_gse_drops_and_grows_across_layers(rng):
    a = SparseParameter(Pattern((2, 4), [0, 2, 3], [0, 2, 1]), [5.0, 0.1, 7.0])
    b = SparseParameter(Pattern((2, 4), [0, 2, 3], [0, 2, 1]), [0.2, -0.3, -6.0])
    topology = GuidedStochasticExploration(scope="global")
    topology.start(Run({"a": a, "b": b}, 10, 100, 16, "momentum", 0.9, 1.0, rng, float))
    topology.seen = {"a": (np.array([1, 3]), np.array([0.1, 0.9]), 2),
                     "b": (np.array([1, 4, 7]), np.array([0.3, 0.4, 0.2]), 3)}  # fmt: skip
    changes = dict(topology.decide(10, 0.4))  # of 6 weights, 2.4, rounded up
    assert {name: change.drop.tolist() for name, change in changes.items()} == {
        "a": [1], "b": [0, 1],
    }  # fmt: skip
    assert {name: change.growth.keys.tolist() for name, change in changes.items()} == {
        "a": [3], "b": [1, 4],
    }  # fmt: skip


def test_set_of_the_paper_counts_zeros_among_the_negative(rng):
    p = parameter((4, 4), 6, rng)
    p.data[:] = [0, 1, 2, -1, -2, 3]
    topology = SET(variant="paper", prune_rate=0.5)
    topology.start(Run({"a": p}, 10, 100, 16, "momentum", 0.9, 1.0, rng, float))
    assert topology.drop("a", p, 0.9).tolist() == [0, 1]  # half of each three


def test_what_set_drops_and_must_grow_again_starts_at_zero(rng):
    p = SparseParameter(Pattern.full((3, 4)), np.arange(1.0, 13))
    updated(SET(prune_rate=0.3), {"a": p}, rng)
    assert p.data.tolist() == [0, 0, 0, *range(4, 13)]


def test_deep_r_shrinks_by_the_rate_of_the_step_before(rng):
    layers = {name: parameter((6, 5), 9, rng) for name in "ab"}
    topology = DeepR(update_every=10, noise=0.0, shrinkage=1e-3)
    rates = {9: 2.0}  # of the last of ten steps, counted from 0
    topology.start(Run(layers, 50, 100, 16, "momentum", 0.9, 1.0, rng, rates.__getitem__))
    assert len({*topology.salts.values()}) == 2  # each layer has signs of its own
    turned = layers["a"].pattern.transposed.perm
    assert len(layers["a"].transposed_data) == 9  # is there, and has to follow
    topology.initialise()
    np.testing.assert_array_equal(layers["a"].transposed_data, layers["a"].data[turned])
    before = np.abs(layers["a"].data)
    topology.prepare(10)
    np.testing.assert_array_equal(layers["a"].transposed_data, layers["a"].data[turned])
    wanted = (before - 2.0 * 1e-3 * 10) * signs(topology.salts["a"], layers["a"].pattern.keys())
    np.testing.assert_allclose(layers["a"].data, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "second"),
    [([1e-6, 3e-6], 0.75), ([1e6, 3e6], 0.75), ([0.0, 0.0], 0.5), ([np.inf, 1.0], 0.5)],
)
def test_draws_need_weights_of_no_scale_and_are_even_without_any(weights, second, rng):
    drawn = AliasTable(weights).draw(10_000, rng)
    assert drawn.mean() == pytest.approx(second, abs=0.03)
