"""A convolution as matrix products, for filters that are nearly full."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sparsecpu.layers.full_form import FullForm
from sparsecpu.layers.images.planes import Planes, blend, lane_mask, solid
from sparsecpu.step.context import Context

if TYPE_CHECKING:
    from sparsecpu.layers.conv2d import SparseConv2d


class DenseConvolution:
    """The three products of a convolution without groups, by BLAS, a row of pixels at a time.

    For each row of outputs the pixels that its filters see are laid out as a matrix, (channels,
    ky, kx) by (width, lanes), and multiplied with the filters as a full matrix. Only one such
    matrix exists at a time.

    Parameters
    ----------
    layer : SparseConv2d
        Whose; its values stay in CSR.
    """

    def __init__(self, layer: SparseConv2d) -> None:
        self.layer = layer
        self._full = FullForm(layer)

    def forward(self, x: Planes, ctx: Context) -> Planes:
        """Compute y, with the bias and a ReLU that the layer took over.

        Parameters
        ----------
        x : Planes
            The input.
        ctx : Context
            Memory.

        Returns
        -------
        Planes
            The output, nothing summed.
        """
        layer, (height, width) = self.layer, self.layer.geometry().out_size
        matrix, padded = self._full.matrix(ctx), self._padded(x, ctx)
        shape = (x.shape[0], height, layer.out_channels, width, x.shape[-1])
        y = ctx.workspace.array(layer, "y", shape, x.dtype)
        for tile, row, columns in self._columns(padded, ctx):
            np.matmul(matrix, columns, out=y[tile, row].reshape(layer.out_channels, -1))
        if layer.bias is not None:
            np.add(y, layer.bias.data[:, None, None], out=y)
        if layer._relu:
            np.maximum(y, 0, out=y)
        return Planes(y)

    def filter_gradient(self, x: Planes, dy: Planes, ctx: Context) -> None:
        """Write dW at the nonzeros, and db.

        Parameters
        ----------
        x, dy : Planes
            The input and the gradient of the output.
        ctx : Context
            Memory.
        """
        layer, padded = self.layer, self._padded(x, ctx)
        g = self._gradient(dy, ctx)
        dw = self._full.gradient(ctx)
        part = ctx.workspace.array(layer, "part of dw", layer.weight.shape, x.dtype)
        dw[...] = 0
        for tile, row, columns in self._columns(padded, ctx):
            np.matmul(g[tile, row].reshape(layer.out_channels, -1), columns.T, out=part)
            np.add(dw, part, out=dw)
        self._full.keep(dw)
        if layer.bias is not None:
            np.sum(g, axis=(0, 1, 3, 4), out=layer.bias.grad)

    def input_gradient(self, x: Planes, dy: Planes, ctx: Context) -> Planes:
        """Return dx, with the gate and the sums that the layers before it ask for.

        Parameters
        ----------
        x, dy : Planes
            The input and the gradient of the output.
        ctx : Context
            Memory.

        Returns
        -------
        Planes
            ``dx``.
        """
        layer, geometry = self.layer, self.layer.geometry()
        matrix, g = self._full.matrix(ctx), self._gradient(dy, ctx)
        (down, right), (ky, kx) = geometry.stride, geometry.kernel
        top, left = geometry.padding
        tiles, height, channels, width, lanes = x.shape
        out_width = g.shape[3]
        shape = (tiles, height + 2 * top, channels, width + 2 * left, lanes)
        wide = ctx.workspace.array(layer, "padded dx", shape, x.dtype)
        wide[...] = 0
        product = ctx.workspace.array(
            layer, "columns", (channels, ky, kx, out_width, lanes), x.dtype
        )
        flat = product.reshape(matrix.shape[1], -1)
        for tile, row in np.ndindex(tiles, g.shape[1]):
            np.matmul(matrix.T, g[tile, row].reshape(layer.out_channels, -1), out=flat)
            for p, q in np.ndindex(ky, kx):
                there = wide[tile, row * down + p, :, q : q + (out_width - 1) * right + 1 : right]
                np.add(there, product[:, p, q], out=there)
        dx = ctx.workspace.lend(x.shape, x.dtype)
        dx[...] = wide[:, top : top + height, :, left : left + width]
        if not layer._gated:
            return Planes(dx, about=x.values)
        sums = 2 if x.a is not None else 0
        return blend(dx, None, layer, "gated dx", ctx, gate=x.gate(), sums=sums)

    def _padded(self, x: Planes, ctx: Context) -> np.ndarray:
        """Return the images in a frame of zeros."""
        top, left = self.layer.geometry().padding
        values = solid(x, self.layer, ctx)
        if top == left == 0:
            return values
        tiles, height, channels, width, lanes = x.shape
        shape = (tiles, height + 2 * top, channels, width + 2 * left, lanes)
        wide = ctx.workspace.array(self.layer, "padded", shape, x.dtype)
        wide[...] = 0
        wide[:, top : top + height, :, left : left + width] = values
        return wide

    def _gradient(self, dy: Planes, ctx: Context) -> np.ndarray:
        """Return the gradient of the output as an array, 0 in lanes without a sample."""
        g = solid(dy, self.layer, ctx, "dense dy")
        if ctx.n_valid == g.shape[0] * g.shape[-1]:
            return g
        out = ctx.workspace.array(self.layer, "masked dy", g.shape, g.dtype)
        mask = lane_mask(g, self.layer, ctx)[:, None, None, None, :]
        out[...] = 0
        np.copyto(out, g, where=mask != 0)
        return out

    def _columns(self, padded: np.ndarray, ctx: Context) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield tile, row of the output, and the pixels that its filters see, as a matrix."""
        geometry = self.layer.geometry()
        (down, right), (ky, kx) = geometry.stride, geometry.kernel
        height, width = geometry.out_size
        tiles, _, channels, _, lanes = padded.shape
        shape = (channels, ky, kx, width, lanes)
        columns = ctx.workspace.array(self.layer, "columns", shape, padded.dtype)
        flat = columns.reshape(channels * ky * kx, width * lanes)
        for tile, row in np.ndindex(tiles, height):
            for p, q in np.ndindex(ky, kx):
                seen = padded[tile, row * down + p, :, q : q + (width - 1) * right + 1 : right]
                columns[:, p, q] = seen
            yield tile, row, flat
