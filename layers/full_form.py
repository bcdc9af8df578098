"""Sparse weights as a full matrix, for layers in dense form."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.step.context import Context


class FullForm:
    """Writes a layer's weights into a full matrix, and reads a full gradient at the nonzeros.

    Parameters
    ----------
    layer : Layer
        Has a ``weight``, whose values stay in CSR.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self._positions: tuple[Any, Any] = (None, None)  # a pattern and its keys

    def keys(self) -> np.ndarray:
        """Return where in a full matrix the nonzeros are, int64, sorted."""
        pattern = self.layer.weight.pattern
        if self._positions[0] is not pattern:
            self._positions = pattern, pattern.keys()
        return self._positions[1]

    def matrix(self, ctx: Context, *, renew: bool = True) -> np.ndarray:
        """Return the weights as a matrix: a view of a full pattern's values, else a copy.

        Parameters
        ----------
        ctx : Context
            Gives the memory.
        renew : bool
            Whether to write the copy; False where it was written in the same step.

        Returns
        -------
        ndarray, shape (n_out, n_in)
            Zeros where there is no weight.
        """
        weight = self.layer.weight
        if weight.pattern.is_full:
            return weight.full_view()
        matrix = ctx.workspace.array(self.layer, "matrix", weight.shape, weight.data.dtype)
        if renew:
            matrix[...] = 0
            matrix.reshape(-1)[self.keys()] = weight.data
        return matrix

    def gradient(self, ctx: Context) -> np.ndarray:
        """Return where to write a full gradient: a view of a full pattern's, else other memory.

        Parameters
        ----------
        ctx : Context
            Gives the memory.

        Returns
        -------
        ndarray, shape (n_out, n_in)
            Unspecified contents; hand it to ``keep`` when it is written.
        """
        weight = self.layer.weight
        if weight.pattern.is_full:
            return weight.grad.reshape(weight.shape)
        return ctx.workspace.array(self.layer, "full dw", weight.shape, weight.data.dtype)

    def keep(self, gradient: np.ndarray) -> None:
        """Take over a gradient at the nonzeros.

        Parameters
        ----------
        gradient : ndarray
            From ``gradient``.
        """
        weight = self.layer.weight
        if not weight.pattern.is_full:
            np.take(gradient.reshape(-1), self.keys(), out=weight.grad, mode="clip")
