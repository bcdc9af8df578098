"""Lazy planes: images between layers, with a normalisation and a ReLU still pending.

To write the result of a normalisation costs a pass over memory; its reader can apply it in passing.
Gradients travel in the same way, for a normalisation's backward pass is linear in the gradient and
in its input. ``passes.py`` has what is done to planes by itself.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.conv.operands import Gate, Operand, Output
from sparsecpu.kernels.machine.arrays import aligned_zeros
from sparsecpu.kernels.machine.cached import cached_property
from sparsecpu.step.context import Context


@dataclass(frozen=True)
class Planes:
    r"""Images as :math:`a (v - m) + c`, channel by channel, and the ReLU of that if ``relu``.

    v is ``values``, (tiles, height, channels, width, lanes); a, m and c have a number for each
    channel: m is ``centre``, a number near the mean of v, or 0 where there is none. Without ``a``
    nothing is pending and the images are v. A gradient may be :math:`a\,v + b (u - m) + c`, where
    u is ``other``, of the shape of v.

    ``sums``, float64 of shape (2, channels), is what the layer that wrote v summed in passing over
    all pixels and samples: of an output y, the sums of y and y squared; of a gradient g, those of
    g and g (x - m), where x and m are the values and the centre of ``summed_with``.
    """

    values: np.ndarray
    a: np.ndarray | None = None
    c: np.ndarray | None = None
    other: np.ndarray | None = None
    b: np.ndarray | None = None
    centre: np.ndarray | None = None
    relu: bool = False
    sums: np.ndarray | None = None
    summed_with: Planes | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """``(tiles, height, channels, width, lanes)``."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers."""
        return self.values.dtype

    @property
    def pending(self) -> bool:
        """True if a normalisation or ReLU is pending."""
        return self.a is not None

    def operand(self) -> Operand:
        """Return the planes as kernels read them: empty arrays where there is none."""
        other = no_planes(self.values.dtype) if self.b is None else self.other
        assert other is not None
        return Operand(self.values, other, self._coefficients, self.relu)

    def gate(self) -> Gate:
        """Return the gate that is open where these planes are positive."""
        return Gate(self.values, self._coefficients)

    @cached_property
    def _coefficients(self) -> np.ndarray:
        """What is pending, (channels, 4), as kernels read it."""
        if self.a is None:
            return nothing_pending(self.values.dtype)
        found = np.zeros((len(self.a), 4), self.values.dtype)
        for column, part in enumerate((self.a, self.b, self.c, self.centre)):
            if part is not None:
                found[:, column] = part
        return found

    def with_relu(self) -> Planes:
        """Return the same images with a ReLU pending."""
        channels, dtype = self.values.shape[2], self.values.dtype
        if self.a is None:
            return Planes(self.values, np.ones(channels, dtype), zeros(channels, dtype), relu=True)
        return Planes(self.values, self.a, self.c, self.other, self.b, self.centre, relu=True)


def as_planes(x: Any) -> Planes:
    """Return images as planes, whether or not anything is pending."""
    return x if isinstance(x, Planes) else Planes(x)


def check_planes(x: Planes, inner: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse what kernels would read beyond its end: planes of other sizes, or of another type."""
    values = x.values
    if values.ndim != 5 or values.shape[1:4] != inner or values.dtype != dtype:
        expected = f"{dtype} of shape (tiles, {', '.join(map(str, inner))}, lanes)"
        raise ParameterError("shape of x", values.shape, expected)


@functools.cache
def nothing(dtype: Any) -> np.ndarray:
    """Return an empty vector, which tells kernels that there is none."""
    return np.empty(0, dtype=dtype)


@functools.cache
def nothing_pending(dtype: Any) -> np.ndarray:
    """Return the coefficients of no channel, which tell kernels that nothing is pending."""
    return np.empty((0, 4), dtype=dtype)


@functools.cache
def zeros(channels: int, dtype: Any) -> np.ndarray:
    """Return a vector of zeros, not to be written to."""
    return np.zeros(channels, dtype)


@functools.cache
def no_planes(dtype: Any) -> np.ndarray:
    """Return planes without a tile, which tell kernels that there are none."""
    return np.empty((0, 0, 0, 0, 0), dtype=dtype)


@functools.cache
def no_operand(dtype: Any) -> Operand:
    """Return the operand of no planes; see ``Planes.operand``."""
    return Planes(no_planes(dtype)).operand()


@functools.cache
def no_gate(dtype: Any) -> Gate:
    """Return a gate that lets everything pass; see ``Planes.gate``."""
    return Gate(no_planes(dtype), nothing_pending(dtype))


def output(
    y: np.ndarray, sums: np.ndarray, kind: int, *, relu: bool = False, plus: Planes | None = None
) -> Output:
    """Return what kernels write, with nothing added where ``plus`` is None; see ``Output``."""
    added = no_operand(y.dtype) if plus is None else plus.operand()
    return Output(y, relu, sums, kind, added)


def lane_mask(values: np.ndarray, ctx: Context) -> np.ndarray:
    """Return (tiles, lanes): 1 for each sample of the batch, 0 for the lanes after the last one."""
    tiles, lanes = values.shape[0], values.shape[-1]
    key = ("samples", "lane mask", tiles, lanes, values.dtype, ctx.n_valid)
    mask = ctx.workspace.prepared.get(key)
    if mask is None:
        mask = ctx.workspace.keep(key, aligned_zeros((tiles, lanes), values.dtype))
        mask.reshape(-1)[: ctx.n_valid] = 1
    return mask


def sum_memory(
    jobs: int, channels: int, planes: np.ndarray, owner: Any, name: str, ctx: Context
) -> np.ndarray:
    """Return memory for what is summed while planes are written; see ``operands.Output``."""
    shape = (jobs, channels, 2, max(1, planes.shape[-1] * planes.itemsize // 8))
    return ctx.workspace.array(owner, f"{name}/sums", shape, np.float64)


def total(parts: np.ndarray) -> np.ndarray:
    """Add the sums of jobs and lanes, (jobs, channels, 2, lanes), to (2, channels) in order."""
    from sparsecpu.kernels.conv.channel_sums import add_jobs

    out = np.empty((2, parts.shape[1]))
    add_jobs(parts, out)
    return out
