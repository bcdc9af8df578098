"""What every source of inactive weights' momentum is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.kernels.machine.arrays import aligned_copy
from sparsecpu.sparse.keys import among
from sparsecpu.step.checked_arrays import Arrays, take, take_keys
from sparsecpu.step.gradient_view import GradientView
from sparsecpu.topology.running_top import RunningTop
from sparsecpu.topology.shared_columns import SharedColumns, shape_of_values, weights_of


class Source:
    """Base of the sources.

    Parameters
    ----------
    parameter : SparseParameter
        The layer's weights, or their shared columns: then what is found are magnitudes, and ``at``
        has the momenta of the weights.
    steps : int
        K, the length of the window.
    batch_size : int
        Samples per step.
    momentum : float
        b.
    gradient_weight : float
        Factor with which a gradient enters the momentum.
    interval : int
        Steps between updates.
    """

    #: Name in history and in options.
    name: ClassVar[str] = ""

    def __init__(
        self,
        parameter: Any,
        *,
        steps: int,
        batch_size: int,
        momentum: float,
        gradient_weight: float,
        interval: int,
    ) -> None:
        self.parameter, self.steps, self.batch_size = parameter, steps, batch_size
        self.weights, self.interval = weights_of(parameter), interval
        self.shared = parameter if isinstance(parameter, SharedColumns) else None
        self.momentum, self.gradient_weight = momentum, gradient_weight
        self.dtype = self.weights.data.dtype
        self._told = self._nothing_told()

    def widen(self, batch_size: int) -> None:
        """Get ready for steps of up to so many samples; what was observed stays."""
        self.batch_size = max(self.batch_size, batch_size)

    def observe(self, step: int, left: int, view: GradientView) -> None:
        """Take in the gradient of a step, with ``left`` steps, it included, before an update."""
        raise NotImplementedError

    def top(self, count: int, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        r"""Return the inactive positions of largest \|M\|, at most ``count`` and none of them 0.

        Sorted keys, and M there; ``steps_done`` optimizer steps lie behind.
        """
        raise NotImplementedError

    def at(self, keys: np.ndarray) -> np.ndarray:
        """Return M at the weights of shared columns that were found last: a row of each; else 0.

        What was found is forgotten then.
        """
        (told, rows), self._told = self._told, self._nothing_told()
        order = np.argsort(keys)
        there = among(keys[order], told)[1]
        found = among(told, keys[order])[1]
        momenta = np.zeros(shape_of_values(self.parameter, keys), dtype=self.dtype)
        momenta[order[there]] = rows[found]
        return momenta

    def _nothing_told(self) -> tuple[np.ndarray, np.ndarray]:
        return np.empty(0, dtype=np.int64), np.empty((0, 1), dtype=self.dtype)

    def _tell(self, top: RunningTop) -> tuple[np.ndarray, np.ndarray]:
        """Return what a search found; keep what rows have there, where they share columns."""
        found = top.result()
        if self.shared is not None:
            self._told = found[0], top.rows
        return found

    def top_of_rows(self, counts: np.ndarray, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the same for each row, at most ``counts[i]`` of row i; not all sources can."""
        raise ParameterError("source", self.name, "window or candidates, to grow row by row")

    def state(self) -> dict[str, np.ndarray]:
        """Return the arrays that a resumed run needs, by name; none between two windows."""
        raise NotImplementedError

    def load_state(self, arrays: Arrays, steps_done: int) -> None:
        """Take up what ``state`` returned, when so many optimizer steps lay behind.

        Raises ``FileFormatError`` if an array is missing, of another size, or not finite.
        """
        raise NotImplementedError

    def _take_inactive(
        self, arrays: Arrays, most: int, shape: Callable[[np.ndarray], tuple[int, ...]] = np.shape
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return copies of ``keys``, at most so many inactive positions, and of ``values``.

        For some keys, values have a ``shape``.
        """
        pattern = self.parameter.pattern
        keys = take_keys(arrays, "keys", pattern.size)
        values = take(arrays, "values", self.dtype, shape(keys))
        if len(keys) > most or pattern.contains(keys).any():
            raise FileFormatError(f"the array keys must hold at most {most} inactive positions")
        return aligned_copy(keys), aligned_copy(values)
