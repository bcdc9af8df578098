"""What an update holds at once, in bytes per weight, by a trace of all allocations."""

import gc
import tracemalloc
import weakref

import pytest

from sparsecpu.networks.memory_estimate import rewiring_memory
from sparsecpu.networks.thin_layers import thin_layers
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology import make_topology
from sparsecpu.topology.run import Run

#: Bytes that the trace counts. It has new vectors, 8 bytes per weight with momentum, as a whole.
MOST = {1: 29, 4: 14}


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("name", ["set", "set:prune_rate=0.5", "deep-r"])
def test_an_update_holds_little_beside_the_network(name, group, rng, monkeypatch):
    for room in ("sparse.keys", "networks.memory_estimate"):
        monkeypatch.setattr(f"sparsecpu.{room}.SLAB", 1 << 12)
    monkeypatch.setattr("sparsecpu.topology.free_positions.SLAB", 1 << 12)
    tracemalloc.start()
    for nnz in (2_000, 400_000):  # what is compiled and imported comes first
        pattern = Pattern.random((4000, 4000), nnz, rng, group=group)
        weights = SparseParameter(pattern, rng.standard_normal(pattern.nnz))
        weights.slot("momentum")
        rule = make_topology(name)
        rule.start(Run({"w": weights}, 10, 100, 16, "momentum", 0.9, 1.0, rng, lambda step: 0.1))
        del pattern
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        rule.update(10)
        held = (tracemalloc.get_traced_memory()[1] - before) / weights.nnz
    tracemalloc.stop()
    if name == "set":
        assert held < MOST[group]
    need = rewiring_memory(nnz, group) + rule.memory([(4000, 4000)], [nnz], 16, 10, 0.9, [group])
    # Memory of new vectors is not in use before the old one before them has gone.
    assert held - 4 < need / nnz
    assert name == "deep-r" or need / nnz < 1.4 * (held - 4)


@pytest.mark.parametrize("rule", [
    "set", "gse", "gse:scope=global,subset=2", "dsr", "rigl", "sparse-momentum:growth=random",
    "sparse-momentum:source=candidates", "gradual:scope=layer",
])  # fmt: skip
def test_the_estimate_counts_a_shared_column_once(rule):
    topology, layers = make_topology(rule), ([(4000, 4000), (10, 4000)], [400_000, 20_000])
    alone, grouped, mixed = (
        topology.memory(*layers, 16, 10, 0.9, groups) for groups in ((), (4, 4), (4, 1))
    )
    assert alone == topology.memory(*layers, 16, 10, 0.9, (1, 1))
    fixed = topology.memory(layers[0], [0, 0], 16, 10, 0.9)  # tiles
    assert grouped - fixed <= 0.6 * (alone - fixed)  # candidates have a momentum for each weight
    assert grouped < mixed < alone


@pytest.mark.parametrize("group", [1, 4])
def test_an_update_frees_the_old_pattern_at_once(group, rng):
    pattern = Pattern.random((80, 60), 480, rng, group=group)
    weights = SparseParameter(pattern, rng.standard_normal(pattern.nnz))
    old = weakref.ref(pattern), weakref.ref(pattern.groups)
    rule = make_topology("set")
    rule.start(Run({"w": weights}, 10, 100, 16, None, 0.0, 1.0, rng, lambda step: 0.1))
    del pattern
    gc.disable()  # which a run has search so seldom that a large network would grow at each update
    try:
        rule.update(10)
        assert [found() for found in old] == [None, None]
    finally:
        gc.enable()


def test_no_column_of_each_row_stays_behind(rng):
    pattern = Pattern.random((80, 60), 480, rng, group=4)
    weights = SparseParameter(pattern, rng.standard_normal(pattern.nnz))
    assert thin_layers({"one": weights, "two": weights}) == ""
    assert weights.to_scipy().nnz == pattern.nnz
    assert "indices" not in vars(pattern)
