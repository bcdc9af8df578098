"""How kernels go over the taps of a group in a strip: what sees padding is left away."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sparsecpu.kernels.conv.grouped_parts import next_taps
from sparsecpu.kernels.conv.operands import SIDES
from sparsecpu.kernels.conv.strip_cut import Part, StripCut
from sparsecpu.kernels.machine.compile import kernel


class Ends(NamedTuple):
    """Whether a strip is the first of a row of planes, and whether it is the last."""

    first: bool
    last: bool


@kernel(inlined=True)
def ends_of(sizes, job, s):
    """Return if strip ``s`` of a job is the first of a row of outputs, and if it is the last."""
    after = np.int64(job.first_column) + sizes.span >= sizes.columns
    return Ends(job.first_column == 0 and s == 0, after and s == job.strips - 1)


@kernel(inlined=True)
def _none(state, pixel, problem, bases, k, last, apart, n):
    return state


@functools.cache
def over_taps(cut: StripCut, lanes: int, part_of: Callable[[int, int], Any]) -> Any:
    """Return the part of a kernel that goes over a group's taps in a strip, where they matter.

    ``part_of(begin, end)`` makes what does so with taps k to ``last`` in lanes from ``begin`` on
    and before ``end``: ``part(state, pixel, problem, bases, k, last, apart, n)`` returns the state.
    """

    def part(pixels: Part) -> Any:
        begin, end = pixels.begin * lanes, pixels.end * lanes
        return part_of(begin, end) if begin < end else _none

    left, right, ends_short = part(cut.first), part(cut.last), cut.rest < cut.strip
    whole, rest = part(Part(0, cut.strip)), part(Part(0, cut.rest))

    @kernel(inlined=True)
    def go_over(state, pixel, problem, bases, own, seen, ends):
        side, sides, n, apart = 0, SIDES, own.each, own.apart
        if ends.first:
            k, last, side = next_taps(problem.taps, own, seen, 0, 1)
            state = left(state, pixel, problem, bases, k, last, apart, n)
        if ends.last:
            sides = SIDES - 1
        while side < sides:
            k, last, side = next_taps(problem.taps, own, seen, side, sides)
            if ends_short and ends.last:
                state = rest(state, pixel, problem, bases, k, last, apart, n)
            else:
                state = whole(state, pixel, problem, bases, k, last, apart, n)
        if ends.last:
            k, last, side = next_taps(problem.taps, own, seen, sides, SIDES)
            state = right(state, pixel, problem, bases, k, last, apart, n)
        return state

    return go_over


@functools.cache
def over_all_taps(lanes: int, part_of: Callable[[int, int], Any]) -> Any:
    """Do as ``over_taps`` for filter r of a group alone, in all ``lanes`` of a strip."""
    whole = part_of(0, lanes)

    @kernel(inlined=True)
    def go_over(state, pixel, problem, bases, own, seen, r):
        side, n = 0, own.each
        while side < SIDES:
            k, last, side = next_taps(problem.taps, own, seen, side, SIDES)
            state = whole(state, pixel, problem, bases, k, last, own.apart + r * n, n)
        return state

    return go_over
