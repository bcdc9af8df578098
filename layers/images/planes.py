"""Lazy planes: images between layers, with a normalisation and a ReLU still to be applied.

Writing the result of a normalisation would cost a pass over memory; its reader can apply it in
passing. Gradients travel likewise, for a normalisation's backward pass is linear in the gradient
and in its input.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsecpu.kernels.conv.operands import Gate, Operand, Output
from sparsecpu.step.context import Context


@dataclass(frozen=True)
class Planes:
    """Images as ``relu(a * values + b * other + c)``, channel by channel.

    Parameters
    ----------
    values : ndarray, shape (tiles, height, channels, width, lanes)
        The numbers in memory.
    a, c : ndarray, shape (channels,), optional
        Factor and shift that are pending.
    other : ndarray, shaped like ``values``, optional
        A second term.
    b : ndarray, shape (channels,), optional
        Its factor.
    relu : bool
        Whether a ReLU is pending.
    sums : ndarray of float64, shape (2, channels), optional
        What the layer that wrote ``values`` has summed in passing, over all pixels and samples: of
        an output y, the sums of y and of y squared; of a gradient g, those of g and of g x.
    about : ndarray, optional
        That x.
    """

    values: np.ndarray
    a: np.ndarray | None = None
    c: np.ndarray | None = None
    other: np.ndarray | None = None
    b: np.ndarray | None = None
    relu: bool = False
    sums: np.ndarray | None = None
    about: np.ndarray | None = None

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
        """Whether anything is still to be applied."""
        return self.a is not None or self.relu

    def operand(self) -> Operand:
        """Return the planes as the kernels read them."""
        nothing = _nothing(self.dtype)
        other = self.values if self.other is None else self.other
        a, b, c = (nothing if x is None else x for x in (self.a, self.b, self.c))
        return Operand(self.values, other, a, b, c, self.relu)

    def gate(self) -> Gate:
        """Return the gate that is open where these planes are positive."""
        nothing = _nothing(self.dtype)
        if self.a is None:
            return Gate(self.values, nothing, nothing)
        return Gate(self.values, self.a, self.c)

    def with_relu(self) -> Planes:
        """Return them with a ReLU pending."""
        a, c = self.a, self.c
        if a is None:
            a, c = np.ones(self.shape[2], self.dtype), np.zeros(self.shape[2], self.dtype)
        return replace(self, a=a, c=c, relu=True, sums=None)


def as_planes(x: Any) -> Planes:
    """Return images as planes, whether or not anything is pending.

    Parameters
    ----------
    x : ndarray or Planes
        The images.

    Returns
    -------
    Planes
        Them.
    """
    return x if isinstance(x, Planes) else Planes(x)


@functools.cache
def no_gate(dtype: Any) -> Gate:
    """Return the gate that lets everything pass.

    Parameters
    ----------
    dtype : dtype
        Type of the numbers.

    Returns
    -------
    Gate
        Empty arrays.
    """
    nothing = _nothing(dtype)
    return Gate(nothing.reshape(0, 0, 0, 0, 0), nothing, nothing)


def lane_mask(x: Any, owner: Any, ctx: Context) -> np.ndarray:
    """Return 1 for each sample of a batch and 0 for the lanes after the last one.

    Parameters
    ----------
    x : ndarray or Planes
        Its tiles.
    owner : object
        Who asks.
    ctx : Context
        Knows how many samples there are.

    Returns
    -------
    ndarray, shape (tiles, lanes)
        The mask.
    """
    mask = ctx.workspace.array(owner, "mask", (x.shape[0], x.shape[-1]), x.dtype)
    flat = mask.reshape(-1)
    flat[: ctx.n_valid], flat[ctx.n_valid :] = 1, 0
    return mask


def blend(
    first: Any,
    second: Any,
    owner: Any,
    name: str,
    ctx: Context,
    *,
    relu: bool = False,
    gate: Gate | None = None,
    sums: int = 0,
    keep: bool = True,
    lend: bool = False,
) -> Planes:
    """Add two images in one pass, with all that is pending, and write the result.

    Parameters
    ----------
    first, second : ndarray or Planes
        The operands; ``second`` may be None.
    owner : object
        Who asks.
    name : str
        What for.
    ctx : Context
        Gives the memory.
    relu : bool
        Whether to take the positive part of the sum.
    gate : Gate, optional
        From ``Planes.gate``: where the result may differ from 0.
    sums : int
        A kind of ``kernels.rows``: what to sum in passing.
    keep : bool
        Whether to write the result; without, the sums are all.
    lend : bool
        Whether the result is needed only as long as somebody holds it; see ``Workspace.lend``.

    Returns
    -------
    Planes
        The result, nothing pending; ``first`` with the sums, where it was not kept.
    """
    from sparsecpu.kernels.conv.blend import blend_kernel

    first = as_planes(first)
    nothing = Planes(no_gate(first.dtype)[0])
    out = nothing.values
    if keep and lend:
        out = ctx.workspace.lend(first.shape, first.dtype)
    elif keep:
        out = ctx.workspace.array(owner, name, first.shape, first.dtype)
    second = nothing if second is None else as_planes(second)
    parts = sum_space(first.values, owner, name, sums, ctx)
    blend_kernel(first.shape[-1])(
        first.operand(), second.operand(), Output(out, relu, parts, sums),
        gate or no_gate(first.dtype), lane_mask(first, owner, ctx),
    )  # fmt: skip
    about = gate[0] if gate is not None and sums == 2 else None
    if not keep:
        return replace(first, sums=total(parts), about=about)
    return Planes(out, sums=total(parts) if sums else None, about=about)


def solid(x: Any, owner: Any, ctx: Context, name: str = "solid") -> np.ndarray:
    """Return images as an array, written out if anything is pending.

    Parameters
    ----------
    x : ndarray or Planes
        The images, or features, which pass as they are.
    owner : object
        Who asks.
    ctx : Context
        Gives the memory.
    name : str
        What for.

    Returns
    -------
    ndarray
        The numbers.
    """
    if not isinstance(x, Planes):
        return x
    return blend(x, None, owner, name, ctx, lend=name == "dy").values if x.pending else x.values


def sum_space(
    out: np.ndarray, owner: Any, name: str, kind: int, ctx: Context, jobs: int = 0
) -> np.ndarray:
    """Return memory for sums that are made while ``out`` is written.

    Parameters
    ----------
    out : ndarray, shape (tiles, height, channels, width, lanes)
        What is written.
    owner : object
        Who asks.
    name : str
        What for.
    kind : int
        Which sums; none for 0.
    ctx : Context
        Gives the memory.
    jobs : int
        Parts in which it is written; a tile each by default.

    Returns
    -------
    ndarray, shape (jobs, channels, 2, lanes)
        Empty where nothing is to be summed.
    """
    jobs = (jobs or out.shape[0]) if kind else 0
    shape = (jobs, out.shape[2], 2, out.shape[4])
    return ctx.workspace.array(owner, f"{name}/sums", shape, out.dtype)


def total(parts: np.ndarray) -> np.ndarray:
    """Add sums of jobs and lanes, in order.

    Parameters
    ----------
    parts : ndarray, shape (jobs, channels, 2, lanes)
        From a kernel.

    Returns
    -------
    ndarray of float64, shape (2, channels)
        The sums.
    """
    return parts.sum(axis=(0, 3), dtype=np.float64).T


@functools.cache
def _nothing(dtype: Any) -> np.ndarray:
    return np.empty(0, dtype=dtype)
