"""Sums of planes in one pass, with all that is pending, and with what comes after."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.kernels.conv.lazy import (
    add_sums,
    below,
    coefficients,
    completed,
    finish_pixel,
    is_large,
    read,
    sums_of,
)
from sparsecpu.kernels.conv.operands import Gate, Operand
from sparsecpu.kernels.conv.sums import NO_SUMS
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.spread import spread
from sparsecpu.kernels.vectors.arithmetic import first_of, multiply, splat
from sparsecpu.kernels.vectors.memory import fence, load, store_output


def plain_value(operand: Operand) -> np.ndarray:
    """Return what lazy planes stand for, channel by channel; see ``Operand``."""
    values, other, pending, relu = operand
    v = values
    if len(pending):
        a, b, c, centre = pending.T[..., None, None]
        v = a * v + b * (other - centre) + c if len(other) else a * (v - centre) + c
    return np.maximum(v, 0) if relu else v


def plain_gated(v: np.ndarray, gate: Gate) -> np.ndarray:
    """Return ``v`` where the gate is open and 0 elsewhere."""
    values, pending = gate
    if not values.size:
        return v
    return np.where(plain_value(Operand(values, values[:0], pending, False)) > 0, v, 0)


def plain_blend(first: Operand, second: Operand, relu: bool, gate: Gate) -> np.ndarray:
    """Return ``first + second``, its positive part with ``relu``, gated."""
    v = plain_value(first)
    if second.values.size:
        v = v + plain_value(second)
    return plain_gated(np.maximum(v, 0) if relu else v, gate)


@functools.cache
def blend_kernel(lanes: int) -> Callable:
    """Return the kernel of ``inputs + out.plus``, gated and summed; a tile has one worker.

    ``blend(inputs, out, gate, mask)`` takes what ``kernels.conv.operands`` describes; y may be
    empty, for sums alone. ``mask`` is ``(tiles, lanes)``, 0 for padding lanes.
    """

    @kernel(addressed=True)
    def work(tile, inputs, out, gate, mask):
        zero, planes = splat(inputs.values.dtype.type(0), lanes), inputs.values
        _, height, channels, width, _ = planes.shape
        lane_mask, large = load(mask, np.int64(tile) * lanes, lanes), is_large(out.y)
        numbers = multiply(lane_mask, splat(planes.dtype.type(width), lanes))
        if out.kind != NO_SUMS:
            out.sums[tile] = 0
        for row in range(height):
            for channel in range(channels):
                pending, added = coefficients(inputs, channel), coefficients(out.plus, channel)
                of_gate = coefficients(gate, channel)
                total, other, shift, centre = zero, zero, zero, planes.dtype.type(0)
                begin = ((np.int64(tile) * height + row) * channels + channel) * width * lanes
                for place in range(begin, begin + width * lanes, lanes):
                    v = completed(read(inputs, pending, place, zero), place, out, added)
                    if place == begin:
                        centre = first_of(v)
                        shift = below(centre, lane_mask)
                    v, total, other = finish_pixel(v, place, out, gate, of_gate, lane_mask,
                                                   shift, total, other)  # fmt: skip
                    if out.y.shape[0] > 0:
                        store_output(out.y, place, v, large)
                add_sums(out, sums_of(tile, channel, out), total, other, centre, numbers)
        fence()

    run = spread(work)

    def blend(inputs: Operand, *others: Any) -> None:
        run(len(inputs.values), inputs.values.dtype, inputs, *others)

    return blend
