"""Topology: which weights exist, and how that changes. A new algorithm is one file and one line."""

from sparsecpu.topology.base import Growth, Report, Run, Static, Topology
from sparsecpu.topology.set import SET
from sparsecpu.topology.sparse_momentum import SparseMomentum

__all__ = ["SET", "Growth", "Report", "Run", "SparseMomentum", "Static", "Topology"]

#: Algorithms by the name that users give.
TOPOLOGIES: dict[str, type[Topology]] = {
    algorithm.name: algorithm for algorithm in (SparseMomentum, SET, Static)
}
