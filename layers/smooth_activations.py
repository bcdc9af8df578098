"""Activations made of the exponential function, in one pass each way."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparsecpu.layers.activations import Activation
from sparsecpu.layers.base import Spec, gradient_like, like
from sparsecpu.layers.images.passes import gradient_as_array
from sparsecpu.registries.names import read_name
from sparsecpu.step.context import Context


class Slope(NamedTuple):
    """What an activation saves that leaves the product with its slope to the layer behind it."""

    values: np.ndarray


class SmoothActivation(Activation):
    """Base of activations that have kernels; ``function`` is their name there.

    Between two linear layers the one behind multiplies its gradient by the slope, which the forward
    pass computes beside the output and leaves where its input was.
    """

    function = ""
    #: True if the layers around it allow that; see ``Layer.takes_slope``.
    leaves_slope = False

    def plan(self, spec: Spec) -> Spec:
        self.leaves_slope = False
        return spec

    def forward(self, x, ctx):
        if not (self.leaves_slope and ctx.train):
            return super().forward(x, ctx)
        from sparsecpu.kernels.activations import activation_and_slope_kernel

        y = like(x, self, "y", ctx)
        activation_and_slope_kernel(self.function)(x.reshape(-1), y.reshape(-1))
        return y, Slope(x)

    def apply(self, x, y, ctx) -> None:
        from sparsecpu.kernels.activations import activation_kernel

        activation_kernel(self.function)(x.reshape(-1), y.reshape(-1))

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray:
        from sparsecpu.kernels.activations import slope_kernel

        if isinstance(saved, Slope):
            return dy
        (x, _), dy = saved, gradient_as_array(dy, self, ctx)
        dx = gradient_like(dy, self, "dx", ctx)
        slope_kernel(self.function)(x.reshape(-1), dy.reshape(-1), dx.reshape(-1))
        return dx


class GELU(SmoothActivation):
    r""":math:`y = x\,\Phi(x)`, with the normal distribution function :math:`\Phi`.

    Parameters
    ----------
    approximate : str
        ``"none"``, or ``"tanh"`` for :math:`y = x\,(1 + \tanh(\sqrt{2/\pi}(x + 0.044715 x^3)))/2`,
        as GPT-2 has it.

    Raises
    ------
    ParameterError
        If ``approximate`` is something else.

    Notes
    -----
    Hendrycks and Gimpel, Gaussian error linear units (2016).
    """

    kind = "gelu"

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = read_name("approximate", approximate, ("none", "tanh"))
        self.function = "gelu" if self.approximate == "none" else "gelu_tanh"


class SiLU(SmoothActivation):
    r""":math:`y = x / (1 + e^{-x})`.

    Notes
    -----
    Elfwing, Uchibe and Doya, Sigmoid-weighted linear units (2018); also known as swish.
    """

    kind = "silu"
    function = "silu"
