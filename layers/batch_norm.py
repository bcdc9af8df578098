"""Batch normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.conv.operands import Gate
from sparsecpu.layers.base import Layer, Spec, like
from sparsecpu.layers.images.planes import Planes, as_planes, blend, solid
from sparsecpu.sparse.parameter import Parameter
from sparsecpu.step.context import Context


class BatchNorm(Layer):
    r"""Normalise each feature, or each channel of images, over the batch.

    :math:`y = \gamma (x-\mu)/\sqrt{\sigma^2+\epsilon} + \beta`. In training :math:`\mu` and
    :math:`\sigma^2` are those of the batch, and running averages are kept for prediction (of the
    unbiased variance, as PyTorch does). Of images nothing is written: y is left pending, a factor
    and a shift per channel that the next layer applies while it
    reads; see ``layers.images.planes``.

    Parameters
    ----------
    features : int
        Number of features, or of channels.
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
        self._images = self._relu = False
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
        if spec.shape[0] != self.gamma.nnz or len(spec.shape) not in (1, 3):
            expected = f"({self.gamma.nnz},) or ({self.gamma.nnz}, height, width)"
            raise ParameterError("input shape", spec.shape, expected)
        self._images, self._relu = len(spec.shape) == 3, False
        return Spec(spec.shape, needs_gradient=True)

    @property
    def reads_moments(self) -> bool:
        """Whether it asks the layer before it for sums over its input."""
        return self._images

    def absorb_relu(self) -> bool:
        """Leave a ReLU pending along with the factor and shift of images.

        Returns
        -------
        bool
            Whether the input is images.
        """
        self._relu = self._images
        return self._images

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Normalise; see ``Layer.forward``.

        Parameters
        ----------
        x : ndarray, shape (tiles, features, lanes), or Planes
            The input.
        ctx : Context
            Memory and mode.

        Returns
        -------
        y : ndarray or Planes
            The output.
        saved : tuple
            ``x``, mean, variance, and whether they are the batch's.
        """
        from sparsecpu.kernels.norm import batch_statistics, normalise

        if self._images:
            return self._forward_images(as_planes(x), ctx)
        mean, variance = self.running_mean, self.running_variance
        if ctx.train:
            mean = ctx.workspace.array(self, "mean", mean.shape, mean.dtype)
            variance = ctx.workspace.array(self, "variance", mean.shape, mean.dtype)
            batch_statistics(x, ctx.n_valid, mean, variance)
            self._remember(mean, variance, _over_all_ranks(mean, variance, ctx))
        y = like(x, self, "y", ctx)
        normalise(x, mean, variance, self.epsilon, self.gamma.data, self.beta.data, y)
        return y, (x, mean, variance, ctx.train)

    def _remember(self, mean: np.ndarray, variance: np.ndarray, count: int) -> None:
        """Move the running averages."""
        unbiased = count / max(count - 1, 1)
        self.running_mean *= 1.0 - self.momentum
        self.running_mean += self.momentum * mean
        self.running_variance *= 1.0 - self.momentum
        self.running_variance += (self.momentum * unbiased) * variance

    def _forward_images(self, x: Planes, ctx: Context) -> tuple[Planes, Any]:
        if x.pending:
            x = Planes(solid(x, self, ctx))
        mean, variance = self.running_mean.astype(float), self.running_variance.astype(float)
        if ctx.train:
            sums = x.sums
            if sums is None:
                sums = blend(x, None, self, "copy", ctx, sums=1, keep=False).sums
            count = ctx.n_valid * x.shape[1] * x.shape[3]
            sums, count = _reduced(sums, count, ctx)
            mean, square = sums / count
            variance = np.maximum(square - mean * mean, 0.0)
            self._remember(mean, variance, count)
        factor = self.gamma.data / np.sqrt(variance + self.epsilon)
        shift = self.beta.data - mean * factor
        y = Planes(x.values, a=factor.astype(x.dtype), c=shift.astype(x.dtype), relu=self._relu)
        return y, (x.values, mean, variance, ctx.train)

    def _backward_images(self, dy: Any, saved: Any, ctx: Context) -> Planes:
        """Return ``dx = k1 g + k2 x + k3``, pending; see ``kernels.norm.normalise_backward``."""
        x, mean, variance, batch = saved
        g = as_planes(dy)
        if g.pending or g.sums is None or g.about is not x:
            nothing, one = np.zeros_like(self.gamma.data), np.ones_like(self.gamma.data)
            gate = Gate(x, nothing, one)  # of which nothing is cut off
            g = blend(g, None, self, "g", ctx, gate=gate, sums=2, keep=g.pending)
        inverse = 1 / np.sqrt(variance + self.epsilon)
        sum_g, sum_gx = g.sums
        sum_gh = (sum_gx - mean * sum_g) * inverse
        self.gamma.grad[...], self.beta.grad[...] = sum_gh, sum_g  # of this rank's samples
        k1 = self.gamma.data * inverse
        if not batch:
            return Planes(g.values, a=k1.astype(x.dtype), c=np.zeros_like(self.gamma.data))
        count = ctx.n_valid * x.shape[1] * x.shape[3]
        (sum_g, sum_gh), count = _reduced(np.stack([sum_g, sum_gh]), count, ctx)
        k2 = -k1 * inverse * sum_gh / count
        k3 = -k1 * sum_g / count - k2 * mean
        a, b, c = (k.astype(x.dtype) for k in (k1, k2, k3))
        return Planes(g.values, a=a, c=c, other=x, b=b)

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

        if self._images:
            return self._backward_images(dy, saved, ctx)
        x, mean, variance, batch = saved
        dx = like(x, self, "dx", ctx)
        gamma, beta = self.gamma, self.beta
        if batch and ctx.comm.size > 1:
            return self._backward_of_all(dy, saved, dx, ctx)
        normalise_backward(
            x, dy, ctx.n_valid, mean, variance, self.epsilon, gamma.data, batch, gamma.grad,
            beta.grad, dx,
        )  # fmt: skip
        return dx

    def _backward_of_all(self, dy, saved, dx, ctx) -> np.ndarray:
        """Write the same where the batch's statistics are those of several ranks."""
        x, mean, variance, _ = saved
        real = np.arange(x.shape[0] * x.shape[2]).reshape(x.shape[0], 1, -1) < ctx.n_valid
        inverse = 1 / np.sqrt(variance.astype(np.float64) + self.epsilon)
        h = (x - mean[:, None]) * inverse[:, None]
        sums = np.stack([np.sum(dy * real, axis=(0, 2)), np.sum(dy * h * real, axis=(0, 2))])
        self.beta.grad[...], self.gamma.grad[...] = sums  # of this rank's samples
        sums, count = _reduced(sums, ctx.n_valid, ctx)
        mean_dy, mean_dy_h = (part[:, None] / count for part in sums)
        factor = (self.gamma.data * inverse)[:, None]
        dx[...] = factor * (dy - mean_dy - h * mean_dy_h) * real
        return dx

    def parameters(self) -> dict[str, Parameter]:
        """Return ``gamma`` and ``beta``."""
        return {"gamma": self.gamma, "beta": self.beta}

    def buffers(self) -> dict[str, np.ndarray]:
        """Return the running averages."""
        return {"running_mean": self.running_mean, "running_variance": self.running_variance}


def _reduced(sums: np.ndarray, count: int, ctx: Context) -> tuple[np.ndarray, int]:
    """Return sums and the number of what was summed, over all ranks that share the batch."""
    if ctx.comm.size == 1:
        return sums, count
    all_of_it = np.append(sums.astype(np.float64).ravel(), float(count))
    ctx.comm.sum(all_of_it)
    return all_of_it[:-1].reshape(sums.shape), int(all_of_it[-1])


def _over_all_ranks(mean: np.ndarray, variance: np.ndarray, ctx: Context) -> int:
    """Turn mean and variance of a rank's samples into those of all; return how many there are."""
    if ctx.comm.size == 1:
        return ctx.n_valid
    n = ctx.n_valid
    own, spread = (np.nan_to_num(v.astype(np.float64)) for v in (mean, variance))
    first, count = _reduced(n * own, n, ctx)
    centre = first / count
    squares, _ = _reduced(n * (spread + (own - centre) ** 2), n, ctx)
    mean[...], variance[...] = centre, squares / count
    return count
