"""A convolution beside its plain twins, for several tests."""

import naive
import numpy as np
from small import filters_of

from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace

TOLERANCE = {np.float32: 3e-5, np.float64: 1e-11}


def check(layer, size, batch, dtype):
    """Compare y, its sums, dx, dW and db of a batch of images with those of plain twins."""
    rng = np.random.default_rng(batch)
    x = rng.standard_normal((batch, layer.in_channels, *size)).astype(dtype)
    ctx = Context(Workspace(), train=True, n_valid=batch)
    y, saved = layer.forward(naive.to_planes(x, 16), ctx)
    bias = np.zeros(layer.out_channels) if layer.bias is None else layer.bias.data
    settings = layer.stride, layer.padding, layer.groups
    wanted = naive.conv2d(x, filters_of(layer), bias, *settings)
    scale = TOLERANCE[dtype] * max(1, np.abs(wanted).max(initial=0))
    np.testing.assert_allclose(naive.from_planes(y.values, batch), wanted, atol=scale, rtol=0)
    if y.sums is not None:
        by_channel = wanted.sum(axis=(0, 2, 3)), (wanted**2).sum(axis=(0, 2, 3))
        np.testing.assert_allclose(y.sums, by_channel, atol=scale * wanted[:, 0].size, rtol=0)
    dy = rng.standard_normal(wanted.shape).astype(dtype)
    tiles = naive.to_planes(dy, 16)
    tiles[-1, ..., (batch - 1) % 16 + 1 :] = 7  # what padding lanes hold must not count
    dx = layer.backward(tiles, saved, ctx)
    wanted = naive.conv2d_backward(x, filters_of(layer), dy, *settings)
    p = layer.weight.pattern
    flat = wanted[1].reshape(p.shape)
    for found, want in (
        (naive.from_planes(dx.values, batch), wanted[0]),
        (layer.weight.grad, naive.at_nonzeros(flat, p.indptr, p.indices)),
        *(() if layer.bias is None else ((layer.bias.grad, wanted[2]),)),
    ):
        scale = TOLERANCE[dtype] * max(1, np.abs(want).max(initial=0)) * 4
        np.testing.assert_allclose(found, want, atol=scale, rtol=0)
