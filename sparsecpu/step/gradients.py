"""Gradients of all parameters together: their length, and their sums over several batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from sparsecpu.kernels.machine.arrays import aligned_empty
from sparsecpu.sparse.dense_parameter import Parameter


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


class GradientSums:
    """The gradients of several batches, added up in the order in which the batches pass.

    Layers write their gradients anew for each batch, so there is a second vector for each.
    """

    def __init__(self) -> None:
        self._sums: dict[str, np.ndarray] = {}

    def add(self, parameters: Mapping[str, Parameter], first: bool, last: bool) -> None:
        """Add the gradients of a batch; those of the last one become the sums of all."""
        if first and last:
            return
        for name, parameter in parameters.items():
            grad, held = parameter.grad, self._sums.get(name)
            if held is None or held.shape != grad.shape or held.dtype != grad.dtype:
                held = self._sums[name] = aligned_empty(grad.shape, grad.dtype)
            if first:
                held[...] = grad
            elif last:
                grad += held
            else:
                held += grad
