"""What the normalisations have in common that look at one sample at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Spec, gradient_like, like
from sparsecpu.layers.required import filled
from sparsecpu.registries.numbers import float_type, is_number, whole
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.step.context import Context


class NormOfSamples(Layer):
    """Base of layers that divide each sample by its deviation; x is (tiles, features, lanes)."""

    filled = ("features", "dtype")
    keeps_size = ("gamma", "beta")
    #: True if the sample's mean is taken away first, and beta added in the end.
    centred = False

    def __init__(self, features: int, *, epsilon: float, dtype: Any) -> None:
        if not (is_number(epsilon) and epsilon > 0.0):
            raise ParameterError("epsilon", epsilon, "a number above 0")
        self.epsilon = float(epsilon)
        features, dtype = whole("features", features, 1, 2**31 - 1), float_type(dtype)
        self.gamma = Parameter(np.ones(features), dtype)
        self.beta = Parameter(np.zeros(features if self.centred else 0), dtype)

    @classmethod
    def build(cls, shape: tuple[int, ...], options: dict[str, Any], **context: Any) -> Layer:
        layer = cls(shape[0], **options, dtype=context["dtype"])
        return filled(layer, context.get("parameters"))

    def plan(self, spec: Spec) -> Spec:
        if spec.shape != (self.gamma.nnz,):
            raise ParameterError("input shape", spec.shape, f"({self.gamma.nnz},)")
        return Spec(spec.shape, needs_gradient=True)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        from sparsecpu.kernels.sample_norm import normalise_kernel

        y = like(x, self, "y", ctx)
        shape = 3, x.shape[0], x.shape[2]
        statistics = ctx.workspace.array(self, "statistics", shape, x.dtype)
        normalise_kernel(x.shape[2], x.itemsize)(
            x, self.gamma.data, self.beta.data, x.dtype.type(self.epsilon), self.centred, y,
            statistics,
        )  # fmt: skip
        return y, (x, statistics)

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray:
        return self._back(dy, saved, ctx, dy[:0])

    def backward_plus(self, dy, saved, ctx, other):
        return self._back(dy, saved, ctx, other)

    def _back(self, dy: np.ndarray, saved: Any, ctx: Context, other: np.ndarray) -> np.ndarray:
        from sparsecpu.kernels.sample_norm import (
            input_gradient_kernel,
            parameter_gradients_kernel,
        )

        (x, statistics), sizes = saved, (dy.shape[2], dy.itemsize)
        dbeta = self.beta.grad if self.centred else self.beta.data
        parameter_gradients_kernel(*sizes)(x, dy, statistics, self.gamma.grad, dbeta)
        dx = gradient_like(x, self, "dx", ctx)
        input_gradient_kernel(*sizes)(x, dy, self.gamma.data, statistics, self.centred, other, dx)
        return dx

    def parameters(self) -> dict[str, Parameter]:
        return {"gamma": self.gamma, "beta": self.beta} if self.centred else {"gamma": self.gamma}
