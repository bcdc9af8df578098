"""A convolution as matrix products, for filters that are nearly full."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sparsecpu.layers.full_form import FullForm
from sparsecpu.layers.images.passes import add, add_gradients, as_array, gate_gradient
from sparsecpu.layers.images.planes import Planes, lane_mask
from sparsecpu.step.context import Context

if TYPE_CHECKING:
    from sparsecpu.layers.conv2d import SparseConv2d


class DenseConvolution:
    """The three products of a convolution without groups, by BLAS, a row of pixels at a time.

    For each row of outputs the pixels that its filters see are laid out as a matrix, (channels,
    ky, kx) by (width, lanes), and multiplied with the filters as a full matrix. Only one such
    matrix exists at a time; the layer's values stay in CSR.
    """

    def __init__(self, layer: SparseConv2d) -> None:
        self.layer = layer
        self._full = FullForm(layer)

    def forward(self, x: Planes, ctx: Context, plus: Planes | None = None) -> Planes:
        """Return y, with the bias, what is added, and a ReLU that the layer took over.

        Nothing is summed.
        """
        from sparsecpu.kernels.linear.full import product

        layer, (height, width) = self.layer, self.layer.geometry().out_size
        matrix, padded = self._full.matrix(ctx), self._padded(x, ctx)
        shape = (x.shape[0], height, layer.out_channels, width, x.shape[-1])
        y = ctx.output(layer, "y", shape, x.dtype, lend=layer.lends_output)
        for tile, row, columns in self._columns(padded, ctx):
            out = y[tile, row].reshape(1, layer.out_channels, -1)
            product(matrix, columns[None], matrix[0, :0], out, False)
        if layer.bias is not None:
            np.add(y, layer.bias.data[:, None, None], out=y)
        if plus is not None:
            return add(Planes(y), plus, layer, "sum", ctx, relu=layer.applies_relu)
        if layer.applies_relu:
            np.maximum(y, 0, out=y)
        return Planes(y)

    def backward(
        self, x: Planes, dy: Planes, ctx: Context, plus: Planes | None = None
    ) -> Planes | None:
        """Write dW and db and return dx, with ``plus``, if the layer needs it."""
        self.filter_gradient(x, dy, ctx)
        return self.input_gradient(x, dy, ctx, plus) if self.layer.needs_dx else None

    def filter_gradient(self, x: Planes, dy: Planes, ctx: Context) -> None:
        """Write dW at the nonzeros, and db."""
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

    def input_gradient(
        self, x: Planes, dy: Planes, ctx: Context, plus: Planes | None = None
    ) -> Planes:
        """Return dx with ``plus``, gated and summed with x where the layers before need that."""
        layer, geometry = self.layer, self.layer.geometry()
        matrix, g = self._full.matrix(ctx), self._gradient(dy, ctx)
        (down, right), (ky, kx) = geometry.stride, geometry.kernel
        top, left = geometry.padding
        tiles, height, channels, width, lanes = x.shape
        out_width = g.shape[3]
        framed = self._frame(x, "padded dx", ctx)
        columns = (channels, ky, kx, out_width, lanes)
        product = ctx.workspace.array(layer, "columns", columns, x.dtype)
        flat = product.reshape(matrix.shape[1], -1)
        for tile, row in np.ndindex(tiles, g.shape[1]):
            np.matmul(matrix.T, g[tile, row].reshape(layer.out_channels, -1), out=flat)
            for p, q in np.ndindex(ky, kx):
                there = framed[tile, row * down + p, :, q : q + (out_width - 1) * right + 1 : right]
                np.add(there, product[:, p, q], out=there)
        dx = ctx.workspace.lend(x.shape, x.dtype)
        dx[...] = framed[:, top : top + height, :, left : left + width]
        if layer.gates_dx:
            return gate_gradient(dx, x, layer, ctx, second=plus)
        return Planes(dx) if plus is None else add_gradients(dx, plus, layer, "dx", ctx)

    def _frame(self, x: Planes, name: str, ctx: Context) -> np.ndarray:
        """Return zeros, as large as images with their padding."""
        top, left = self.layer.geometry().padding
        tiles, height, channels, width, lanes = x.shape
        shape = (tiles, height + 2 * top, channels, width + 2 * left, lanes)
        frame = ctx.workspace.array(self.layer, name, shape, x.dtype)
        frame[...] = 0
        return frame

    def _padded(self, x: Planes, ctx: Context) -> np.ndarray:
        """Return the images in a frame of zeros."""
        top, left = self.layer.geometry().padding
        values = as_array(x, self.layer, ctx)
        if top == left == 0:
            return values
        framed = self._frame(x, "padded", ctx)
        framed[:, top : top + x.shape[1], :, left : left + x.shape[3]] = values
        return framed

    def _gradient(self, dy: Planes, ctx: Context) -> np.ndarray:
        """Return the gradient of the output as an array, 0 in lanes without a sample."""
        g = as_array(dy, self.layer, ctx, "dense dy")
        if ctx.n_valid == g.shape[0] * g.shape[-1]:
            return g
        out = ctx.workspace.array(self.layer, "masked dy", g.shape, g.dtype)
        mask = lane_mask(g, ctx)[:, None, None, None, :]
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
