"""The outputs of a network's last layer, made a few tiles at a time.

Those of a language model are tokens times vocabulary: often more than all weights and activations
together. The loss reads each of them once, so they need not stand in memory at the same time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.layers.linear_view import LinearView, owner_of
from sparsecpu.step.context import Context
from sparsecpu.step.gradients import add_up

#: Bytes of outputs that are there at a time, unless a single tile has more.
MOST = 1 << 24


def tiles_at_once(layer: Any, x: np.ndarray) -> int:
    """Return how many tiles of outputs a linear layer makes at a time: equally many each time."""
    tiles, _, lanes = x.shape
    most = max(1, MOST // (layer.out_features * lanes * x.itemsize))
    return -(-tiles // -(-tiles // most))


class OutputsInParts:
    """What a linear layer makes of ``x``, as soon as a loss asks for it, and as long as it reads.

    The gradients of the layer are made along with it, as they need the same outputs: there is
    nothing left for its backward pass to do. Those of the parts are added up in their order.
    """

    def __init__(self, layer: Any, x: np.ndarray, ctx: Context) -> None:
        self.layer, self.x, self.ctx = layer, x, ctx
        self.shape, self.dtype = (x.shape[0], layer.out_features, x.shape[2]), x.dtype
        self.dx: np.ndarray | None = None
        self._dy: np.ndarray | None = None

    def each(
        self, loss: Callable[[np.ndarray, int], tuple[float, np.ndarray]]
    ) -> tuple[float, OutputsInParts]:
        """Return the sum of a loss over all parts, and this: the gradients have been made.

        Parameters
        ----------
        loss : callable
            ``loss(y, first)`` returns the loss of the outputs y, the first of them being that of
            lane number ``first``, and the gradient.
        """
        layer, x, ctx, total = self.layer, self.x, self.ctx, 0.0
        tiles, size = len(x), tiles_at_once(layer, x)
        parameters = layer.parameters()
        if layer.needs_dx and not ctx.predicts:
            self.dx = ctx.workspace.array(layer, "dx of all parts", x.shape, x.dtype)
        if ctx.observe is not None and not layer.weight.fixed:  # topology looks at all of it
            self._dy = ctx.workspace.array(layer, "dy of all parts", self.shape, x.dtype)
        for first in range(0, tiles, size):
            here = slice(first, min(first + size, tiles))
            shape = here.stop - first, *x.shape[1:]
            part = ctx.workspace.array(layer, "part of x", shape, x.dtype)
            part[...] = x[here]  # into the same memory each time, to which the way is bound
            way = layer.way(part, ctx)
            found, dy = loss(way.output(ctx), first * x.shape[2])
            total += found
            if ctx.predicts:
                continue
            if self._dy is not None:
                self._dy[here] = dy
            dx = way.backward(dy, ctx)
            if self.dx is not None:
                self.dx[here] = dx
            add_up(parameters, ctx.workspace, layer, first == 0, here.stop == tiles)
        return total, self

    def of_tokens(self, places: np.ndarray) -> np.ndarray:
        """Return the outputs of some tokens alone, (tokens, out_features), by their lanes."""
        layer, x, ctx = self.layer, self.x, self.ctx
        lanes = x.shape[2]
        tiles = max(1, -(-len(places) // lanes))
        picked = ctx.workspace.array(layer, "part of x", (tiles, *x.shape[1:]), x.dtype)
        picked[...] = 0
        tile, lane = np.divmod(places, lanes)
        there, at = np.divmod(np.arange(len(places)), lanes)
        picked[there, :, at] = x[tile, :, lane]
        return layer.way(picked, ctx).output(ctx)[there, :, at]

    def finish(self, ctx: Context) -> np.ndarray | None:
        """Show topology the gradient, where it wants to see it, and return dx."""
        if self._dy is not None and ctx.observe is not None:
            owner = owner_of(ctx, self.layer.of_tokens)
            ctx.observe(self.layer.weight, LinearView(self.x, self._dy, owner))
        return self.dx
