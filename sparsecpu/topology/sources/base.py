"""What every source of inactive weights' momentum is."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sparsecpu.parameters import SparseParameter
from sparsecpu.topology.selection import RunningTop

#: A tile has at most this fraction of the rows: it must stay far from a dense matrix.
TILE_SHARE = 32
#: Positions that are looked at at a time.
BLOCK = 1 << 16


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
            positions of a pattern, and ``squares()``, sums of squares per row and column.
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

    def _offer(self, top: RunningTop, tile: np.ndarray, first: int) -> None:
        """Offer the inactive entries of rows ``first …`` of M; the tile is overwritten."""
        pattern, n_in = self.parameter.pattern, tile.shape[1]
        start, end = pattern.indptr[first], pattern.indptr[first + len(tile)]
        fan_in = np.diff(pattern.indptr[first : first + len(tile) + 1])
        tile[np.repeat(np.arange(len(tile)), fan_in), pattern.indices[start:end]] = 0
        flat, offset = tile.reshape(-1), first * n_in
        # In pieces: after the first few, hardly anything exceeds the threshold any more.
        piece = max(2 * top.count, BLOCK)
        for start in range(0, len(flat), piece):
            part = flat[start : start + piece]
            found = np.flatnonzero(np.abs(part) > top.threshold)
            top.add(offset + start + found, part[found])

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
