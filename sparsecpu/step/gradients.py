"""Gradients of all parameters together: their length, and their sums over several passes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.step.workspace import Workspace


class GlobalNorm:
    """The root of the sum of the squares of all gradients.

    Sums are in float64 and in one order: the norm has the same bits on any number of threads.
    """

    def __init__(self) -> None:
        self._parts = np.empty(0)

    def of(self, parameters: Iterable[Parameter]) -> float:
        """Return the norm of the gradients that parameters have now."""
        from sparsecpu.kernels.update import PART, sum_of_squares

        total = 0.0
        for parameter in parameters:
            grad = parameter.grad
            parts = -(-len(grad) // PART)
            if parts > len(self._parts):
                self._parts = np.empty(parts)
            total += sum_of_squares(grad, self._parts[:parts])
        return math.sqrt(total)


def add_up(
    parameters: Mapping[str, Parameter], workspace: Workspace, owner: Any, first: bool, last: bool
) -> None:
    """Add the gradients of one of several passes to those before; the last one's become the sums.

    Layers write their gradients anew in each pass, so there is a second vector for each of them,
    in the workspace in the name of ``owner``.
    """
    if first and last:
        return
    for name, parameter in parameters.items():
        grad = parameter.grad
        held = workspace.array(owner, f"sum of {name}", grad.shape, grad.dtype)
        if first:
            held[...] = grad
        elif last:
            grad += held
        else:
            held += grad
