"""What every source of inactive weights' momentum is."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.sparse.parameter import SparseParameter


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
    share : float
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
        share: float,
        interval: int,
    ) -> None:
        self.parameter, self.steps, self.batch_size = parameter, steps, batch_size
        self.interval = interval
        self.momentum, self.share = momentum, share
        self.dtype = parameter.data.dtype

    def observe(self, step: int, left: int, x: np.ndarray, dy: np.ndarray) -> None:
        """See a step.

        Parameters
        ----------
        step : int
            Its number.
        left : int
            Steps before the next update, this one included.
        x, dy : ndarray, shape (tiles, features, lanes)
            Input and output gradient of the layer; views. For a convolution, whose pixels would be
            needed many times over, both are an object with ``at(pattern)``, the gradient at the
            positions of a pattern, and ``activity(kind, rng)``; see ``sampling.activity``.
        """
        raise NotImplementedError

    def top(self, count: int, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        r"""Return the inactive positions of largest \|M\|, at most ``count``, none of them 0.

        Parameters
        ----------
        count : int
            How many.
        steps_done : int
            Optimizer steps done so far.

        Returns
        -------
        keys : ndarray of int64
            Sorted.
        values : ndarray
            Their momentum.
        """
        raise NotImplementedError

    def top_of_rows(self, counts: np.ndarray, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        r"""Return the inactive positions of largest \|M\| in each row.

        Parameters
        ----------
        counts : ndarray of int, shape (n_out,)
            How many per row, at most.
        steps_done : int
            Optimizer steps done so far.

        Returns
        -------
        tuple of ndarray
            Keys and values, as ``top`` returns them.

        Raises
        ------
        ParameterError
            If the source does not know rows by themselves.
        """
        raise ParameterError("source", self.name, "window or candidates, to grow row by row")

    def state(self) -> dict[str, np.ndarray]:
        """Return the arrays that a resumed run needs, by name; nothing between two windows."""
        return {name: getattr(self, name) for name in self.arrays if self.holds_history()}

    def holds_history(self) -> bool:
        """Return whether anything was seen that the next update will use."""
        return True

    def load_state(self, arrays: dict[str, np.ndarray]) -> None:
        """Take up what ``state`` returned.

        Parameters
        ----------
        arrays : dict of str to ndarray
            By name.
        """
        for name, array in arrays.items():
            setattr(self, name, np.array(array))
