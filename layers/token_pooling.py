"""Samples of tokens: the mean of a sequence, or its class token."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Spec
from sparsecpu.layers.required import require_vector
from sparsecpu.step.context import Context


class TokenPooling(Layer):
    """Base of layers that make one sample of each sequence; lanes are samples behind them."""

    sets_length = True
    #: True if the first token of a sequence stands for it, False for the mean of all.
    takes_first: ClassVar[bool] = False

    @classmethod
    def trace_length(cls, shape, options, length) -> None:
        return None

    def plan(self, spec: Spec) -> Spec:
        require_vector(spec, self)
        if spec.length is None:
            raise ParameterError("input", "samples", f"tokens for {self.kind}")
        self._needs_dx = spec.needs_gradient
        return Spec(spec.shape)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        from sparsecpu.kernels.pooling_of_tokens import pool

        place = ctx.sequences.place
        tiles, (features, lanes) = max(1, -(-len(place) // x.shape[2])), x.shape[1:]
        y = ctx.workspace.array(self, "y", (tiles, features, lanes), x.dtype)
        pool(x, place, self.takes_first, y)
        return y, (place, x.shape)

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray | None:
        from sparsecpu.kernels.pooling_of_tokens import spread

        place, shape = saved
        if not self._needs_dx:
            return None
        dx = ctx.workspace.array(self, "dx", shape, dy.dtype)
        spread(dy, place, self.takes_first, dx)
        return dx


class MeanTokens(TokenPooling):
    r"""The mean of a sequence's tokens: :math:`y = \frac{1}{n} \sum_t x_t`.

    Padding does not count; backward :math:`dx_t = dy / n`.
    """

    kind = "mean_tokens"


class ClassToken(TokenPooling):
    r"""The first token of each sequence: :math:`y = x_0`; backward, the others get 0."""

    kind = "class_token"
    takes_first = True
