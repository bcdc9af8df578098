"""Passes over planes that no layer's kernel makes in passing: sums, gates, what is pending."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sparsecpu.kernels.conv.operands import Gate
from sparsecpu.kernels.conv.sums import MOMENTS, NO_SUMS, PRODUCTS
from sparsecpu.layers.images.planes import (
    Planes,
    as_planes,
    lane_mask,
    no_gate,
    no_planes,
    output,
    sum_memory,
    total,
    zeros,
)
from sparsecpu.step.context import Context


class _Pass(NamedTuple):
    """What stays the same from batch to batch."""

    kernel: Callable
    parts: np.ndarray
    mask: np.ndarray


def as_array(x: Any, owner: Any, ctx: Context, name: str = "array") -> np.ndarray:
    """Return images as an array, written out if anything is pending; features pass as they are."""
    if not isinstance(x, Planes):
        return x
    if x.a is None:
        return x.values
    out = ctx.output(owner, name, x.values.shape, x.values.dtype)
    _run(x, None, out, owner, name, ctx)
    return out


def gradient_as_array(dy: Any, owner: Any, ctx: Context) -> np.ndarray:
    """Return a gradient as ``as_array`` does, in memory that is lent: see ``Workspace.lend``."""
    if not isinstance(dy, Planes):
        return dy
    if dy.a is None:
        return dy.values
    out = ctx.workspace.lend(dy.values.shape, dy.values.dtype)
    _run(dy, None, out, owner, "dy", ctx)
    return out


def sum_moments(x: Any, owner: Any, name: str, ctx: Context) -> np.ndarray:
    """Return the sums of x and x squared by channel, (2, channels), over pixels and samples."""
    x = as_planes(x)
    sums = _run(x, None, no_planes(x.values.dtype), owner, name, ctx, kind=MOMENTS)
    assert sums is not None
    return sums


def sum_channels(x: Any, owner: Any, name: str, ctx: Context) -> np.ndarray:
    """Return the same sums, added up in the planes' own type: what needs no difference of them."""
    x = as_planes(x)
    key = (owner, name, x.values.shape, ctx.n_valid)
    found = ctx.workspace.prepared.get(key)
    if found is None:
        found = ctx.workspace.keep(key, _prepare_channel_sums(x.values, owner, name, ctx))
    found.kernel(x.operand(), found.parts, found.mask)
    return total(found.parts)


def with_products(g: Planes, x: Planes, owner: Any, ctx: Context) -> Planes:
    """Return a gradient, nothing pending, with the sums of g and g (x - centre)."""
    values, name = g.values, "g"
    out = no_planes(values.dtype)
    if g.a is not None:
        values = out = ctx.workspace.array(owner, name, values.shape, values.dtype)
    none = zeros(values.shape[2], values.dtype)
    everywhere = Planes(x.values, none, none + 1, centre=x.centre).gate()  # 1 is positive
    sums = _run(g, None, out, owner, name, ctx, gate=everywhere, kind=PRODUCTS)
    return Planes(values, sums=sums, summed_with=x)


def add(
    first: Any, second: Any, owner: Any, name: str, ctx: Context, *,
    relu: bool = False, moments: bool = False,
) -> Planes:  # fmt: skip
    """Write the sum of two images, or ``first`` alone; its ReLU if ``relu``.

    If ``moments``, sum the result and its square in passing.
    """
    first, second = as_planes(first), None if second is None else as_planes(second)
    out = ctx.output(owner, name, first.values.shape, first.values.dtype)
    kind = MOMENTS if moments else NO_SUMS
    return Planes(out, sums=_run(first, second, out, owner, name, ctx, relu=relu, kind=kind))


def add_gradients(first: Any, second: Any, owner: Any, name: str, ctx: Context) -> Planes:
    """Write the sum of two gradients, or ``first`` alone, in memory that is lent."""
    first, second = as_planes(first), None if second is None else as_planes(second)
    out = ctx.workspace.lend(first.values.shape, first.values.dtype)
    _run(first, second, out, owner, name, ctx)
    return Planes(out)


def gate_gradient(first: Any, x: Planes, owner: Any, ctx: Context, *, second: Any = None) -> Planes:
    """Write a gradient, or the sum of two, as 0 where x is not positive, in memory that is lent.

    If x has a normalisation pending, sum the result and its product with ``x.values - centre`` in
    passing, for the normalisation's backward pass.
    """
    first, second = as_planes(first), None if second is None else as_planes(second)
    out = ctx.workspace.lend(first.values.shape, first.values.dtype)
    kind = NO_SUMS if x.a is None else PRODUCTS
    sums = _run(first, second, out, owner, "gated", ctx, gate=x.gate(), kind=kind)
    return Planes(out, sums=sums, summed_with=x)


def _run(
    first: Planes, second: Planes | None, out: np.ndarray, owner: Any, name: str, ctx: Context, *,
    relu: bool = False, gate: Gate | None = None, kind: int = NO_SUMS,
) -> np.ndarray | None:  # fmt: skip
    """Write ``first + second`` to ``out``, unless that is empty; return the sums of ``kind``."""
    values = first.values
    key = (owner, name, values.shape, ctx.n_valid, kind)
    found = ctx.workspace.prepared.get(key)
    if found is None:
        found = ctx.workspace.keep(key, _prepare(values, owner, name, kind, ctx))
    kernel, parts, mask = found
    dtype = values.dtype
    written = output(out, parts, kind, relu=relu, plus=second)
    kernel(first.operand(), written, gate or no_gate(dtype), mask)
    return None if kind == NO_SUMS else total(parts)


def _prepare(values: np.ndarray, owner: Any, name: str, kind: int, ctx: Context) -> _Pass:
    from sparsecpu.kernels.conv.blend import blend_kernel

    jobs = 0 if kind == NO_SUMS else values.shape[0]
    parts = sum_memory(jobs, values.shape[2], values, owner, name, ctx)
    return _Pass(blend_kernel(values.shape[-1]), parts, lane_mask(values, ctx))


def _prepare_channel_sums(values: np.ndarray, owner: Any, name: str, ctx: Context) -> _Pass:
    from sparsecpu.kernels.conv.channel_sums import channel_sums_kernel

    tiles, _, channels, _, lanes = values.shape
    parts = ctx.workspace.array(owner, f"{name}/sums", (tiles, channels, 2, lanes), values.dtype)
    return _Pass(channel_sums_kernel(lanes), parts, lane_mask(values, ctx))
