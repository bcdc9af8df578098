"""Nonlinearities, one value at a time."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Spec, gradient_like, like
from sparsecpu.layers.images.passes import as_array, gate_gradient, gradient_as_array
from sparsecpu.layers.images.planes import Planes
from sparsecpu.registries import Registry
from sparsecpu.registries.numbers import is_number, whole
from sparsecpu.step.context import Context

#: Activations by the name that users give; one enters it by being imported.
ACTIVATIONS: Registry[type[Activation]] = Registry(
    "activation", (), "activations", {"logistic": "Another name of sigmoid: scikit-learn's."}
)


class Activation(Layer):
    r"""Base of :math:`y = f(x)` and :math:`dx = f'(x)\,dy`; a subclass writes both functions."""

    #: A further name, for users who know it from elsewhere.
    alias: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in filter(None, (vars(cls).get("kind"), vars(cls).get("alias"))):
            ACTIVATIONS[name] = cls

    @classmethod
    def options_in(cls, number: int) -> dict[str, Any]:
        """Return its options behind the hidden layer of this number, counted from 1."""
        return {}

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        x = as_array(x, self, ctx)
        y = like(x, self, "y", ctx)
        self.apply(x, y, ctx)
        return y, (x, y)

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray:
        (x, y), dy = saved, gradient_as_array(dy, self, ctx)
        dx = gradient_like(dy, self, "dx", ctx)
        self.gradient(x, y, dx, ctx)
        np.multiply(dx, dy, out=dx)
        return dx

    def apply(self, x: np.ndarray, y: np.ndarray, ctx: Context) -> None:
        """Write ``f(x)``.

        Parameters
        ----------
        x : ndarray
            The input.
        y : ndarray
            Memory for the result.
        ctx : Context
            Gives memory.
        """
        raise NotImplementedError

    def gradient(self, x: np.ndarray, y: np.ndarray, slope: np.ndarray, ctx: Context) -> None:
        """Write ``f'(x)``.

        Parameters
        ----------
        x, y : ndarray
            Input and output.
        slope : ndarray
            Memory for the result.
        ctx : Context
            Gives memory.
        """
        raise NotImplementedError


class Identity(Activation):
    """:math:`y = x`."""

    kind = "identity"

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        return x, None

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray:
        return dy


class ReLU(Activation):
    r""":math:`y = \max(x, 0)`.

    The layers around it do its work where they can, while storing theirs: the layer before it the
    forward pass (``Layer.absorb_relu``), the layer behind it the backward pass
    (``Layer.gate_by_input``).
    """

    kind = "relu"

    def __init__(self) -> None:
        self.done_before = False  #: True if the layer before puts out max(x, 0) already
        self.done_behind = False  #: True if the layer behind returns dx with 0 where x <= 0

    def plan(self, spec: Spec) -> Spec:
        self.done_before = self.done_behind = False
        return spec

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        if isinstance(x, Planes) and not self.done_before:
            x = x.with_relu()  # their reader applies it
        elif not self.done_before:
            return super().forward(x, ctx)
        return x, (x, x)

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        if self.done_behind:
            return dy
        y = saved[1]
        if not isinstance(y, Planes):
            return super().backward(dy, saved, ctx)
        return gate_gradient(dy, y, self, ctx)

    def apply(self, x, y, ctx) -> None:
        np.maximum(x, 0, out=y)

    def gradient(self, x, y, slope, ctx) -> None:
        np.greater(y, 0, out=slope)


class LeakyReLU(Activation):
    r""":math:`y = x` where positive, :math:`\alpha x` elsewhere.

    Parameters
    ----------
    alpha : float
        Slope of the negative side.

    Raises
    ------
    ParameterError
        If ``alpha`` is not a finite number.
    """

    kind = "leaky_relu"

    def __init__(self, alpha: float = 0.01) -> None:
        if not is_number(alpha):
            raise ParameterError("alpha", alpha, "a finite number")
        self.alpha = float(alpha)

    def apply(self, x, y, ctx) -> None:
        np.multiply(x, self.alpha, out=y)
        np.copyto(y, x, where=self._positive(x, ctx))

    def gradient(self, x, y, slope, ctx) -> None:
        slope[...] = self.alpha
        np.copyto(slope, 1, where=self._positive(x, ctx))

    def _positive(self, x: np.ndarray, ctx: Context) -> np.ndarray:
        mask = ctx.workspace.array(self, "mask", x.shape, bool)
        return np.greater(x, 0, out=mask)


class AllReLU(LeakyReLU):
    r"""All-ReLU: a leaky ReLU whose negative slope alternates in sign from layer to layer.

    :math:`y = x` where positive, :math:`-\alpha x` in even layers and :math:`\alpha x` in odd
    ones elsewhere.

    Parameters
    ----------
    alpha : float
        Size of the negative slope.
    layer : int
        Number of this hidden layer, counted from 1.

    Notes
    -----
    Curci, Mocanu and Pechenizkiy, Truly sparse neural networks at scale (2021), equation 3.
    """

    kind = "all_relu"

    def __init__(self, alpha: float = 0.6, layer: int = 1) -> None:
        even = whole("layer", layer, 0) % 2 == 0
        super().__init__(-alpha if even and is_number(alpha) else alpha)

    @classmethod
    def options_in(cls, number: int) -> dict[str, Any]:
        return {"layer": number}

    def options(self) -> dict[str, Any]:
        return {"alpha": abs(self.alpha), "layer": 2 if self.alpha < 0 else 1}


class Tanh(Activation):
    r""":math:`y = \tanh x`."""

    kind = "tanh"

    def apply(self, x, y, ctx) -> None:
        np.tanh(x, out=y)

    def gradient(self, x, y, slope, ctx) -> None:
        np.multiply(y, y, out=slope)
        np.subtract(1, slope, out=slope)


class Sigmoid(Activation):
    r""":math:`y = 1 / (1 + e^{-x})`."""

    kind = "sigmoid"
    alias = "logistic"

    def apply(self, x, y, ctx) -> None:
        from scipy.special import expit

        expit(x, out=y)

    def gradient(self, x, y, slope, ctx) -> None:
        np.subtract(1, y, out=slope)
        np.multiply(slope, y, out=slope)
