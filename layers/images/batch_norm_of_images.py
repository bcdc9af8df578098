"""Batch normalisation of images, which writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.layers.batch_norm_of_features import sum_over_ranks
from sparsecpu.layers.images.passes import as_array, sum_moments, with_products
from sparsecpu.layers.images.planes import Planes, as_planes
from sparsecpu.step.context import Context

if TYPE_CHECKING:
    from sparsecpu.layers.batch_norm import BatchNorm


class NormOfImages:
    """The form that leaves a factor and a shift per channel pending, and a ReLU if it took one.

    The layers around it sum x and x squared, and g and g x, in passing.
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
        """Return ``y = factor x + shift``, pending, and what ``backward`` needs."""
        layer, x = self.layer, as_planes(x)
        if x.a is not None:
            x = Planes(as_array(x, layer, ctx))
        values = x.values
        if ctx.train:
            sums = sum_moments(x, layer, "moments", ctx) if x.sums is None else x.sums
            sums, count = sum_over_ranks(sums, _count(values, ctx), ctx)
            mean, square = sums / count
            variance = np.maximum(square - mean * mean, 0.0)
            layer.remember(mean, variance, count)
        else:
            mean, variance = layer.running_mean.astype(float), layer.running_variance.astype(float)
        factor = layer.gamma.data / np.sqrt(variance + layer.epsilon)
        shift = layer.beta.data - mean * factor
        a, c = factor.astype(values.dtype), shift.astype(values.dtype)
        return Planes(values, a, c, relu=self.applies_relu), (values, mean, variance, ctx.train)

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Planes:
        """Return ``dx = k1 g + k2 x + k3``, pending; see ``kernels.norm.normalise_backward``."""
        x, mean, variance, of_batch = saved
        layer, g = self.layer, as_planes(dy)
        if g.a is not None or g.sums is None or g.summed_with is not x:
            g = with_products(g, x, layer, ctx)
        inverse = 1 / np.sqrt(variance + layer.epsilon)
        sum_g, sum_gx = g.sums
        sum_gh = (sum_gx - mean * sum_g) * inverse
        layer.gamma.grad[...], layer.beta.grad[...] = sum_gh, sum_g  # of this rank's samples
        k1 = layer.gamma.data * inverse
        if not of_batch:
            return Planes(g.values, a=k1.astype(x.dtype), c=np.zeros_like(layer.gamma.data))
        sums = np.array([sum_g, sum_gh])
        (sum_g, sum_gh), count = sum_over_ranks(sums, _count(x, ctx), ctx)
        k2 = -k1 * inverse * sum_gh / count
        k3 = -k1 * sum_g / count - k2 * mean
        a, b, c = k1.astype(x.dtype), k2.astype(x.dtype), k3.astype(x.dtype)
        return Planes(g.values, a=a, c=c, other=x, b=b)


def _count(x: np.ndarray, ctx: Context) -> int:
    """Return how many pixels of all samples a channel has."""
    return ctx.n_valid * x.shape[1] * x.shape[3]
