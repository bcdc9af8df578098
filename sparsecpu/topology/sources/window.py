"""The factors of the last steps, kept whole."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.parameters import SparseParameter
from sparsecpu.topology.selection import RunningTop
from sparsecpu.topology.sources.base import TILE_SHARE, Source
from sparsecpu.workspace import aligned_empty, aligned_zeros

#: Bytes of a row tile of M that is formed at an update.
TILE_BYTES = 4 * 1024**2


class Window(Source):
    """The factors of the last K steps; see the module.

    Parameters
    ----------
    parameter : SparseParameter
        The layer's weights.
    **options : object
        See ``Source``.
    """

    name = "window"
    arrays = ("x", "dy", "when", "seen")

    def __init__(self, parameter: SparseParameter, **options: Any) -> None:
        super().__init__(parameter, **options)
        n_out, n_in = parameter.shape
        columns = self.steps * self.batch_size
        self.x = aligned_zeros((n_in, columns), self.dtype)
        self.dy = aligned_zeros((n_out, columns), self.dtype)
        self.when = np.zeros(self.steps, dtype=np.int64)
        self.seen = np.zeros(1, dtype=np.int64)

    @staticmethod
    def nbytes(parameter: SparseParameter, steps: int, batch_size: int) -> int:
        """Return what a window would hold.

        Parameters
        ----------
        parameter : SparseParameter
            The layer's weights.
        steps, batch_size : int
            Columns per factor are their product.

        Returns
        -------
        int
            Bytes.
        """
        return steps * batch_size * sum(parameter.shape) * parameter.data.itemsize

    def observe(self, step: int, left: int, x: np.ndarray, dy: np.ndarray) -> None:
        """Keep the factors of this step; see ``Source``.

        Parameters
        ----------
        step, left : int
            See ``Source``.
        x, dy : ndarray
            See ``Source``.
        """
        if left > self.steps:
            return
        slot = int(self.seen[0]) % self.steps
        first, lanes = slot * self.batch_size, x.shape[2]
        for kept, new in ((self.x, x), (self.dy, dy)):
            kept[:, first : first + self.batch_size] = 0
            for tile in range(len(new)):
                here = first + tile * lanes
                end = min(here + lanes, first + self.batch_size)
                kept[:, here:end] = new[tile, :, : end - here]
        self.when[slot] = step
        self.seen += 1

    def holds_history(self) -> bool:
        """Return whether any step was kept since the last update, or before it and still counts."""
        return int(self.seen[0]) > 0

    def top(self, count: int, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        """Form M row tile by row tile; see ``Source``.

        Parameters
        ----------
        count : int
            How many.
        steps_done : int
            Optimizer steps done so far.

        Returns
        -------
        tuple of ndarray
            Keys and values.
        """
        used = min(int(self.seen[0]), self.steps)
        columns = used * self.batch_size
        age = steps_done - 1 - self.when[:used]
        weight = np.repeat(self.share * self.momentum**age, self.batch_size).astype(self.dtype)
        n_out, n_in = self.parameter.shape
        small = n_out * n_in <= 1 << 18
        most = max(1, n_out // (4 if small else TILE_SHARE))
        rows = int(np.clip(TILE_BYTES // (n_in * self.dtype.itemsize), 1, most))
        buffer = aligned_empty((rows, n_in), self.dtype)
        top = RunningTop(count, self.dtype)
        for first in range(0, n_out, rows):
            tile = buffer[: min(rows, n_out - first)]
            part = self.dy[first : first + rows, :columns] * weight
            np.matmul(part, self.x[:, :columns].T, out=tile)
            self._offer(top, tile, first)
        if self.steps <= self.interval:  # all of it will be seen anew before the next update
            self.seen[0] = 0
        return top.result()
