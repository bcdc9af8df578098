"""What an update holds at once, in bytes per weight, by a trace of all allocations."""

import gc
import tracemalloc
import weakref

import pytest

from sparsecpu.networks.thin_layers import thin_layers
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology import make_topology
from sparsecpu.topology.run import Run

#: Bytes that the trace counts. It has new vectors, 8 bytes per weight with momentum, as a whole.
MOST = {1: 29, 4: 14}


@pytest.mark.parametrize("group", [1, 4])
def test_an_update_holds_little_beside_the_network(group, rng, monkeypatch):
    for room in ("keys", "merging"):
        monkeypatch.setattr(f"sparsecpu.sparse.{room}.SLAB", 1 << 12)
    monkeypatch.setattr("sparsecpu.topology.free_positions.SLAB", 1 << 12)
    tracemalloc.start()
    for nnz in (2_000, 400_000):  # what is compiled and imported comes first
        pattern = Pattern.random((4000, 4000), nnz, rng, group=group)
        weights = SparseParameter(pattern, rng.standard_normal(pattern.nnz))
        weights.slot("momentum")
        rule = make_topology("set")
        rule.start(Run({"w": weights}, 10, 100, 16, "momentum", 0.9, 1.0, rng, lambda step: 0.1))
        del pattern
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        rule.update(10)
        held = (tracemalloc.get_traced_memory()[1] - before) / weights.nnz
    tracemalloc.stop()
    assert held < MOST[group]


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
