"""Images as vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.layers.base import Layer, Spec
from sparsecpu.layers.images.passes import as_array
from sparsecpu.step.context import Context


class Flatten(Layer):
    """View each sample as a vector, in the order (channel, height, width)."""

    kind = "flatten"
    reads_flat = True

    def plan(self, spec: Spec) -> Spec:
        return Spec((spec.features,))

    @classmethod
    def trace(cls, shape, options) -> tuple:
        return (math.prod(shape),), []

    def forward(self, x: Any, ctx: Context) -> tuple[np.ndarray, Any]:
        return features(x, self, ctx), x.shape

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray:
        if len(saved) == 3:
            return dy
        tiles, height, channels, width, lanes = saved
        dx = ctx.workspace.lend(saved, dy.dtype)
        dx[...] = dy.reshape(tiles, channels, height, width, lanes).swapaxes(1, 2)
        return dx


def features(x: Any, owner: Any, ctx: Context) -> np.ndarray:
    """Return images as features, (tiles, features, lanes), in the order (channel, height, width).

    Features pass as they are.
    """
    x = as_array(x, owner, ctx)
    if x.ndim == 3:
        return x
    tiles, height, channels, width, lanes = x.shape
    shape = tiles, channels * height * width, lanes
    y = ctx.output(owner, "features", shape, x.dtype)
    y.reshape(tiles, channels, height, width, lanes)[...] = x.swapaxes(1, 2)
    return y
