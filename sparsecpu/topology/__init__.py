"""Topology: which weights exist, and how that changes. A new algorithm is one file and one line."""

import inspect
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.registries.options import read_options
from sparsecpu.topology.base import Topology
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

_ALGORITHMS = (
    SparseMomentum, RigL, GuidedStochasticExploration, SET, DSR, DeepR, GradualPruning, Static,
)  # fmt: skip
#: Algorithms by the name that users give.
TOPOLOGIES: dict[str, type[Topology]] = {algorithm.name: algorithm for algorithm in _ALGORITHMS}


def make_topology(text: str, **options: Any) -> Topology:
    """Make the algorithm that a user names, with options.

    Parameters
    ----------
    text : str
        A name in ``TOPOLOGIES``, and what its constructor takes:
        ``"gse:distribution=grabo,subset=2"``.
    **options : object
        Options from elsewhere; those in the text are stronger.

    Returns
    -------
    Topology
        The algorithm.

    Raises
    ------
    ParameterError
        If there is no such algorithm or option.
    """
    name, given = read_options("topology", text)
    if name not in TOPOLOGIES:
        raise ParameterError("topology", name, f"one of {', '.join(TOPOLOGIES)}")
    known = inspect.signature(TOPOLOGIES[name].__init__).parameters
    takes = ", ".join(option for option in known if option != "self") or "none"
    options |= given
    for option in options:
        if option not in known:
            raise ParameterError(
                option, options[option], f"an option of {name}, which has: {takes}"
            )
    try:
        return TOPOLOGIES[name](**options)
    except TypeError:
        expected = f"numbers where {name} takes numbers, which has: {takes}"
        raise ParameterError("topology", text, expected) from None
