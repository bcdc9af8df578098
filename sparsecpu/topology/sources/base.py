"""What every source of inactive weights' momentum is."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.gradient_view import GradientView


class Source:
    """Base of the sources.

    Parameters
    ----------
    parameter : SparseParameter
        The layer's weights.
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
    #: Attributes that a checkpoint keeps.
    arrays: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        parameter: SparseParameter,
        *,
        steps: int,
        batch_size: int,
        momentum: float,
        gradient_weight: float,
        interval: int,
    ) -> None:
        self.parameter, self.steps, self.batch_size = parameter, steps, batch_size
        self.interval = interval
        self.momentum, self.gradient_weight = momentum, gradient_weight
        self.dtype = parameter.data.dtype

    def observe(self, step: int, left: int, view: GradientView) -> None:
        """Take in the gradient of a step, with ``left`` steps, it included, before an update."""
        raise NotImplementedError

    def top(self, count: int, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        r"""Return the inactive positions of largest \|M\|, at most ``count`` and none of them 0.

        Sorted keys, and M there; ``steps_done`` optimizer steps lie behind.
        """
        raise NotImplementedError

    def top_of_rows(self, counts: np.ndarray, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the same for each row, at most ``counts[i]`` of row i; not all sources can."""
        raise ParameterError("source", self.name, "window or candidates, to grow row by row")

    def state(self) -> dict[str, np.ndarray]:
        """Return the arrays that a resumed run needs, by name; none between two windows."""
        return {name: getattr(self, name) for name in self.arrays if self.holds_history()}

    def holds_history(self) -> bool:
        """Return True if anything was observed that the next update will use."""
        return True

    def load_state(self, arrays: dict[str, np.ndarray]) -> None:
        """Take up what ``state`` returned."""
        for name, array in arrays.items():
            setattr(self, name, np.array(array))
