"""Batch normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from sparsecpu.layers.base import Layer, Spec, like, require_vector

from sparsecpu.errors import ParameterError
from sparsecpu.parameters import Parameter
from sparsecpu.workspace import Context


class BatchNorm(Layer):
    r"""Normalise each feature over the batch.

    :math:`y = \gamma (x-\mu)/\sqrt{\sigma^2+\epsilon} + \beta`. In training :math:`\mu` and
    :math:`\sigma^2` are those of the batch, and running averages are kept for prediction (of the
    unbiased variance, as PyTorch does).

    Parameters
    ----------
    features : int
        Number of features.
    momentum : float
        Weight of a new batch in the running averages, in (0, 1].
    epsilon : float
        Added to the variance.
    dtype : dtype
        float32 or float64.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    Ioffe and Szegedy, Batch normalization (2015), algorithm 1.
    """

    kind = "batch_norm"

    def __init__(
        self,
        features: int,
        *,
        momentum: float = 0.1,
        epsilon: float = 1e-5,
        dtype: Any = np.float32,
    ) -> None:
        if not 0.0 < momentum <= 1.0:
            raise ParameterError("momentum", momentum, "a number in (0, 1]")
        if not epsilon > 0.0:
            raise ParameterError("epsilon", epsilon, "a number above 0")
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        self.gamma = Parameter(np.ones(features), dtype)
        self.beta = Parameter(np.zeros(features), dtype)
        self.running_mean = np.zeros(features, dtype=dtype)
        self.running_variance = np.ones(features, dtype=dtype)

    @classmethod
    def build(cls, shape: tuple[int, ...], options: dict[str, Any], **context: Any) -> Layer:
        """Make the layer of a description; the number of features is that of its input.

        Parameters
        ----------
        shape : tuple of ints
            Of one sample of its input.
        options : dict
            ``momentum``, ``epsilon``.
        **context : object
            ``dtype``, and ``parameters`` where a file gives them.

        Returns
        -------
        Layer
            The layer.
        """
        layer = cls(shape[0], **options, dtype=context["dtype"])
        for name, parameter in (context.get("parameters") or {}).items():
            if parameter.data.shape != (shape[0],):
                raise ParameterError(name, parameter.data.shape, f"shape ({shape[0]},)")
            setattr(layer, name, parameter)
        return layer

    def plan(self, spec: Spec) -> Spec:
        """Check the input; see ``Layer.plan``.

        Parameters
        ----------
        spec : Spec
            The input.

        Returns
        -------
        Spec
            The output.

        Raises
        ------
        ParameterError
            If the number of features differs.
        """
        if require_vector(spec, self) != self.gamma.nnz:
            raise ParameterError("input shape", spec.shape, f"({self.gamma.nnz},)")
        return Spec(spec.shape, needs_gradient=True)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Normalise; see ``Layer.forward``.

        Parameters
        ----------
        x : ndarray, shape (tiles, features, lanes)
            The input.
        ctx : Context
            Memory and mode.

        Returns
        -------
        y : ndarray
            The output.
        saved : tuple
            ``x``, mean, variance, and whether they are the batch's.
        """
        from sparsecpu.kernels.norm import batch_statistics, normalise

        mean, variance = self.running_mean, self.running_variance
        if ctx.train:
            mean = ctx.workspace.array(self, "mean", mean.shape, mean.dtype)
            variance = ctx.workspace.array(self, "variance", mean.shape, mean.dtype)
            batch_statistics(x, ctx.n_valid, mean, variance)
            unbiased = ctx.n_valid / max(ctx.n_valid - 1, 1)
            self.running_mean *= 1.0 - self.momentum
            self.running_mean += self.momentum * mean
            self.running_variance *= 1.0 - self.momentum
            self.running_variance += (self.momentum * unbiased) * variance
        y = like(x, self, "y", ctx)
        normalise(x, mean, variance, self.epsilon, self.gamma.data, self.beta.data, y)
        return y, (x, mean, variance, ctx.train)

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray:
        """Compute the gradients; see ``Layer.backward``.

        Parameters
        ----------
        dy : ndarray
            Gradient of the output.
        saved : tuple
            From ``forward``.
        ctx : Context
            Memory.

        Returns
        -------
        ndarray
            Gradient of the input.
        """
        from sparsecpu.kernels.norm import normalise_backward

        x, mean, variance, batch = saved
        dx = like(x, self, "dx", ctx)
        gamma, beta = self.gamma, self.beta
        normalise_backward(
            x, dy, ctx.n_valid, mean, variance, self.epsilon, gamma.data, batch, gamma.grad,
            beta.grad, dx,
        )  # fmt: skip
        return dx

    def parameters(self) -> dict[str, Parameter]:
        """Return ``gamma`` and ``beta``."""
        return {"gamma": self.gamma, "beta": self.beta}

    def buffers(self) -> dict[str, np.ndarray]:
        """Return the running averages."""
        return {"running_mean": self.running_mean, "running_variance": self.running_variance}
