"""What all ways of computing a linear layer have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import gradient_like
from sparsecpu.step.context import Context


def check_tiles(array: Any, features: int, dtype: np.dtype, what: str) -> None:
    """Refuse what kernels would read beyond its end: other features, or another type."""
    good = isinstance(array, np.ndarray) and array.ndim == 3 and array.shape[1] == features
    if not good or array.dtype != dtype or not array.flags.c_contiguous:
        shape = getattr(array, "shape", None)
        expected = f"C-contiguous {dtype} of shape (tiles, {features}, lanes)"
        raise ParameterError(f"shape of {what}", shape, expected)


class Way:
    """Computes y, dW, db and dx of a linear layer, with everything bound that does not change.

    It is made for one array ``x``, (tiles, in_features, lanes), and serves every batch that comes
    in it, until pattern, values or the layer's place in its network change.
    """

    #: What all of that was when this was made; see ``SparseLinear``.
    made_for: tuple = ()

    def __init__(self, layer: Any, x: np.ndarray, ctx: Context) -> None:
        self.layer, self.weight, self.pattern, self.x = layer, layer.weight, layer.weight.pattern, x
        self.no_bias = layer.weight.data[:0]  # stands for zeros
        self.bias = self.no_bias if layer.bias is None else layer.bias.data
        shape = x.shape[0], layer.out_features, x.shape[2]
        if ctx.predicts and layer.alternates:
            self.y = ctx.workspace.alternate(x, shape, x.dtype)
        else:
            self.y = ctx.workspace.array(layer, "y", shape, x.dtype)

    def output(self, ctx: Context, other: np.ndarray | None = None) -> np.ndarray:
        """Return y, (tiles, out_features, lanes), with another array added if there is one."""
        raise NotImplementedError

    def backward(
        self, dy: np.ndarray, ctx: Context, finish: int | None = None,
        gate: np.ndarray | None = None,
    ) -> np.ndarray | None:  # fmt: skip
        """Write dW and db, and return dx if the layer needs it.

        ``finish`` and ``gate`` say what else happens to dx, as ``kernels.linear.finishes`` has it;
        without these, what the layers around have asked for.
        """
        raise NotImplementedError

    def finish_of_y(self, other: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, int]:
        """Return what is added to y, where y is written, and what happens to it before."""
        from sparsecpu.kernels.linear import PLAIN, PLUS, RELU

        if other is not None:
            return other, self.y, PLUS
        return self.y, self.y, RELU if self.layer.relu else PLAIN

    def finish_of_dx(self, finish: int | None, gate: Any) -> tuple[int, np.ndarray]:
        """Return what happens to dx before it is stored, and the gate that this reads."""
        from sparsecpu.kernels.linear import BACK, GATED

        if finish is None:
            return (GATED if self.layer.gated else BACK), self.x
        return finish, gate

    def bias_gradient(self) -> np.ndarray:
        """Return where db is written; empty without a bias."""
        return self.no_bias if self.layer.bias is None else self.layer.bias.grad

    def memory_of_dx(self, dy: np.ndarray, ctx: Context) -> np.ndarray:
        """Return where dx is written."""
        if self.layer.alternates:
            return ctx.workspace.alternate(dy, self.x.shape, self.x.dtype)
        return gradient_like(self.x, self.layer, "dx", ctx)
