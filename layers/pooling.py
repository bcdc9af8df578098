"""Pooling: the largest, or the mean, of a window of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.kernels.conv.sums import NO_SUMS, PRODUCTS
from sparsecpu.layers.base import Layer, Spec, require_images
from sparsecpu.layers.conv2d import pair
from sparsecpu.layers.images.planes import (
    Planes,
    as_planes,
    lane_mask,
    no_gate,
    solid,
    sum_space,
    total,
)
from sparsecpu.layers.images.taps import Geometry
from sparsecpu.step.context import Context


class _Pool(Layer):
    """Base of layers that reduce windows; the windows lie like a convolution's."""

    def __init__(self, kernel_size: Any, *, stride: Any = None, padding: Any = 0) -> None:
        self.kernel = pair("kernel_size", kernel_size, 1)
        self.stride = self.kernel if stride is None else pair("stride", stride, 1)
        self.padding = pair("padding", padding, 0)
        self._gated = False

    @classmethod
    def trace(cls, shape, options) -> tuple:
        layer = cls(**options)
        return layer._out_shape(shape), []

    def _out_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        channels, *size = shape
        windows = Geometry(
            channels, channels, self.kernel, self.stride, self.padding, 1, tuple(size)
        )
        return (channels, *windows.out_size)

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
        """
        self._gated = False
        return Spec(self._out_shape(require_images(spec, self)), spec.needs_gradient)

    def gate_by_input(self) -> bool:
        """Zero dx where x is not positive, while storing it.

        Returns
        -------
        bool
            True.
        """
        self._gated = True
        return True

    def _windows(self) -> Any:
        from sparsecpu.kernels.conv.pooling import Windows

        sizes = self.kernel, self.stride, self.padding
        return Windows(*(np.array(n, dtype=np.int64) for n in sizes))

    def _empty(self, x: Planes, ctx: Context, name: str, dtype: Any) -> np.ndarray:
        tiles, height, channels, width, lanes = x.shape
        _, height, width = self._out_shape((channels, height, width))
        shape = (tiles, height, channels, width, lanes)
        return ctx.workspace.array(self, name, shape, dtype)

    def _backward(self, kernel: Any, arguments: tuple, dy: Any, x: Planes, ctx: Context) -> Planes:
        """Run a backward kernel, gating dx and summing for the normalisation before."""
        from sparsecpu.kernels.conv.operands import Output
        from sparsecpu.kernels.conv.pooling import Covering

        dx = ctx.workspace.lend(x.shape, x.dtype)
        kind = PRODUCTS if self._gated and x.a is not None else NO_SUMS
        gate = x.gate() if self._gated else no_gate(x.dtype)
        sums = sum_space(dx, self, "dx", kind, ctx)
        spans = (
            _spans(x.shape[place], dy.shape[place], size, step, edge)
            for place, size, step, edge in zip(
                (1, 3), self.kernel, self.stride, self.padding, strict=True
            )
        )
        out = Output(dx, False, sums, kind)
        kernel(*arguments, Covering(*spans), out, gate, lane_mask(x, self, ctx))
        return Planes(dx, sums=total(sums) if kind != NO_SUMS else None, about=x.values)

    def describe(self) -> str:
        """Return the size."""
        return f"{self.kind} {'x'.join(map(str, self.kernel))}"


def _spans(size: int, windows: int, kernel: int, stride: int, padding: int) -> np.ndarray:
    """Return, for each place along an axis, its first window and the one after its last."""
    place = np.arange(size, dtype=np.int64) + padding
    first = np.clip((place - kernel + stride) // stride, 0, windows)
    return np.stack([first, np.clip(place // stride + 1, first, windows)], axis=1)


class MaxPool2d(_Pool):
    r""":math:`y = \max` over each window; of equal pixels the first gets the gradient.

    Parameters
    ----------
    kernel_size : int or pair of ints
        Height and width of a window.
    stride : int or pair of ints, optional
        From one window to the next; ``kernel_size`` by default.
    padding : int or pair of ints
        Of pixels that never win; at most half of a window.

    Raises
    ------
    ParameterError
        If a size is out of range.
    """

    kind = "max_pool2d"

    def __init__(self, kernel_size: Any, *, stride: Any = None, padding: Any = 0) -> None:
        super().__init__(kernel_size, stride=stride, padding=padding)
        for size, edge in zip(self.kernel, self.padding, strict=True):
            pair("padding", padding, 0) if 2 * edge <= size else pair("padding", None, 0)
        if self.kernel[0] * self.kernel[1] > 256:
            pair("kernel_size", None, 1)

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        """Compute the maxima; see ``Layer.forward``.

        Parameters
        ----------
        x : Planes or ndarray, shape (tiles, height, channels, width, lanes)
            The input.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        y : Planes
            The output.
        saved : tuple
            ``x``, and which pixel won each window.
        """
        from sparsecpu.kernels.conv.pooling import max_pool_kernel

        x = as_planes(x)
        y = self._empty(x, ctx, "y", x.dtype)
        winners = self._empty(x, ctx, "winners", np.uint8)
        max_pool_kernel(x.shape[-1])(x.operand(), self._windows(), y, winners)
        return Planes(y), (x, winners)

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Planes:
        """Send each gradient to the winner; see ``Layer.backward``.

        Parameters
        ----------
        dy : Planes or ndarray
            Gradient of the output.
        saved : tuple
            From ``forward``.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        Planes
            Gradient of the input.
        """
        from sparsecpu.kernels.conv.pooling import max_pool_gradient_kernel

        x, winners = saved
        dy = solid(dy, self, ctx, "dy")
        arguments = (dy, winners, self._windows())
        return self._backward(max_pool_gradient_kernel(x.shape[-1]), arguments, dy, x, ctx)


class AvgPool2d(_Pool):
    """The mean of each window; pixels of the padding count as 0.

    Parameters
    ----------
    kernel_size : int or pair of ints
        Height and width of a window.
    stride : int or pair of ints, optional
        From one window to the next; ``kernel_size`` by default.
    padding : int or pair of ints
        Of zeros.
    """

    kind = "avg_pool2d"

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        """Compute the means; see ``Layer.forward``.

        Parameters
        ----------
        x : Planes or ndarray, shape (tiles, height, channels, width, lanes)
            The input.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        y : Planes
            The output.
        saved : Planes
            ``x``.
        """
        from sparsecpu.kernels.conv.pooling import average_pool_kernel

        x = as_planes(x)
        y = self._empty(x, ctx, "y", x.dtype)
        average_pool_kernel(x.shape[-1])(x.operand(), self._windows(), y)
        return Planes(y), x

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Planes:
        """Share each gradient out among its window; see ``Layer.backward``.

        Parameters
        ----------
        dy : Planes or ndarray
            Gradient of the output.
        saved : Planes
            The input.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        Planes
            Gradient of the input.
        """
        from sparsecpu.kernels.conv.pooling import average_pool_gradient_kernel

        x, dy = saved, solid(dy, self, ctx, "dy")
        arguments = (dy, self._windows())
        return self._backward(average_pool_gradient_kernel(x.shape[-1]), arguments, dy, x, ctx)


class GlobalAvgPool2d(AvgPool2d):
    """The mean of each channel, as features."""

    kind = "global_avg_pool2d"

    def __init__(self) -> None:
        super().__init__(1)

    @classmethod
    def trace(cls, shape, options) -> tuple:
        return shape[:1], []

    def plan(self, spec: Spec) -> Spec:
        """Make the window as large as the images; see ``Layer.plan``.

        Parameters
        ----------
        spec : Spec
            The input.

        Returns
        -------
        Spec
            The output.
        """
        channels, height, width = require_images(spec, self)
        self.kernel = self.stride = (height, width)
        self._gated = False
        return Spec((channels,), spec.needs_gradient)

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        """Compute the means; see ``Layer.forward``.

        Parameters
        ----------
        x : Planes or ndarray, shape (tiles, height, channels, width, lanes)
            The input.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        y : ndarray, shape (tiles, channels, lanes)
            The output.
        saved : Planes
            ``x``.
        """
        y, saved = super().forward(x, ctx)
        return y.values[:, 0, :, 0], saved

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Planes:
        """Share each gradient out among the pixels; see ``Layer.backward``.

        Parameters
        ----------
        dy : ndarray, shape (tiles, channels, lanes)
            Gradient of the output.
        saved : Planes
            The input.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        Planes
            Gradient of the input.
        """
        return super().backward(dy[:, None, :, None], saved, ctx)
