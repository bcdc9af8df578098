"""Sparse weights as a full matrix, for layers that leave their products to BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.step.context import Context


class FullForm:
    """Writes a layer's weights into a full matrix, and reads a full gradient at the nonzeros.

    The layer has a ``weight``, whose values stay in CSR.
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
        """Return the weights as a matrix (n_out, n_in): a view of a full pattern's, else a copy.

        ``renew`` is False where the copy was written in the same step.
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
        """Return where to write a full gradient (n_out, n_in); hand it to ``keep`` when it is."""
        weight = self.layer.weight
        if weight.pattern.is_full:
            return weight.grad.reshape(weight.shape)
        return ctx.workspace.array(self.layer, "full dw", weight.shape, weight.data.dtype)

    def keep(self, gradient: np.ndarray) -> None:
        """Take over what was written into ``gradient``, at the nonzeros."""
        weight = self.layer.weight
        if not weight.pattern.is_full:
            np.take(gradient.reshape(-1), self.keys(), out=weight.grad, mode="clip")
