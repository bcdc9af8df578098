"""Batch normalisation of features, and what the ranks that share a batch add up for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.layers.base import gradient_like, like
from sparsecpu.step.context import Context

if TYPE_CHECKING:
    from sparsecpu.layers.batch_norm import BatchNorm


class NormOfFeatures:
    """The form that writes its output: x, y, dx and dy are (tiles, features, lanes)."""

    #: Statistics of features are made in two passes, for accuracy.
    reads_moments = False

    def __init__(self, layer: BatchNorm) -> None:
        self.layer = layer

    def absorb_relu(self) -> bool:
        """Leave a ReLU behind it to itself."""
        return False

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Return y, and what ``backward`` needs."""
        from sparsecpu.kernels.norm import batch_statistics, normalise

        layer, shape = self.layer, self.layer.running_mean.shape
        mean = ctx.workspace.array(layer, "mean", shape, np.float64)
        variance = ctx.workspace.array(layer, "variance", shape, np.float64)
        if ctx.train:
            batch_statistics(x, ctx.n_valid, mean, variance)
            layer.remember(mean, variance, _over_ranks(mean, variance, ctx))
        else:
            mean[...], variance[...] = layer.running_mean, layer.running_variance
        y = like(x, layer, "y", ctx)
        normalise(x, mean, variance, layer.epsilon, layer.gamma.data, layer.beta.data, y)
        return y, (x, mean, variance, ctx.train)

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray:
        """Write the gradients of gamma and beta and return dx."""
        from sparsecpu.kernels.norm import normalise_backward

        x, mean, variance, of_batch = saved
        layer, gamma, beta = self.layer, self.layer.gamma, self.layer.beta
        dx = gradient_like(x, layer, "dx", ctx)
        if of_batch and ctx.comm.size > 1:
            self._backward_over_ranks(dy, saved, dx, ctx)
        else:
            normalise_backward(
                x, dy, ctx.n_valid, mean, variance, layer.epsilon, gamma.data, of_batch,
                gamma.grad, beta.grad, dx,
            )  # fmt: skip
        return dx

    def _backward_over_ranks(self, dy: np.ndarray, saved: Any, dx: np.ndarray, ctx: Context):
        """Write the same where the batch's statistics are those of several ranks."""
        (x, mean, variance, _), layer = saved, self.layer
        real = np.arange(x.shape[0] * x.shape[2]).reshape(x.shape[0], 1, -1) < ctx.n_valid
        inverse = 1 / np.sqrt(variance + layer.epsilon)
        h = (x - mean[:, None]) * inverse[:, None]
        sums = np.stack([
            np.sum(part * real, axis=(0, 2), dtype=np.float64) for part in (dy, dy * h)
        ])  # fmt: skip
        layer.beta.grad[...], layer.gamma.grad[...] = sums  # of this rank's samples
        sums, count = sum_over_ranks(sums, ctx.n_valid, ctx)
        mean_dy, mean_dy_h = (part[:, None] / count for part in sums)
        factor = (layer.gamma.data * inverse)[:, None]
        dx[...] = factor * (dy - mean_dy - h * mean_dy_h) * real


def sum_over_ranks(sums: np.ndarray, count: int, ctx: Context) -> tuple[np.ndarray, int]:
    """Return sums, and of how many numbers they are, over all ranks that share the batch."""
    if ctx.comm.size == 1:
        return sums, count
    all_of_it = np.append(sums.astype(np.float64).ravel(), float(count))
    ctx.comm.sum(all_of_it)
    return all_of_it[:-1].reshape(sums.shape), int(all_of_it[-1])


def _over_ranks(mean: np.ndarray, variance: np.ndarray, ctx: Context) -> int:
    """Turn mean and variance of a rank's samples into those of all; return how many there are."""
    if ctx.comm.size == 1:
        return ctx.n_valid
    n = ctx.n_valid
    if n == 0:
        mean[...], variance[...] = 0, 0  # a rank without a sample: 0 / 0 is not for the others
    first, count = sum_over_ranks(n * mean, n, ctx)
    centre = first / count
    squares, _ = sum_over_ranks(n * (variance + (mean - centre) ** 2), n, ctx)
    mean[...], variance[...] = centre, squares / count
    return count
