"""Rows of planes on their way into a worker's scratch memory and out of it.

In ``scratch`` a row lies channel by channel, ``span`` columns of ``tiles_per_job`` tiles each, the
tiles interleaved pixel by pixel. Vectors of zeros tell widths: ``pixel`` is one pixel's lanes,
``strip`` a strip's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsecpu.kernels.conv.lazy import (
    add_sums,
    below,
    coefficients,
    completed,
    finish_strip,
    is_large,
    read,
    sums_of,
)
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.arithmetic import (
    add,
    count,
    first_of,
    folded,
    multiply,
    repeated,
    splat_like,
)
from sparsecpu.kernels.vectors.memory import load_like, store, store_output


class RowOfOutputs(NamedTuple):
    """A row of outputs in planes: which, its first column, and how many columns a tile has."""

    row: int
    column: int
    columns: int


class Lines(NamedTuple):
    """Lines of a row, one for each of some channels, as they lie in scratch memory or in a ring."""

    #: The first channel, and the one after the last.
    first: int
    end: int
    #: Where the first one's line begins, and how many numbers it is from a line to the next.
    start: int
    size: int
    #: Columns of planes from a pixel of a line to the next.
    skip: int


class Line(NamedTuple):
    """One channel of one tile of a row: where it lies in planes, and where in scratch."""

    tile: int
    channel: int
    there: int
    here: int


@kernel(inlined=True)
def all_lines(sizes, channels, start, lanes):
    """Return the lines of all channels of a row in scratch memory, which begin at ``start``."""
    size = np.int64(sizes.span) * sizes.tiles_per_job * lanes
    return Lines(np.int64(0), np.int64(channels), start, size, np.int64(sizes.skip_columns))


@kernel(inlined=True)
def _line(tile, number, planes, job, row, lines):
    """Return a tile's line, of the channel ``number`` lines behind the first one."""
    _, height, channels, width, lanes = planes.shape
    channel = lines.first + number
    there = (
        ((np.int64(tile) * height + row.row) * channels + channel) * width + row.column
    ) * lanes
    here = lines.start + number * lines.size
    return Line(tile, channel, there, here + (tile - job.first_tile) * lanes)


@kernel(inlined=True)
def _in_whole_strips(sizes, lines, columns, strip_pixels):
    """Return how many columns lie in planes as in registers: strip by strip."""
    alone = lines.skip * sizes.tiles_per_job == 1
    return columns // strip_pixels * strip_pixels if alone else 0


@kernel(part=True)
def stage_row(pixel, strip, inputs, mask, sizes, job, row, scratch, lines):
    """Lay out lines of a row of planes as the outputs of a job's row lie, at their pixels.

    Lanes of padding are 0, and so are the pixels that fill up the last strip.
    """
    tiles, lanes = inputs.values.shape[0], count(pixel)
    strip_pixels, columns = count(strip) // lanes, max(0, row.columns)
    skip, apart, channels = lines.skip, sizes.tiles_per_job, lines.end - lines.first
    existing = min(apart, tiles - job.first_tile)
    whole = _in_whole_strips(sizes, lines, columns, strip_pixels)
    if columns * existing < job.strips * strip_pixels:
        for i in range(channels):
            for p in range(whole * apart, job.strips * strip_pixels, strip_pixels):
                store(scratch, lines.start + i * lines.size + p * lanes, strip)
    for tile in range(job.first_tile, job.first_tile + existing):
        pixel_mask = load_like(mask, np.int64(tile) * lanes, pixel)
        strip_mask = repeated(pixel_mask, strip)
        for i in range(channels):
            line = _line(tile, i, inputs.values, job, row, lines)
            pending = coefficients(inputs, line.channel)
            for p in range(0, whole, strip_pixels):
                v = read(inputs, pending, line.there + p * lanes, strip)
                store(scratch, line.here + p * lanes, multiply(v, strip_mask))
            for p in range(whole, columns):
                u = read(inputs, pending, line.there + p * skip * lanes, pixel)
                store(scratch, line.here + p * apart * lanes, multiply(u, pixel_mask))


@kernel(part=True)
def write_row(pixel, strip, out, gate, mask, sizes, job, row, scratch, lines):
    """Write lines of a row of outputs that wait in memory, and add to the job's sums."""
    tiles, lanes = out.y.shape[0], count(pixel)
    strip_pixels, large = count(strip) // lanes, is_large(out.y)
    skip, apart, channels = lines.skip, sizes.tiles_per_job, lines.end - lines.first
    whole = _in_whole_strips(sizes, lines, row.columns, strip_pixels)
    for tile in range(job.first_tile, min(tiles, job.first_tile + apart)):
        pixel_mask = load_like(mask, np.int64(tile) * lanes, pixel)
        strip_mask = repeated(pixel_mask, strip)
        for i in range(channels):
            line = _line(tile, i, out.y, job, row, lines)
            pending, added = coefficients(gate, line.channel), coefficients(out.plus, line.channel)
            first, second = pixel, pixel
            u = load_like(scratch, line.here, pixel)
            centre = first_of(completed(u, line.there, out, added))
            shift = below(centre, pixel_mask)
            for p in range(0, whole, strip_pixels):
                v, there = load_like(scratch, line.here + p * lanes, strip), line.there + p * lanes
                v = completed(v, there, out, added)
                v, one, two = finish_strip(v, there, out, gate, pending, strip_mask, shift)
                first, second = add(first, one), add(second, two)
                store_output(out.y, there, v, large)
            for p in range(whole, row.columns):
                there = line.there + p * skip * lanes
                u = load_like(scratch, line.here + p * apart * lanes, pixel)
                u = completed(u, there, out, added)
                u, one, two = finish_strip(u, there, out, gate, pending, pixel_mask, shift)
                first, second = add(first, one), add(second, two)
                store_output(out.y, there, u, large)
            numbers = multiply(splat_like(scratch.dtype.type(row.columns), pixel), pixel_mask)
            add_sums(out, sums_of(job.number, line.channel, out), first, second, centre, numbers)


@kernel(inlined=True)
def write_strip(v, mask, out, gate, job, channel, place):
    """Write a strip of outputs from registers, and add to the job's sums."""
    v = completed(v, place, out, coefficients(out.plus, channel))
    pending, centre = coefficients(gate, channel), first_of(v)
    strip_mask = repeated(mask, v)
    v, first, second = finish_strip(v, place, out, gate, pending, strip_mask, below(centre, mask))
    store_output(out.y, place, v, is_large(out.y))
    add_sums(
        out, sums_of(job.number, channel, out), first, second, centre, folded(strip_mask, mask)
    )
