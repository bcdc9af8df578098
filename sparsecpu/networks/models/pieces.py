"""What the descriptions of convolutional networks are made of."""

from __future__ import annotations

import math
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.networks.description import LayerSpec
from sparsecpu.step.image_shapes import has_channels_last

Shape = tuple[int, ...]

#: Flat samples are taken for square pictures from this side on; the smallest in use, digits, have
#: it. Four measurements of a flower are no picture of 2 x 2 pixels.
_LEAST_SIDE = 8


def as_image(input_shape: Shape) -> tuple[int, int, int]:
    """Return the shape of a sample as channels, height, width.

    ``(pixels,)`` is a square of one channel, if it has at least 8 x 8 pixels.
    """
    if len(input_shape) == 1:
        side = math.isqrt(input_shape[0])
        if side >= _LEAST_SIDE and side**2 == input_shape[0]:
            return 1, side, side
    if len(input_shape) == 2:
        return 1, *input_shape
    if has_channels_last(input_shape):
        height, width, channels = input_shape
        expected = f"channels first: ({channels}, {height}, {width})"
        raise ParameterError("input_shape", input_shape, expected)
    if len(input_shape) == 3:
        return input_shape
    expected = f"images: (channels, height, width), or the pixels of a square of {_LEAST_SIDE} x "
    raise ParameterError("input_shape", input_shape, f"{expected}{_LEAST_SIDE} or more")


def scaled(channels: int, width: float) -> int:
    """Return a number of channels, multiplied; at least one."""
    return max(1, round(channels * width))


def conv(out: int, kernel: int, *, stride: int = 1, padding: int = 0, **options: Any) -> LayerSpec:
    """Return a convolution with all its weights."""
    sizes = {"out_channels": out, "kernel_size": kernel, "stride": stride, "padding": padding}
    return LayerSpec("conv2d", {**sizes, "nnz": None, **options})


def linear(out: int, gain: float = math.sqrt(2.0)) -> LayerSpec:
    """Return a linear layer with all its weights."""
    return LayerSpec("linear", {"out_features": out, "nnz": None, "gain": gain})


def unit(out: int, kernel: int, *, stride: int = 1, padding: int = 0) -> list[LayerSpec]:
    """Return convolution, normalisation, ReLU."""
    first = conv(out, kernel, stride=stride, padding=padding, bias=False)
    return [first, LayerSpec("batch_norm"), LayerSpec("relu")]
