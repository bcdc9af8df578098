"""Batch normalisation of images, which writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.layers.batch_norm_of_features import sum_over_ranks
from sparsecpu.layers.images.passes import as_array, sum_moments, with_products
from sparsecpu.layers.images.planes import Planes, as_planes, zeros
from sparsecpu.step.context import Context

if TYPE_CHECKING:
    from sparsecpu.layers.batch_norm import BatchNorm

#: Where mean**2 is so many times the variance, by the bytes of a number, the difference of two sums
#: of float64 is no longer exact enough, and the sums are made again, about the mean.
_FAR_FROM_ZERO = {4: 1e8, 8: 1e4}


class NormOfImages:
    """The form that leaves a factor, a shift and a centre per channel pending, and its ReLU if any.

    The layers around it sum x and x squared, and g and g (x - centre), in passing.
    """

    #: The layer before it sums them in passing.
    reads_moments = True

    def __init__(self, layer: BatchNorm) -> None:
        self.layer = layer
        self.applies_relu = False

    def absorb_relu(self) -> bool:
        """Leave a ReLU pending along with the normalisation."""
        self.applies_relu = True
        return True

    def forward(self, x: Any, ctx: Context) -> tuple[Planes, Any]:
        """Return ``y = factor (x - centre) + shift``, pending, and what ``backward`` needs."""
        layer, x = self.layer, as_planes(x)
        if x.a is not None:
            x = Planes(as_array(x, layer, ctx))
        if ctx.train:
            mean, variance, count = self._statistics(x, ctx)
            layer.remember(mean, variance, count)
        else:
            mean, variance = layer.running_mean.astype(float), layer.running_variance.astype(float)
        dtype = x.dtype
        centre = mean.astype(dtype)
        factor = layer.gamma.data / np.sqrt(variance + layer.epsilon)
        shift = layer.beta.data - (mean - centre) * factor
        y = Planes(x.values, factor.astype(dtype), shift.astype(dtype), centre=centre,
                   relu=self.applies_relu)  # fmt: skip
        return y, (x.values, centre, mean, variance, ctx.train)

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Planes:
        """Return ``dx = k1 g + k2 (x - centre) + k3``, pending.

        See ``kernels.norm.normalise_backward``.
        """
        x, centre, mean, variance, of_batch = saved
        layer, g = self.layer, as_planes(dy)
        if g.a is not None or not _has_products_with(g, x, centre):
            g = with_products(g, Planes(x, centre=centre), layer, ctx)
        assert g.sums is not None
        inverse, off = 1 / np.sqrt(variance + layer.epsilon), mean - centre
        sum_g, sum_gx = g.sums
        sum_gh = (sum_gx - off * sum_g) * inverse
        layer.gamma.grad[...], layer.beta.grad[...] = sum_gh, sum_g  # of this rank's samples
        k1 = layer.gamma.data * inverse
        if not of_batch:
            return Planes(g.values, a=k1.astype(x.dtype), c=zeros(len(k1), x.dtype))
        sums = np.array([sum_g, sum_gh])
        (sum_g, sum_gh), count = sum_over_ranks(sums, _count(x, ctx), ctx)
        k2 = -k1 * inverse * sum_gh / count
        k3 = -k1 * sum_g / count - k2 * off
        a, b, c = k1.astype(x.dtype), k2.astype(x.dtype), k3.astype(x.dtype)
        return Planes(g.values, a=a, c=c, other=x, b=b, centre=centre)

    def _statistics(self, x: Planes, ctx: Context) -> tuple[np.ndarray, np.ndarray, int]:
        """Return mean and variance over the batch, and of how many numbers each of them is."""
        layer = self.layer
        sums = sum_moments(x, layer, "moments", ctx) if x.sums is None else x.sums
        mean, variance, count = _moments(sums, x.values, ctx)
        far = _FAR_FROM_ZERO[x.dtype.itemsize] * (variance + layer.epsilon)
        if (mean * mean > far).any():
            dtype, channels, centre = x.dtype, len(mean), mean.astype(x.dtype)
            distances = Planes(x.values, np.ones(channels, dtype), zeros(channels, dtype),
                               centre=centre)  # fmt: skip
            sums = sum_moments(distances, layer, "moments", ctx)
            off, variance, count = _moments(sums, x.values, ctx)
            mean = centre + off
        return mean, variance, count


def _moments(
    sums: np.ndarray, x: np.ndarray, ctx: Context
) -> tuple[np.ndarray, np.ndarray, int]:  # fmt: skip
    """Return mean, variance and count over all ranks, from a rank's sums of x and x squared."""
    sums, count = sum_over_ranks(sums, _count(x, ctx), ctx)
    mean, square = sums / count
    return mean, np.maximum(square - mean * mean, 0.0), count


def _has_products_with(g: Planes, x: np.ndarray, centre: np.ndarray) -> bool:
    """Return True if a gradient was summed along with its products with ``x - centre``."""
    other = g.summed_with
    return (
        g.sums is not None and other is not None and (other.values is x and other.centre is centre)
    )


def _count(x: np.ndarray, ctx: Context) -> int:
    """Return how many pixels of all samples a channel has."""
    return ctx.n_valid * x.shape[1] * x.shape[3]
