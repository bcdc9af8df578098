"""The passes of a linear layer, whichever way it computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.layers.base import Layer
from sparsecpu.layers.linear_parts import OutputsInParts, tiles_at_once
from sparsecpu.layers.linear_view import LinearView, owner_of
from sparsecpu.layers.linear_ways import Way, choose_way
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.context import Context


class LinearPasses(Layer):
    """Base of the linear layer: forward and backward, by themselves and for its neighbours."""

    takes_slope = True
    weight: SparseParameter
    bias: Parameter | None
    #: What the plan found: a ReLU to apply, one to go back through, a dx to compute, tokens.
    relu: bool
    gated: bool
    needs_dx: bool
    of_tokens: bool
    form: str

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[Any, Any]:
        if self.ends and ctx.in_parts and not ctx.lean and tiles_at_once(self, x) < len(x):
            return OutputsInParts(self, x, ctx), None
        way = self.way(x, ctx)
        return way.output(ctx), way  # y = W x + b

    def forward_plus(self, x: np.ndarray, ctx: Context, other: np.ndarray) -> tuple[Any, Any]:
        way = self.way(x, ctx)
        return way.output(ctx, other), way

    def backward(self, dy: Any, saved: Any, ctx: Context) -> np.ndarray | None:
        if isinstance(dy, OutputsInParts):
            return dy.finish(ctx)
        if ctx.observe is not None:
            self._show(dy, saved, ctx)
        return saved.backward(dy, ctx)  # dW = (dy x') at the nonzeros, db = sum dy, dx = W' dy

    def backward_plus(self, dy, saved, ctx, other):
        from sparsecpu.kernels.linear import BACK_PLUS

        return self._back(dy, saved, ctx, BACK_PLUS, other)

    def backward_times(
        self, dy: Any, saved: Any, ctx: Context, slope: np.ndarray
    ) -> np.ndarray | None:
        """Do the backward pass of the activation before this layer, too: ``slope`` times dx.

        Parameters
        ----------
        dy : ndarray
            Gradient of the output.
        saved : object
            What ``forward`` returned.
        ctx : Context
            Memory and mode of the step.
        slope : ndarray
            That of the activation, where the layer's input is.

        Returns
        -------
        ndarray or None
            The product, in the workspace; None where nothing needs it.
        """
        from sparsecpu.kernels.linear import BACK_TIMES

        if isinstance(dy, OutputsInParts):
            dx = dy.finish(ctx)
            return dx if dx is None else np.multiply(dx, slope, out=dx)
        return self._back(dy, saved, ctx, BACK_TIMES, slope)

    def _back(
        self, dy: np.ndarray, saved: Way, ctx: Context, finish: int, gate: np.ndarray
    ) -> np.ndarray | None:
        if ctx.observe is not None:
            self._show(dy, saved, ctx)
        return saved.backward(dy, ctx, finish, gate)

    def _show(self, dy: np.ndarray, saved: Way, ctx: Context) -> None:
        """Show the gradient to whoever observes it."""
        if ctx.observe is not None and not self.weight.fixed:
            ctx.observe(self.weight, LinearView(saved.x, dy, owner_of(ctx, self.of_tokens)))

    def way(self, x: np.ndarray, ctx: Context) -> Way:
        """Return the way to compute this pass: that of the last one, if nothing has changed.

        Parameters
        ----------
        x : ndarray, shape (tiles, in_features, lanes)
            The input, in the memory that it will come in again.
        ctx : Context
            Memory and mode of the step.
        """
        weight, bias, prepared = self.weight, self.bias, ctx.workspace.prepared
        made_for = (
            id(x), id(weight.pattern), id(weight.data), None if bias is None else id(bias.data),
            self.form, self.relu, self.gated, self.needs_dx, self.alternates,
            ctx.precision, ctx.lean, ctx.predicts,
        )  # fmt: skip
        way: Way | None = prepared.get((self, "way"))
        if way is None or way.made_for != made_for:
            way = prepared[self, "way"] = choose_way(self, x, ctx)
            way.made_for = made_for
        return way
