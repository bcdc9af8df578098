"""Topology: which weights exist, and how that changes; a new algorithm is one file and one line."""

from typing import Any

from sparsecpu.registries import Registry
from sparsecpu.topology.base import Growth, Report, Run, Static, Topology
from sparsecpu.topology.batch import BatchTopology
from sparsecpu.topology.deep_r import DeepR
from sparsecpu.topology.dsr import DSR
from sparsecpu.topology.gradual import GradualPruning
from sparsecpu.topology.gse import GuidedStochasticExploration
from sparsecpu.topology.rigl import RigL
from sparsecpu.topology.set import SET
from sparsecpu.topology.sparse_momentum import SparseMomentum

__all__ = [
    "DSR",
    "SET",
    "BatchTopology",
    "DeepR",
    "GradualPruning",
    "Growth",
    "GuidedStochasticExploration",
    "Report",
    "RigL",
    "Run",
    "SparseMomentum",
    "Static",
    "Topology",
    "make_topology",
]

#: Algorithms by the name that users give; a new one is imported above and named in one line here.
TOPOLOGIES: Registry[type[Topology]] = Registry(
    "topology",
    (
        SparseMomentum,
        RigL,
        GuidedStochasticExploration,
        SET,
        DSR,
        DeepR,
        GradualPruning,
        Static,
    ),
)


def make_topology(text: str, **options: Any) -> Topology:
    """Make the algorithm that a user names, with options.

    Parameters
    ----------
    text : str
        A name in ``TOPOLOGIES``, and what its constructor takes:
        ``"gse:distribution=grabo,subset=2"``.
    **options : object
        Further options; those in the text win.

    Returns
    -------
    Topology
        The algorithm.

    Raises
    ------
    ParameterError
        If there is no such algorithm or option.
    """
    made: Topology = TOPOLOGIES.make(text, **options)
    return made
