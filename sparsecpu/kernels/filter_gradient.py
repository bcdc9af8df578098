"""dW of a sparse convolution by itself: sums over pixels, at the nonzeros.

Where the CPU has registers enough, ``kernels.conv`` computes it along with dx. See there for the
ring, the jobs and the plan.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numba import prange

from sparsecpu.kernels.compile import AddressBook, kernel
from sparsecpu.kernels.pixels import in_order, numbers
from sparsecpu.kernels.products import dot_taps
from sparsecpu.kernels.rows import pack, stage
from sparsecpu.kernels.simd import add, call_address, load, prefetch, splat, store


@kernel(parallel=True)
def _spread_gradient(
    address, codes, starts, ends, plan, values, other, a, b, c, relu, g, y, ga, gb, gc, mask, dw,
    ring, bases, scratch,
):  # fmt: skip
    """Run a filter gradient's work on as many threads as there are rings."""
    for worker in prange(ring.shape[0]):
        arguments = (
            np.int64(worker), codes, starts, ends, plan, values, other, a, b, c, relu, g, y, ga, gb,
            gc, mask, dw, ring, bases, scratch,
        )  # fmt: skip
        call_address(address, arguments)


@functools.cache
def filter_gradient_kernel(lanes: int, strip: int) -> Callable:
    """Return the kernel of dW at the nonzeros.

    Parameters
    ----------
    lanes : int
        Samples per tile.
    strip : int
        Pixels that are looked at at once.

    Returns
    -------
    callable
        ``gradient(codes, starts, ends, plan, values, other, a, b, c, relu, g, y, ga, gb, gc, mask,
        dw, ring, bases, scratch)``: ``codes, starts, ends`` are the padded ones; dy is
        ``ga * g + gb * y + gc``; ``dw`` is ``(groups, padded nnz)``, with one sum for each group of
        jobs.
    """
    width, four_lanes = lanes * strip, 4 * lanes

    @kernel(part=True)
    def work(
        worker, codes, starts, ends, plan, values, other, a, b, c, relu, g, y, ga, gb, gc, mask,
        dw, ring, bases, scratch,
    ):  # fmt: skip
        channels, height, columns, filters = plan[:4]
        down, across, rows, pixels, top, left = plan[6:12]
        step, room, depth, chunk, abreast, bands = plan[14:]
        tiles, workers, groups = values.shape[0], ring.shape[0], dw.shape[0]
        chunks, apart = (pixels + chunk - 1) // chunk, abreast * lanes
        row_size = channels * step * room * apart
        jobs = (tiles + abreast - 1) // abreast * chunks * bands
        zero = g.dtype.type(0)
        blank, four, wide = splat(zero, lanes), splat(zero, four_lanes), splat(zero, width)
        mine, slots = np.int64(worker) * numbers(ring), np.int64(worker) * bases.shape[1]
        desk = np.int64(worker) * scratch.shape[1]
        turns = starts.shape[0] * filters
        for group in range(worker, groups, workers):
            dw[group] = 0
            base_dw = np.int64(group) * dw.shape[1]
            for job in range(group * jobs // groups, (group + 1) * jobs // groups):
                leader = job // (chunks * bands) * abreast
                first, band = job // bands % chunks * chunk, job % bands
                inside = min(chunk, pixels - first)
                strips = (inside * abreast + strip - 1) // strip
                ready, last = -(1 << 30), (band + 1) * rows // bands
                for t in range(band * rows // bands, last):
                    oldest = t * down - top
                    for row in range(max(ready, oldest), oldest + depth):
                        for tile in range(leader, leader + abreast):
                            exists = 0 <= row < height and tile < tiles
                            within = tile * height + row if exists else -1
                            place = mine + (row + top) % depth * row_size + (tile - leader) * lanes
                            pack(blank, four, values, other, a, b, c, relu, np.int64(within),
                                 channels, columns, first * across - left, across, step, room,
                                 apart, ring, place)  # fmt: skip
                    ready = oldest + depth
                    soon = max(0, min(down, height - ready)) * channels * strips
                    if abreast > 1:  # small planes, which are near
                        soon = 0
                    coming = (leader * height + ready) * channels * columns + first * across
                    owed, ahead = 0, 0
                    stage(blank, wide, g, y, ga, gb, gc, False, mask, t, first, 1, inside, leader,
                          strips, chunk, abreast, scratch, desk)  # fmt: skip
                    for s in range(strips):
                        for d in range(depth):
                            bases[worker, d] = mine + ((oldest + top + d) % depth) * row_size
                            bases[worker, d] += s * strip * lanes
                        segment, i = 0, np.int64(-1)
                        for _ in range(turns):
                            i += 1
                            if i == filters:
                                segment, i = segment + 1, np.int64(0)
                            owed += soon
                            while owed >= strips * turns:
                                owed -= strips * turns
                                prefetch(values, (coming + ahead * strip) * lanes, width, 2)
                                ahead += 1
                                if ahead == strips:
                                    ahead, coming = 0, coming + columns
                            if t + 1 < last and segment == 0 and abreast == 1:
                                place = (leader * rows + t + 1) * filters + i
                                place = (place * pixels + first + s * strip) * lanes
                                prefetch(g, place, width, 2)
                                if gb.shape[0] > 0:
                                    prefetch(y, place, width, 2)
                            waits = desk + (np.int64(i) * chunk * abreast + s * strip) * lanes
                            dy = in_order(ring, load(scratch, waits, width), lanes)
                            k, end = starts[segment, i], ends[segment, i]
                            while k + 16 <= end:
                                found = dot_taps(ring, codes, bases, k, slots, dy, lanes, 16)
                                spot = base_dw + k
                                store(dw, spot, add(load(dw, spot, 16), found))
                                k += 16
                            if k + 8 <= end:
                                found = dot_taps(ring, codes, bases, k, slots, dy, lanes, 8)
                                spot = base_dw + k
                                store(dw, spot, add(load(dw, spot, 8), found))
                                k += 8
                            if k + 4 <= end:
                                found = dot_taps(ring, codes, bases, k, slots, dy, lanes, 4)
                                spot = base_dw + k
                                store(dw, spot, add(load(dw, spot, 4), found))
                                k += 4

    book = AddressBook(work)

    def gradient(*arguments):
        _spread_gradient(
            book.address((arguments[4].dtype, arguments[-3].dtype), *arguments), *arguments
        )

    return gradient
