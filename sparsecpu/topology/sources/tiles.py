"""Row tiles of the momentum, one after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.kernels.machine.arrays import aligned_zeros
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology.gradients import TILE_SHARE, whole_rows
from sparsecpu.topology.selection import RunningTop
from sparsecpu.topology.sources.base import Source


class Tiles(Source):
    """Row tiles of M, accumulated one after the other; see the module.

    Parameters
    ----------
    parameter : SparseParameter
        The layer's weights.
    parts : int
        Into how many tiles the rows are cut.
    **options : object
        See ``Source``.
    """

    name = "tiles"
    arrays = ("tile", "keys", "values")

    def __init__(self, parameter: SparseParameter, *, parts: int, **options: Any) -> None:
        super().__init__(parameter, **options)
        from scipy.linalg.blas import dgemm, sgemm  # before training starts: it brings a BLAS

        self.gemm = sgemm if self.dtype == np.float32 else dgemm
        n_out, n_in = parameter.shape
        self.rows = -(-n_out // parts)
        self.parts = -(-n_out // self.rows)
        self.tile = aligned_zeros((self.rows, n_in), self.dtype)
        self._whole: tuple[int, Pattern] | None = None
        self._top: RunningTop | None = None  # made when the first part has had its turn

    @staticmethod
    def parts_for(parameter: SparseParameter, memory: float) -> int:
        """Return into how many parts the rows must be cut to fit, and to stay far from dense.

        Parameters
        ----------
        parameter : SparseParameter
            The layer's weights.
        memory : float
            Bytes for the tile and for finding its largest entries.

        Returns
        -------
        int
            Parts.
        """
        n_out, n_in = parameter.shape
        # The tile, its magnitudes and a mask.
        per_row = n_in * (2 * parameter.data.itemsize + 1)
        return max(min(TILE_SHARE, n_out), math.ceil(n_out / max(1, int(memory // per_row))))

    def _rows(self, first: int, count: int) -> Pattern:
        """Return the pattern that has all of some rows, and nothing else."""
        if self._whole is None or self._whole[0] != first:
            self._whole = first, whole_rows(self.parameter.shape, slice(first, first + count))
        return self._whole[1]

    def _empty(self) -> RunningTop:
        pattern = self.parameter.pattern
        return RunningTop(min(pattern.nnz, pattern.size - pattern.nnz), self.dtype)

    @property
    def keys(self) -> np.ndarray:
        """Keys found so far."""
        return (self._top or self._empty()).result()[0]

    @keys.setter
    def keys(self, keys: np.ndarray) -> None:
        """Take up the keys of a checkpoint; ``values`` must follow.

        Parameters
        ----------
        keys : ndarray of int64
            The keys.
        """
        self._held = np.array(keys)

    @property
    def values(self) -> np.ndarray:
        """Momentum at those keys."""
        return (self._top or self._empty()).result()[1]

    @values.setter
    def values(self, values: np.ndarray) -> None:
        """Take up the momentum of a checkpoint.

        Parameters
        ----------
        values : ndarray
            One per key.
        """
        self._top = self._empty()
        self._top.add(self._held, np.array(values))  # keys come first

    def observe(self, step: int, left: int, x: Any, dy: Any) -> None:
        """Add this step to the tile whose turn it is; see ``Source``.

        Parameters
        ----------
        step, left : int
            See ``Source``.
        x, dy : object
            See ``Source``.
        """
        turn, remaining = divmod(left - 1, self.steps)
        part = self.parts - 1 - turn
        if part < 0:
            return
        first = part * self.rows
        tile = self.tile[: self.parameter.shape[0] - first]
        # tile <- beta tile + share dY X', as BLAS sees it: transposed, Fortran order, in place.
        beta = 0.0 if remaining == self.steps - 1 else self.momentum
        if self.parameter.spatial:
            fresh = x.at(self._rows(first, len(tile))).reshape(tile.shape)
            np.multiply(tile, self.dtype.type(beta), out=tile)
            tile += self.dtype.type(self.share) * fresh
        for t in range(0 if self.parameter.spatial else len(x)):
            rows = dy[t, first : first + len(tile)]
            self.gemm(
                self.share, x[t].T, rows.T, beta=beta, c=tile.T, trans_a=True, overwrite_c=True
            )  # fmt: skip
            beta = 1.0
        if remaining == 0:
            self._top = self._top or self._empty()
            self._top.offer(self.parameter.pattern, tile, first)

    def top(self, count: int, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the best of what each part held at the end of its turn; see ``Source``.

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
        top = self._top or self._empty()
        top.count, self._top = min(count, top.count), None
        return top.result()
