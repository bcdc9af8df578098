"""What every update keeps: the number of weights, distinct positions, one layer at a time."""

import numpy as np
import pytest
from rewiring import blobs, make_network, parameter, train

from sparsecpu.errors import PatternError
from sparsecpu.layers import Flatten, ReLU, Sequential, SparseConv2d, SparseLinear
from sparsecpu.optimizers import SGD, Adam
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology import (
    Change,
    DeepR,
    Growth,
    Run,
    SparseMomentum,
    Static,
    Topology,
    make_topology,
)
from sparsecpu.topology.free_positions import random_free
from sparsecpu.topology.revival import revive_outputs


def run_of(parameters, rng):
    return Run(parameters, 10, 100, 16, "momentum", 0.9, 1.0, rng, lambda step: 0.1)


def updated(topology, parameters, rng):
    """Let a rule update some layers once; return the report."""
    topology.start(run_of(parameters, rng))
    return topology.update(10)


class Threshold(Topology):
    """CONTRIBUTING's example: drop what is below a threshold, grow as many at random."""

    def drop(self, name, parameter, rate):
        return np.flatnonzero(np.abs(parameter.data) < 1)[: parameter.nnz - 1]

    def grow(self, name, parameter, dropped, count):
        return Growth(random_free(parameter.pattern, count, self.run.rng))


def test_a_full_layer_keeps_what_it_cannot_replace(rng):
    p = SparseParameter(Pattern.full((12, 16)), rng.standard_normal(192))
    before = p.data.copy()
    report = updated(Threshold(), {"full": p}, rng)
    assert p.nnz == 192
    assert report.layers["full"] == {"dropped": 0, "grown": 0, "regrown": 0, "nnz": 192}
    np.testing.assert_array_equal(p.data, before)


def test_an_almost_full_layer_keeps_the_largest_of_what_it_dropped(rng):
    pattern = Pattern.from_keys((3, 4), np.arange(10))  # keys 10 and 11 are free
    p = SparseParameter(pattern, [5.0, 0.1, 0.4, 6, 0.3, 0.2, 7, 8, 0.9, 9])
    p.slot("momentum")[:] = np.arange(10)
    report = updated(Threshold(), {"layer": p}, rng)
    assert report.layers["layer"]["dropped"] == report.layers["layer"]["grown"] == 2
    assert p.pattern.keys().tolist() == [0, 2, 3, 4, 6, 7, 8, 9, 10, 11]  # without 0.1 and 0.2
    np.testing.assert_array_equal(p.data, np.float32([5, 0.4, 6, 0.3, 7, 8, 0.9, 9, 0, 0]))
    assert p.slots["momentum"].tolist() == [0, 2, 3, 4, 6, 7, 8, 9, 0, 0]


class Told(Topology):
    """Does what a test tells it to: places to drop, keys to grow, perhaps quotas."""

    def __init__(self, drop, keys, quotas=None, **options):
        super().__init__(**options)
        self.name = "told"  # on the class, it would become a rule for users
        self.places, self.keys, self.counts = drop, keys, quotas

    def drop(self, name, parameter, rate):
        return np.array(self.places)

    def grow(self, name, parameter, dropped, count):
        return Growth(np.array(self.keys, dtype=np.int64))

    def quotas(self, dropped):
        return self.counts or super().quotas(dropped)


# Four weights of 3 x 4, at keys 0, 3, 5 and 9.
@pytest.mark.parametrize("regrow", [True, False])
@pytest.mark.parametrize(
    ("drop", "keys", "message"),
    [
        ([0, 1], [1, 1], "distinct"),
        ([0, 1], [0, 0], "distinct"),  # both of them a weight that comes back
        ([0, 1], [1, 5], "pattern already"),
        ([0, 1], [1, 12], "from 0 to 11, not 12"),
        ([0, 1], [1, -1], "from 0 to 11, not -1"),
        ([0, 4], [1, 2], "from 0 to 3, not 4"),
        ([-1, 1], [1, 2], "from 0 to 3, not -1"),
        ([1, 1], [1, 2], "distinct"),
        ([0, 1], [1, 2, 4], "3 positions are to grow instead of 2"),
    ],
)
def test_what_cannot_be_is_refused_by_name(drop, keys, message, regrow, rng):
    p = SparseParameter(Pattern.from_keys((3, 4), np.array([0, 3, 5, 9])), np.arange(1.0, 5))
    with pytest.raises(PatternError, match=message) as error:
        updated(Told(drop, keys, regrow_keeps_value=regrow), {"1.weight": p}, rng)
    assert str(error.value).startswith("told, layer 1.weight: ")
    assert p.pattern.keys().tolist() == [0, 3, 5, 9]


@pytest.mark.parametrize("regrow", [True, False])
def test_places_may_come_in_any_order(regrow, rng):
    p = SparseParameter(Pattern.from_keys((3, 4), np.array([0, 3, 5, 9])), np.arange(1.0, 5))
    updated(Told([2, 0], [5, 1], regrow_keeps_value=regrow), {"layer": p}, rng)
    assert p.pattern.keys().tolist() == [1, 3, 5, 9]
    assert p.data.tolist() == [0, 2, 3 if regrow else 0, 4]


def test_quotas_must_add_up(rng):
    p, q = parameter((3, 4), 4, rng), parameter((3, 4), 4, rng)
    with pytest.raises(PatternError, match="told: 4 weights go, 3 come"):
        updated(Told([0, 1], [], {"p": 2, "q": 1}), {"p": p, "q": q}, rng)


def test_a_layer_keeps_no_more_than_it_dropped(rng):
    p, q = (SparseParameter(Pattern.from_keys((3, 4), np.arange(4)), np.ones(4)) for _ in "pq")
    with pytest.raises(PatternError, match=r"told, layer p: 0 positions .* instead of 3, and 2"):
        updated(Told([0, 1], [], {"p": 3, "q": 1}), {"p": p, "q": q}, rng)


def test_the_sum_is_kept_where_a_rule_decides_at_once(rng):
    class Moves(Topology):
        def __init__(self, grown):
            super().__init__()
            self.name, self.grown = "moves", grown

        def decide(self, steps_done, rate):
            yield "p", Change(np.array([0, 1]), Growth(np.empty(0, np.int64)))
            yield "q", Change(np.empty(0, np.int64), Growth(np.array(self.grown)))

    def layers():
        return {
            name: SparseParameter(Pattern.from_keys((3, 4), np.arange(4)), np.ones(4))
            for name in "pq"
        }

    report = updated(Moves([5, 6]), found := layers(), rng)
    assert [p.nnz for p in found.values()] == [2, 6]
    assert [f["dropped"] for f in report.layers.values()] == [2, 0]
    with pytest.raises(PatternError, match="moves: there were 8 weights, now there are 7"):
        updated(Moves([5]), layers(), rng)


#: Rows in groups: none, all of them but for last groups of one and two, and those of one layer.
GROUPS = {"1": (1, (40, 30)), "4": (4, (41, 30)), "4 and 1": ((4, 1, 4), (39, 30))}


@pytest.mark.parametrize(
    ("optimizer", "groups"),
    [(SGD(0.9, weight_decay=1e-3), "1"), (Adam(weight_decay=1e-3), "1"),
     (SGD(0.9, weight_decay=1e-3), "4"), (Adam(weight_decay=1e-3), "4 and 1")],
    ids=["1-sgd", "1-adam", "4-sgd", "4-and-1-adam"],
)  # fmt: skip
@pytest.mark.parametrize(
    "topology",
    [
        lambda: SparseMomentum(source="window"),
        lambda: SparseMomentum(source="tiles", growth_memory=2000),
        lambda: SparseMomentum(source="candidates"),
        lambda: SparseMomentum(redistribution="none", decay="linear"),
        lambda: SparseMomentum(redistribution="magnitude", grown_momentum="zero"),
        lambda: SparseMomentum(redistribution="nonzero", regrow_keeps_value=False),
        lambda: SparseMomentum(prune_rate=0.95, update_every=2),
        lambda: SparseMomentum(growth="momentum-neuron"),
        lambda: SparseMomentum(growth="random", pruning="global"),
        lambda: make_topology("set"),
        lambda: make_topology("set:variant=paper"),
        lambda: make_topology("rigl:stop_after=1"),
        lambda: SparseMomentum(source="lowrank", rank=3, score="l2"),
        lambda: make_topology("gse:scope=global,stop_after=1,subset=0.5", update_every=3),
        lambda: make_topology("gse:stop_after=1,distribution=graest", update_every=3),
        lambda: make_topology("dsr:threshold=.1", update_every=3),
        lambda: make_topology("deep-r:noise=0.01", update_every=3),
    ],
)
def test_nnz_is_exact_after_every_update(topology, optimizer, groups, rng):
    group, widths = GROUPS[groups]
    network = make_network((12, *widths, 4), 0.15, rng, np.float32, group=group)
    target = network.nnz

    def look():
        assert network.nnz == target
        assert network.layers[0].weight.pattern.group == (1 if groups == "1" else 4)
        for p in network.sparse_parameters().values():
            assert p.nnz >= 1
            assert (np.diff(p.pattern.keys()) > 0).all()
            assert all(len(v) == p.nnz for v in p.vectors().values())

    seen = train(network, topology(), *blobs(rng, samples=200), optimizer=optimizer, epochs=8,
                 learning_rate=0.01, batch_size=20, look=look)  # fmt: skip
    assert len(seen.reports) >= 7
    for report in seen.reports:
        facts = report.layers.values()
        assert sum(f["dropped"] for f in facts) == sum(f["grown"] for f in facts)
    assert sum(f["grown"] for report in seen.reports for f in report.layers.values()) > 0


@pytest.mark.parametrize(
    "rule", ["sparse-momentum", "sparse-momentum:source=tiles", "rigl", "set", "dsr:threshold=.1",
             "gse", "gse:distribution=grabo", "deep-r:noise=.1"],
)  # fmt: skip
def test_full_layers_stay_full(rule, rng):
    network = Sequential(
        [SparseConv2d(3, 8, 3, padding=1, density=1.0, rng=rng), ReLU(), Flatten(),
         SparseLinear(288, 4, density=1.0, rng=rng)], (3, 6, 6),
    )  # fmt: skip
    seen = train(network, make_topology(rule), *blobs(rng, 48, 108), epochs=8)
    assert len(seen.reports) >= 1
    assert all(p.pattern.is_full for p in network.sparse_parameters().values())


def test_static_never_changes(rng):
    network = make_network((12, 20, 4), 0.3, rng)
    before = [p.pattern for p in network.sparse_parameters().values()]
    seen = train(network, Static(), *blobs(rng))
    assert not seen.reports
    assert before == [p.pattern for p in network.sparse_parameters().values()]


def test_dead_units_do_not_stop_growth(rng):
    """Where few inactive positions have any momentum, the rest is drawn at random."""
    network = make_network((12, 20, 4), 0.3, rng)
    network.layers[0].bias.data[:] = -100.0  # every hidden unit is dead
    target = network.nnz
    seen = train(network, SparseMomentum(), *blobs(rng), epochs=3)
    assert seen.reports[0].layers["0.weight"]["shortfall"] > 0
    assert network.nnz == target


def test_revived_weights_are_like_the_others(rng):
    """Their values are drawn with the layer's deviation, at inputs drawn uniformly."""
    keys = np.sort(rng.choice(500 * 40, 3000, replace=False))  # outputs 500 to 999 have no weight
    p = SparseParameter(Pattern.from_keys((1000, 40), keys), rng.normal(0, 3, 3000), np.float64)
    deviation, dead = p.data.std(), np.flatnonzero(p.pattern.fan_in == 0)
    assert revive_outputs(p, rng) == len(dead) >= 500
    assert p.nnz == 3000
    new = ~np.isin(p.pattern.keys(), keys)
    np.testing.assert_array_equal(p.pattern.rows()[new], dead)
    assert p.data[new].std() == pytest.approx(deviation, rel=0.15)
    assert abs(p.data[new].mean()) < 0.2 * deviation
    assert len(np.unique(p.pattern.indices[new])) == 40


def test_deep_r_walks_with_its_noise(rng):
    """The steps of an interval at once: k shrinkages, and noise that grows with the root of k."""
    p = SparseParameter(Pattern.full((100, 200)), np.full(20_000, 5.0), np.float64)
    topology = DeepR(update_every=4, noise=0.5, shrinkage=0.25)
    topology.start(run_of({"layer": p}, rng))  # the learning rate is 0.1
    topology.initialise()
    theta = np.abs(p.data.copy())
    topology.prepare(4)
    walked = np.abs(p.data) - theta
    assert walked.mean() == pytest.approx(-0.1 * 0.25 * 4, abs=0.005)
    assert walked.std() == pytest.approx(0.1 * 0.5 * 2, rel=0.03)
