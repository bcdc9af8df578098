"""Flatten."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.layers.base import Layer, Spec
from sparsecpu.layers.images.planes import solid
from sparsecpu.step.context import Context


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

    @classmethod
    def trace(cls, shape, options) -> tuple:
        return (math.prod(shape),), []

    def forward(self, x: Any, ctx: Context) -> tuple[np.ndarray, Any]:
        """Return (tiles, features, lanes).

        Parameters
        ----------
        x : ndarray or Planes
            Features, which pass as they are, or images.
        ctx : Context
            Gives the memory.

        Returns
        -------
        y : ndarray
            The features.
        saved : tuple
            The shape of ``x``.
        """
        return features(x, self, ctx), x.shape

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray:
        """Return the gradient in the shape of the input.

        Parameters
        ----------
        dy : ndarray
            Gradient of the output.
        saved : tuple
            The shape.
        ctx : Context
            Gives the memory.

        Returns
        -------
        ndarray
            Gradient of the input.
        """
        if len(saved) == 3:
            return dy
        tiles, height, channels, width, lanes = saved
        dx = ctx.workspace.lend(saved, dy.dtype)
        dx[...] = dy.reshape(tiles, channels, height, width, lanes).swapaxes(1, 2)
        return dx


def features(x: Any, owner: Any, ctx: Context) -> np.ndarray:
    """Return images as features; features pass as they are.

    Parameters
    ----------
    x : ndarray or Planes
        Either.
    owner : object
        Who asks.
    ctx : Context
        Gives the memory.

    Returns
    -------
    ndarray, shape (tiles, features, lanes)
        In the order (channel, height, width).
    """
    x = solid(x, owner, ctx)
    if x.ndim == 3:
        return x
    tiles, height, channels, width, lanes = x.shape
    y = ctx.workspace.array(owner, "features", (tiles, channels, height, width, lanes), x.dtype)
    y[...] = x.swapaxes(1, 2)
    return y.reshape(tiles, -1, lanes)
