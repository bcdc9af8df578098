"""Patterns that are chosen before training by scores of a dense network: SNIP and SynFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.kernels.machine.blas import one_blas_thread
from sparsecpu.networks.at_start.generated import GeneratedNetwork
from sparsecpu.networks.at_start.snip import draw_batch, snip
from sparsecpu.networks.at_start.synflow import synflow
from sparsecpu.networks.description import Architecture
from sparsecpu.registries import Registry
from sparsecpu.sparse.pattern import Pattern

__all__ = ["CHOOSERS", "GeneratedNetwork", "choose", "draw_batch", "snip", "synflow"]

#: What chooses patterns of a network by a batch of samples, ``x`` and ``targets``.
Chooser = Callable[[GeneratedNetwork, np.ndarray, np.ndarray], dict[str, Pattern]]
#: How patterns may be chosen, as users name it.
CHOOSERS: Registry[Chooser] = Registry(
    "pattern",
    {"snip": snip, "synflow": lambda network, x, targets: synflow(network)},
    "patterns",
    {"synflow": "The weights with the most flow from inputs to outputs; no samples are needed."},
)


def choose(
    name: str, architecture: Architecture, seed: int, x: np.ndarray, targets: Any
) -> dict[str, Pattern]:
    """Return a pattern for each layer (``"0.weight"`` …), chosen by an entry of ``CHOOSERS``.

    ``architecture`` says how many weights to keep, ``seed`` draws those of the dense network;
    ``x`` has shape (features, batch), ``targets`` are the class numbers.
    """
    with one_blas_thread():
        return CHOOSERS[name](GeneratedNetwork(architecture, seed), x, np.asarray(targets))
