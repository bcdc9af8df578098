"""Topology: which weights exist, and how that changes. A new algorithm is one file and one line."""

from sparsecpu.topology.base import Growth, Report, Run, Static, Topology
from sparsecpu.topology.batch import BatchTopology
from sparsecpu.topology.deep_r import DeepR
from sparsecpu.topology.dsr import DSR
from sparsecpu.topology.gse import GuidedStochasticExploration
from sparsecpu.topology.rigl import RigL
from sparsecpu.topology.set import SET
from sparsecpu.topology.sparse_momentum import SparseMomentum

__all__ = [
    "DSR",
    "SET",
    "BatchTopology",
    "DeepR",
    "Growth",
    "GuidedStochasticExploration",
    "Report",
    "RigL",
    "Run",
    "SparseMomentum",
    "Static",
    "Topology",
]

#: Algorithms by the name that users give.
TOPOLOGIES: dict[str, type[Topology]] = {
    algorithm.name: algorithm
    for algorithm in (SparseMomentum, RigL, GuidedStochasticExploration, SET, DSR, DeepR, Static)
}
