"""Pooling: the largest, or the mean, of a window of pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.conv.operands import Covering, Windows
from sparsecpu.kernels.conv.sums import NO_SUMS, PRODUCTS
from sparsecpu.layers.base import Layer, Spec
from sparsecpu.layers.images.geometry import Geometry, pair
from sparsecpu.layers.images.passes import gradient_as_array
from sparsecpu.layers.images.planes import (
    Planes,
    as_planes,
    lane_mask,
    no_gate,
    output,
    sum_memory,
    total,
)
from sparsecpu.layers.required import require_images
from sparsecpu.step.context import Context


class _Pool(Layer):
    """Base of layers that reduce windows; the windows lie like a convolution's."""

    def __init__(self, kernel_size: Any, *, stride: Any = None, padding: Any = 0) -> None:
        self.kernel = pair("kernel_size", kernel_size, 1)
        self.stride = self.kernel if stride is None else pair("stride", stride, 1)
        self.padding = pair("padding", padding, 0)

    @classmethod
    def trace(cls, shape, options) -> tuple:
        return cls(**options)._out_shape(shape), []

    def _out_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        channels, height, width = shape
        sizes = self.kernel, self.stride, self.padding
        return channels, *Geometry(channels, channels, *sizes, 1, (height, width)).out_size

    def plan(self, spec: Spec) -> Spec:
        out = self._out_shape(require_images(spec, self))
        self._gated = False
        self._out_size = out[1:]
        sizes = (self.kernel, self.stride, self.padding)
        self._windows = Windows(*(np.array(pair, dtype=np.int64) for pair in sizes))
        self._covering = Covering(*(
            _windows_over(*axis)
            for axis in zip(spec.shape[1:], self._out_size, *sizes, strict=True)
        ))  # fmt: skip
        return Spec(out)

    def gate_by_input(self) -> bool:
        self._gated = True
        return True

    def _output(self, x: Planes, name: str, dtype: Any, ctx: Context) -> np.ndarray:
        (height, width), (tiles, _, channels, _, lanes) = self._out_size, x.values.shape
        return ctx.output(self, name, (tiles, height, channels, width, lanes), dtype)

    def _dx(self, kernel: Callable, arguments: tuple, x: Planes, ctx: Context) -> Planes:
        """Run a backward kernel, gating dx and summing for the normalisation before."""
        values = x.values
        kind = PRODUCTS if self._gated and x.a is not None else NO_SUMS
        key = (self, "dx", values.shape, kind, ctx.n_valid)
        found = ctx.workspace.prepared.get(key)
        if found is None:
            jobs = 0 if kind == NO_SUMS else len(values)
            sums = sum_memory(jobs, values.shape[2], values, self, "dx", ctx)
            found = ctx.workspace.keep(key, (sums, lane_mask(values, ctx)))
        sums, mask = found
        gate = x.gate() if self._gated else no_gate(values.dtype)
        dx = ctx.workspace.lend(values.shape, values.dtype)
        kernel(*arguments, self._covering, output(dx, sums, kind), gate, mask)
        return Planes(dx, sums=None if kind == NO_SUMS else total(sums), summed_with=x)

    def options(self) -> dict[str, Any]:
        sizes = {"kernel_size": self.kernel, "stride": self.stride, "padding": self.padding}
        return {name: list(pair) for name, pair in sizes.items()}

    def describe(self) -> str:
        return f"{self.kind} {'x'.join(map(str, self.kernel))}"


def _windows_over(size: int, windows: int, kernel: int, stride: int, padding: int) -> np.ndarray:
    """Return, for each place along an axis, its first window and the one after its last."""
    place = np.arange(size, dtype=np.int64) + padding
    first = np.clip((place - kernel + stride) // stride, 0, windows)
    return np.stack([first, np.clip(place // stride + 1, first, windows)], axis=1)


class MaxPool2d(_Pool):
    r""":math:`y = \max` over each window; of equal pixels the first gets the gradient.

    Parameters
    ----------
    kernel_size : int or pair of ints
        Height and width of a window, of 256 pixels at most.
    stride : int or pair of ints, optional
        From one window to the next; ``kernel_size`` by default.
    padding : int or pair of ints
        Pixels around the image, which never win; at most half of a window.

    Raises
    ------
    ParameterError
        If a size is out of range.
    """

    kind = "max_pool2d"

    def __init__(self, kernel_size: Any, *, stride: Any = None, padding: Any = 0) -> None:
        super().__init__(kernel_size, stride=stride, padding=padding)
        if any(2 * edge > size for size, edge in zip(self.kernel, self.padding, strict=True)):
            raise ParameterError("padding", padding, f"at most half of a window, {self.kernel}")
        if self.kernel[0] * self.kernel[1] > 256:
            raise ParameterError("kernel_size", kernel_size, "windows of at most 256 pixels")

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        from sparsecpu.kernels.conv.max_pooling import max_pool_kernel

        x = as_planes(x)
        y = self._output(x, "y", x.values.dtype, ctx)
        winners = self._output(x, "winners", np.uint8, ctx)
        max_pool_kernel(y.shape[-1])(x.operand(), self._windows, y, winners)
        return Planes(y), (x, winners)

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        from sparsecpu.kernels.conv.max_pooling import max_pool_gradient_kernel

        x, winners = saved
        dy = gradient_as_array(dy, self, ctx)
        kernel = max_pool_gradient_kernel(dy.shape[-1])
        return self._dx(kernel, (dy, winners, self._windows), x, ctx)


class AvgPool2d(_Pool):
    """The mean of each window; pixels of the padding count as 0.

    Parameters
    ----------
    kernel_size : int or pair of ints
        Height and width of a window.
    stride : int or pair of ints, optional
        From one window to the next; ``kernel_size`` by default.
    padding : int or pair of ints
        Zeros around the image.
    """

    kind = "avg_pool2d"

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        from sparsecpu.kernels.conv.average_pooling import average_pool_kernel

        x = as_planes(x)
        y = self._output(x, "y", x.values.dtype, ctx)
        average_pool_kernel(y.shape[-1])(x.operand(), self._windows, y)
        return Planes(y), x

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        from sparsecpu.kernels.conv.average_pooling import average_pool_gradient_kernel

        dy = gradient_as_array(dy, self, ctx)
        kernel = average_pool_gradient_kernel(dy.shape[-1])
        return self._dx(kernel, (dy, self._windows), saved, ctx)


class GlobalAvgPool2d(AvgPool2d):
    """The mean of each channel, as features."""

    kind = "global_avg_pool2d"

    def __init__(self) -> None:
        super().__init__(1)

    @classmethod
    def trace(cls, shape, options) -> tuple:
        return shape[:1], []

    def plan(self, spec: Spec) -> Spec:
        channels, height, width = require_images(spec, self)
        self.kernel = self.stride = (height, width)
        super().plan(spec)
        return Spec((channels,))

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        y, saved = super().forward(x, ctx)
        return y.values[:, 0, :, 0], saved  # (tiles, channels, lanes)

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        return super().backward(dy[:, None, :, None], saved, ctx)

    def options(self) -> dict[str, Any]:
        return {}  # its window is the image

    def describe(self) -> str:
        return self.kind
