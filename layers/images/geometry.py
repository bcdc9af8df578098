"""Sizes of a convolution, or of the windows of a pooling layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.conv.sizes import Sizes
from sparsecpu.kernels.machine.cached import cached_property
from sparsecpu.registries.numbers import whole


def pair(name: str, value: Any, least: int) -> tuple[int, int]:
    """Return a size, given as one number or two of at least ``least``, as height and width."""
    try:
        sizes = (value, value) if np.ndim(value) == 0 else tuple(value)
        height, width = (int(n) for n in sizes)
        good = (height, width) == tuple(sizes) and least <= min(height, width)
        good = good and max(height, width) < 1 << 31
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise ParameterError(name, value, f"an integer of at least {least}, or a pair of them")
    return height, width


def filter_sizes(
    in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
    groups: int = 1,
) -> dict[str, Any]:  # fmt: skip
    """Return a convolution's sizes, checked, as ``Geometry`` names them."""
    for name, value in (("in_channels", in_channels), ("out_channels", out_channels)):
        whole(name, value, 1, 2**31 - 1)
    if whole("groups", groups, 1) and (in_channels % groups or out_channels % groups):
        expected = f"a divisor of {in_channels} and of {out_channels} channels"
        raise ParameterError("groups", groups, expected)
    return {
        "channels": int(in_channels), "filters": int(out_channels),
        "kernel": pair("kernel_size", kernel_size, 1), "stride": pair("stride", stride, 1),
        "padding": pair("padding", padding, 0), "groups": int(groups),
    }  # fmt: skip


def described_sizes(in_channels: int, options: dict[str, Any]) -> dict[str, Any]:
    """Return the sizes that a description's options give, as ``filter_sizes`` does."""
    named = ("out_channels", "kernel_size", "stride", "padding", "groups")
    return filter_sizes(in_channels, **{name: options[name] for name in named if name in options})


@dataclass(frozen=True)
class Geometry:
    """Sizes of a convolution: ``channels`` in, ``filters`` out; pairs are height and width."""

    channels: int
    filters: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if min(self.out_size) < 1:
            expected = f"at least {self.kernel} with padding {self.padding}"
            raise ParameterError("image size", self.size, expected)

    @cached_property
    def out_size(self) -> tuple[int, int]:
        """Height and width of the output."""
        zipped = zip(self.size, self.kernel, self.stride, self.padding, strict=True)
        height, width = ((n + 2 * p - k) // s + 1 for n, k, s, p in zipped)
        return height, width

    @property
    def pointwise(self) -> bool:
        """True if an output pixel depends on the input's pixel at its place alone."""
        return self.kernel == self.stride == (1, 1) and self.padding == (0, 0)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the weights: filters, and (channel of the group, ky, kx) flattened."""
        return self.filters, self.channels // self.groups * self.kernel[0] * self.kernel[1]

    def forward_sizes(self, **cut: int) -> Sizes:
        """Return the sizes of ``y = W * x``, given those of its ring and its jobs."""
        (height, width), (out_height, out_width) = self.size, self.out_size
        return Sizes(
            channels=self.channels, height=height, width=width, filters=self.filters,
            out_height=out_height, out_width=out_width, down=self.stride[0], across=self.stride[1],
            rows=out_height, columns=out_width, top=self.padding[0], left=self.padding[1],
            skip_rows=1, skip_columns=1, **cut,
        )  # fmt: skip
