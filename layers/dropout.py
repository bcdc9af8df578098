"""Values left out at random in training."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, gradient_like, like
from sparsecpu.layers.images.passes import as_array, gradient_as_array
from sparsecpu.registries.numbers import is_number
from sparsecpu.step.context import Context


class Dropout(Layer):
    r"""In training, zero each value with probability ``rate`` and divide the rest by 1 - rate.

    Parameters
    ----------
    rate : float
        In [0, 1).

    Raises
    ------
    ParameterError
        If ``rate`` is out of range.

    Notes
    -----
    Srivastava et al., Dropout (2014), in the inverted form: nothing happens in prediction.
    """

    kind = "dropout"

    def __init__(self, rate: float = 0.5) -> None:
        if not (is_number(rate) and 0.0 <= rate < 1.0):
            raise ParameterError("rate", rate, "a number in [0, 1)")
        self.rate = float(rate)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        if not ctx.train or self.rate == 0.0:
            return x, None
        if ctx.dropout is None:
            raise ParameterError("dropout", None, "a numpy.random.Generator in training")
        x = as_array(x, self, ctx)
        factor, y = like(x, self, "factor", ctx), like(x, self, "y", ctx)
        ctx.dropout.random(out=factor, dtype=factor.dtype)
        np.greater_equal(factor, self.rate, out=factor)
        np.multiply(factor, 1.0 / (1.0 - self.rate), out=factor)
        with np.errstate(invalid="ignore"):  # infinity times 0: the trainer reports divergence
            np.multiply(x, factor, out=y)
        return y, factor

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray:
        if saved is None:
            return dy
        dy = gradient_as_array(dy, self, ctx)
        dx = gradient_like(dy, self, "dx", ctx)
        np.multiply(dy, saved, out=dx)
        return dx

    def describe(self) -> str:
        return f"dropout {self.rate:g}"
