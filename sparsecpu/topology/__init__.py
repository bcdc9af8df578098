"""Topology: which weights exist, and how that changes. A new rule is one file, imported here."""

from typing import Any

from sparsecpu.topology.base import TOPOLOGIES, Topology
from sparsecpu.topology.batch import BatchTopology
from sparsecpu.topology.change import Change, Growth
from sparsecpu.topology.deep_r import DeepR
from sparsecpu.topology.dsr import DSR
from sparsecpu.topology.gradual import GradualPruning
from sparsecpu.topology.gse import GuidedStochasticExploration
from sparsecpu.topology.rigl import RigL
from sparsecpu.topology.run import Report, Run
from sparsecpu.topology.set import SET
from sparsecpu.topology.sparse_momentum import SparseMomentum
from sparsecpu.topology.static import Static

__all__ = [
    "DSR",
    "SET",
    "TOPOLOGIES",
    "BatchTopology",
    "Change",
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
