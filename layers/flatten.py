"""Flatten."""

from __future__ import annotations

from typing import Any

import numpy as np
from sparsecpu.layers.base import Layer, Spec

from sparsecpu.workspace import Context


class Flatten(Layer):
    """See each sample as a vector, in the order (channel, height, width)."""

    kind = "flatten"

    def plan(self, spec: Spec) -> Spec:
        """Return the flat shape.

        Parameters
        ----------
        spec : Spec
            The input.

        Returns
        -------
        Spec
            The output.
        """
        return Spec((spec.features,), spec.needs_gradient)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Return the same memory as (tiles, features, lanes).

        Parameters
        ----------
        x : ndarray
            The input; lanes last.
        ctx : Context
            Not used.

        Returns
        -------
        y : ndarray
            A view.
        saved : tuple
            The shape of ``x``.
        """
        return x.reshape(x.shape[0], -1, x.shape[-1]), x.shape

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray:
        """Return the same memory in the shape of the input.

        Parameters
        ----------
        dy : ndarray
            Gradient of the output.
        saved : tuple
            The shape.
        ctx : Context
            Not used.

        Returns
        -------
        ndarray
            A view.
        """
        return dy.reshape(saved)
