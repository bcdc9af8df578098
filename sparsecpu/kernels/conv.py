"""The three kernels of a sparse convolution, on planes ``(tiles, height, channels, width, lanes)``.

A worker takes a strip of a tile and goes down its rows. Before an output row it packs the input
rows that are new into its ring: there a pending normalisation and ReLU are applied and zeros stand
for the padding. Then each output channel is a sum over its taps, ``strip`` pixels of all lanes at
once, in registers: those of one block of channels for all outputs, then those of the next.

See ``sparsecpu.taps`` for what a tap is; ``plan`` holds, in this order, ``channels, height, width``
of the input; ``filters, height, width`` of the output; the input rows and columns from one output
to the next; the rows and columns of outputs that are counted (per phase); the padding on top and on
the left; the rows and columns of the output from one counted to the next; and the ring's ``step``,
``room`` and rows.

Lazy planes are ``relu(a * values + b * other + c)``, channel by channel: ``a`` is empty where
values are meant as they are, ``b`` where there is no other.

Sums over pixels (dW, the bias gradient, a normalisation's statistics) are made per job or per group
of jobs, which the sizes alone determine, and added in their order: any number of threads gives the
same bits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numba import prange

from sparsecpu.kernels.compile import AddressBook, kernel
from sparsecpu.kernels.pixels import in_order, numbers, settled, store_pixels
from sparsecpu.kernels.products import dot_taps
from sparsecpu.kernels.simd import (
    add,
    at,
    call_address,
    fence,
    fma,
    load,
    load_like,
    multiply,
    positive_part,
    prefetch,
    put,
    splat,
    splat_like,
    store,
    where_positive,
)

#: What is summed over pixels beside an output: nothing; y and its square; dx and dx times x.
NO_SUMS, MOMENTS, PRODUCTS = 0, 1, 2
_PLACE = (1 << 24) - 1
#: Bytes of an output from which on it is written past the caches: it would not stay there.
LARGE = 16_000_000


@kernel(part=True)
def pack(
    zero, four, values, other, a, b, c, relu, row, channels, width, first, across, step, room, ring,
    place,
):  # fmt: skip
    """Write columns of row ``row`` of the planes, from ``first`` on; a row below 0 is 0.

    ``zero`` is a vector of one pixel's lanes and ``four`` one of four pixels'; ``row`` counts
    rows of all tiles. Columns ``across`` apart come to stand side by side.
    """
    lanes = values.shape[4]
    for q in range(step):
        column = first + q
        low, high = 0, 0
        if row >= 0:
            low = min(room, max(0, (-column + across - 1) // across))
            high = max(low, min(room, (width - column + across - 1) // across))
        for channel in range(channels):
            here = place + (channel * step + q) * room * lanes
            source = ((row * channels + channel) * width + column) * lanes
            for j in range(low):
                store_pixels(ring, here + j * lanes, zero, zero)
            fours = low  # pixels that are read four at a time end here
            if across == 1:
                fours += (high - low) // 4 * 4
            pixel = across * lanes
            if a.shape[0] == 0:
                for j in range(low, fours, 4):
                    store_pixels(
                        ring, here + j * lanes, load_like(values, source + j * pixel, four), zero
                    )
                for j in range(fours, high):
                    store_pixels(
                        ring, here + j * lanes, load_like(values, source + j * pixel, zero), zero
                    )
            elif b.shape[0] == 0:
                wide, shift = splat_like(at(c, channel), four), splat_like(at(c, channel), zero)
                for j in range(low, fours, 4):
                    v = fma(wide, at(a, channel), load_like(values, source + j * pixel, four))
                    store_pixels(ring, here + j * lanes, positive_part(v) if relu else v, zero)
                for j in range(fours, high):
                    u = fma(shift, at(a, channel), load_like(values, source + j * pixel, zero))
                    store_pixels(ring, here + j * lanes, positive_part(u) if relu else u, zero)
            else:
                wide, shift = splat_like(at(c, channel), four), splat_like(at(c, channel), zero)
                for j in range(low, fours, 4):
                    v = fma(wide, at(a, channel), load_like(values, source + j * pixel, four))
                    v = fma(v, at(b, channel), load_like(other, source + j * pixel, four))
                    store_pixels(ring, here + j * lanes, v, zero)
                for j in range(fours, high):
                    u = fma(shift, at(a, channel), load_like(values, source + j * pixel, zero))
                    u = fma(u, at(b, channel), load_like(other, source + j * pixel, zero))
                    store_pixels(ring, here + j * lanes, u, zero)
            for j in range(high, room):
                store_pixels(ring, here + j * lanes, zero, zero)


@kernel(parallel=True)
def _spread_convolution(
    address, codes, starts, ends, phases, plan, data, values, other, a, b, c, relu, bias, y, relu_y,
    gate, gate_a, gate_c, sums, kind, mask, ring, bases, scratch,
):  # fmt: skip
    """Run a convolution's work on as many threads as there are rings."""
    for worker in prange(ring.shape[0]):
        arguments = (
            np.int64(worker), codes, starts, ends, phases, plan, data, values, other, a, b, c, relu,
            bias, y, relu_y, gate, gate_a, gate_c, sums, kind, mask, ring, bases, scratch,
        )  # fmt: skip
        call_address(address, arguments)


@kernel(parallel=True)
def _spread_gradient(
    address, codes, starts, ends, plan, values, other, a, b, c, relu, g, y, ga, gb, gc, mask, dw,
    dbias, ring, bases, scratch,
):  # fmt: skip
    """Run a filter gradient's work on as many threads as there are rings."""
    for worker in prange(ring.shape[0]):
        arguments = (
            np.int64(worker), codes, starts, ends, plan, values, other, a, b, c, relu, g, y, ga, gb,
            gc, mask, dw, dbias, ring, bases, scratch,
        )  # fmt: skip
        call_address(address, arguments)


@functools.cache
def convolution_kernel(lanes: int, strip: int) -> Callable:
    """Return the kernel of ``y = W * x + bias``, which is also that of dx.

    Parameters
    ----------
    lanes : int
        Samples per tile.
    strip : int
        Pixels that are computed at once.

    Returns
    -------
    callable
        ``convolve(codes, starts, ends, phases, plan, data, values, other, a, b, c, relu, bias, y,
        relu_y, gate, gate_a, gate_c, sums, kind, mask, ring, bases, scratch)``. ``relu_y`` makes y
        ``max(y, 0)``. Where ``gate`` is not empty, y is 0 where ``gate_a * gate + gate_c <= 0``
        (``gate <= 0`` with an empty ``gate_a``). ``sums`` is ``(jobs, filters, 2, lanes)``, for the
        two sums of ``kind``; ``mask`` is ``(tiles, lanes)``, 0 for padding lanes. ``ring``,
        ``bases`` and ``scratch`` are work space, one row for each worker.
    """
    width, four_lanes = lanes * strip, 4 * lanes

    @kernel(part=True)
    def work(
        worker, codes, starts, ends, phases, plan, data, values, other, a, b, c, relu, bias, y,
        relu_y, gate, gate_a, gate_c, sums, kind, mask, ring, bases, scratch,
    ):  # fmt: skip
        channels, height, columns, filters, out_height, out_columns = plan[:6]
        down, across, rows, pixels, top, left, skip_rows, skip_columns, step, room, depth = plan[6:]
        tiles, workers = values.shape[0], ring.shape[0]
        strips = (pixels + strip - 1) // strip
        row_size = channels * step * room * lanes
        zero, one = data.dtype.type(0), data.dtype.type(1)
        blank, four = splat(zero, lanes), splat(zero, four_lanes)
        mine, slots = np.int64(worker) * numbers(ring), np.int64(worker) * bases.shape[1]
        desk, desks = np.int64(worker) * scratch.shape[1], scratch.shape[1] // width
        large = y.size * y.itemsize >= LARGE
        for job in range(worker, tiles * strips, workers):
            tile, first = job // strips, (job % strips) * strip
            if kind != NO_SUMS:
                sums[job] = 0
            lane_mask = load(mask, np.int64(tile) * lanes, lanes)
            ready = -top
            for t in range(rows):
                oldest = t * down - top
                for row in range(max(ready, oldest), oldest + depth):
                    inside = tile * height + row if 0 <= row < height else -1
                    place = mine + ((row + top) % depth) * row_size
                    pack(blank, four, values, other, a, b, c, relu, np.int64(inside), channels,
                         columns, first * across - left, across, step, room, ring,
                         place)  # fmt: skip
                ready = oldest + depth
                soon = max(0, min(down, height - ready)) * channels
                next_rows = (tile * height + ready) * channels * columns + first * across
                for d in range(depth):
                    bases[worker, d] = mine + ((oldest + top + d) % depth) * row_size
                for phase in range(phases.shape[0]):
                    row_out = t * skip_rows + phases[phase, 0]
                    if row_out >= out_height:
                        continue
                    first_out = first * skip_columns + phases[phase, 1]
                    # pixels of the strip that exist
                    inside = (out_columns - first_out + skip_columns - 1) // skip_columns
                    inside = min(np.int64(strip), inside)
                    plain = kind == NO_SUMS and gate.shape[0] == 0
                    plain = plain and skip_columns == 1 and inside == strip
                    begin, stop = phases[phase, 2], phases[phase, 3]
                    turns = (stop - begin) * filters
                    for turn in range(turns):
                        segment, i = begin + turn // filters, turn % filters
                        if phase == 0:  # the next rows come nearer while this one is computed
                            for n in range(turn * soon // turns, (turn + 1) * soon // turns):
                                place = (next_rows + n * columns) * lanes
                                prefetch(values, place, width, 2)
                                if b.shape[0] > 0:
                                    prefetch(other, place, width, 2)
                        here = (tile * out_height + row_out) * filters + i
                        here = (here * out_columns + first_out) * lanes
                        last = segment == stop - 1
                        if gate.shape[0] > 0 and skip_columns == 1:
                            if last:
                                prefetch(gate, here, width, 1)
                            elif segment == stop - 2:
                                prefetch(gate, here, width, 2)
                        waits = desk + min(np.int64(i), desks - 1) * width
                        if segment == begin:
                            start = zero
                            if bias.shape[0] > 0:
                                start = at(bias, np.int64(i))
                            y_i = splat(start, width)
                        else:
                            y_i = load(scratch, waits, width)
                        k = at(starts, segment * filters + i)
                        end = at(ends, segment * filters + i)
                        if width <= 64:  # a second sum hides an FMA's latency
                            other_half = splat(zero, width)
                            while k + 2 <= end:
                                code = np.int64(at(codes, k))
                                j = at(bases, slots + (code >> 24))
                                j += (code & _PLACE) * lanes
                                y_i = fma(y_i, at(data, k), load(ring, j, width))
                                code = np.int64(at(codes, k + 1))
                                j = at(bases, slots + (code >> 24))
                                j += (code & _PLACE) * lanes
                                other_half = fma(other_half, at(data, k + 1), load(ring, j, width))
                                k += 2
                            y_i = add(y_i, other_half)
                        while k < end:
                            code = np.int64(at(codes, k))
                            j = at(bases, slots + (code >> 24)) + (code & _PLACE) * lanes
                            y_i = fma(y_i, at(data, k), load(ring, j, width))
                            k += 1
                        if not last:
                            store(scratch, waits, y_i)
                            continue
                        y_i = settled(ring, y_i, lanes)
                        if relu_y:
                            y_i = positive_part(y_i)
                        if plain:
                            put(y, here, y_i, large)
                            continue
                        store(scratch, waits, y_i)
                        here_sums = ((np.int64(job) * filters + i) * 2) * lanes
                        if kind != NO_SUMS:
                            s = load(sums, here_sums, lanes)
                            q = load(sums, here_sums + lanes, lanes)
                        slope, shift = one, zero
                        if gate_a.shape[0] > 0:
                            slope, shift = at(gate_a, np.int64(i)), at(gate_c, np.int64(i))
                        for p in range(inside):
                            piece = load(scratch, waits + p * lanes, lanes)
                            place = here + p * skip_columns * lanes
                            if gate.shape[0] > 0:
                                v = load(gate, place, lanes)
                                lifted = fma(splat(shift, lanes), slope, v)
                                piece = where_positive(piece, lifted)
                                if kind == PRODUCTS:
                                    masked = multiply(piece, lane_mask)
                                    s = add(s, masked)
                                    q = add(q, multiply(masked, v))
                            if kind == MOMENTS:
                                masked = multiply(piece, lane_mask)
                                s = add(s, masked)
                                q = add(q, multiply(masked, masked))
                            put(y, place, piece, large)
                        if kind != NO_SUMS:
                            store(sums, here_sums, s)
                            store(sums, here_sums + lanes, q)
        fence()

    book = AddressBook(work)

    def convolve(*arguments):
        _spread_convolution(
            book.address((arguments[5].dtype, arguments[-3].dtype), *arguments), *arguments
        )

    return convolve


@functools.cache
def filter_gradient_kernel(lanes: int, strip: int) -> Callable:
    """Return the kernel of dW at the nonzeros, and of the bias gradient.

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
        dw, dbias, ring, bases, scratch)``: ``codes, starts, ends`` are the padded ones; dy is
        ``ga * g + gb * y + gc``; ``dw`` is ``(groups, padded nnz)`` and ``dbias`` ``(groups,
        filters, lanes)``, or empty, each with one sum for each group of jobs.
    """
    width, four_lanes = lanes * strip, 4 * lanes

    @kernel(part=True)
    def work(
        worker, codes, starts, ends, plan, values, other, a, b, c, relu, g, y, ga, gb, gc, mask,
        dw, dbias, ring, bases, scratch,
    ):  # fmt: skip
        channels, height, columns, filters = plan[:4]
        down, across, rows, pixels, top, left = plan[6:12]
        step, room, depth = plan[14:17]
        tiles, workers, groups = values.shape[0], ring.shape[0], dw.shape[0]
        strips = (pixels + strip - 1) // strip
        row_size, jobs = channels * step * room * lanes, tiles * strips
        zero = g.dtype.type(0)
        nothing, blank, four = splat(zero, width), splat(zero, lanes), splat(zero, four_lanes)
        mine, slots = np.int64(worker) * numbers(ring), np.int64(worker) * bases.shape[1]
        desk, desks = np.int64(worker) * scratch.shape[1], scratch.shape[1] // width
        turns = starts.shape[0] * filters
        for group in range(worker, groups, workers):
            dw[group] = 0
            if dbias.shape[0] > 0:
                dbias[group] = 0
            base_dw = np.int64(group) * dw.shape[1]
            for job in range(group * jobs // groups, (group + 1) * jobs // groups):
                tile, first = job // strips, (job % strips) * strip
                inside = min(strip, pixels - first)
                if inside < strip:
                    for n in range(desks):
                        store(scratch, desk + n * width, nothing)
                lane_mask = load(mask, np.int64(tile) * lanes, lanes)
                ready = -top
                for t in range(rows):
                    oldest = t * down - top
                    for row in range(max(ready, oldest), oldest + depth):
                        within = tile * height + row if 0 <= row < height else -1
                        place = mine + ((row + top) % depth) * row_size
                        pack(blank, four, values, other, a, b, c, relu, np.int64(within), channels,
                             columns, first * across - left, across, step, room, ring,
                             place)  # fmt: skip
                    ready = oldest + depth
                    soon = max(0, min(down, height - ready)) * channels
                    next_rows = (tile * height + ready) * channels * columns + first * across
                    for d in range(depth):
                        bases[worker, d] = mine + ((oldest + top + d) % depth) * row_size
                    for turn in range(turns):
                        segment, i = turn // filters, turn % filters
                        for n in range(turn * soon // turns, (turn + 1) * soon // turns):
                            prefetch(values, (next_rows + n * columns) * lanes, width, 2)
                        waits = desk + min(np.int64(i), desks - 1) * width
                        if segment == 0:
                            here = (tile * rows + t) * filters + i
                            here = (here * pixels + first) * lanes
                            if t + 1 < rows:
                                ahead = here + filters * pixels * lanes
                                prefetch(g, ahead, width, 2)
                                if gb.shape[0] > 0:
                                    prefetch(y, ahead, width, 2)
                            total = splat(zero, lanes)
                            for p in range(inside):
                                piece = load(g, here + p * lanes, lanes)
                                if ga.shape[0] > 0:
                                    piece = fma(splat(at(gc, np.int64(i)), lanes),
                                                at(ga, np.int64(i)), piece)  # fmt: skip
                                if gb.shape[0] > 0:
                                    piece = fma(piece, at(gb, np.int64(i)),
                                                load(y, here + p * lanes, lanes))  # fmt: skip
                                piece = multiply(piece, lane_mask)
                                total = add(total, piece)
                                store(scratch, waits + p * lanes, piece)
                            if dbias.shape[0] > 0:
                                spot = (np.int64(group) * filters + i) * lanes
                                store(dbias, spot, add(load(dbias, spot, lanes), total))
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


@kernel(parallel=True)
def add_groups(parts, places, out):
    """``out[k] = sum over groups of parts[:, places[k]]``, the groups in order."""
    for k in prange(out.shape[0]):
        total = parts[0, places[k]]
        for group in range(1, parts.shape[0]):
            total += parts[group, places[k]]
        out[k] = total
