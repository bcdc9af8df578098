"""A shortcut without weights."""

from __future__ import annotations

from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Spec
from sparsecpu.layers.images.passes import as_array, gradient_as_array
from sparsecpu.layers.required import require_images
from sparsecpu.registries.numbers import whole
from sparsecpu.step.context import Context


class Subsample(Layer):
    """Every ``stride``-th pixel, with channels of zeros added: a shortcut without weights.

    Parameters
    ----------
    channels : int
        Channels of the output; at least as many as come in.
    stride : int
        Step between the pixels that are kept, by rows and columns.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    Option A of He et al. (2016), section 3.3.
    """

    kind = "subsample"

    def __init__(self, channels: int, stride: int = 2) -> None:
        self.channels, self.stride = whole("channels", channels, 1), whole("stride", stride, 1)

    @classmethod
    def trace(cls, shape, options) -> tuple:
        made = cls(**options)
        return (made.channels, *(-(-n // made.stride) for n in shape[1:])), []

    def plan(self, spec: Spec) -> Spec:
        if require_images(spec, self)[0] > self.channels:
            raise ParameterError("channels", self.channels, f"at least {spec.shape[0]}")
        options = {"channels": self.channels, "stride": self.stride}
        return Spec(self.trace(spec.shape, options)[0])

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        x = as_array(x, self, ctx)
        picked = x[:, :: self.stride, :, :: self.stride]
        shape = (*picked.shape[:2], self.channels, *picked.shape[3:])
        y = ctx.output(self, "y", shape, x.dtype)
        y[:, :, : x.shape[2]], y[:, :, x.shape[2] :] = picked, 0
        return y, x.shape

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        dy = gradient_as_array(dy, self, ctx)
        dx = ctx.workspace.lend(saved, dy.dtype)
        dx[...] = 0
        dx[:, :: self.stride, :, :: self.stride] = dy[:, :, : saved[2]]
        return dx

    def describe(self) -> str:
        return f"subsample {self.stride}, {self.channels} channels"
