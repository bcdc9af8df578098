"""The three kernels of a sparse convolution, on planes ``(tiles, height, channels, width, lanes)``.

A worker takes a chunk of a tile's columns and goes down its rows. Before an output row it packs the
input rows that are new into its ring: there a pending normalisation and ReLU are applied and zeros
stand for the padding. Then, strip by strip, each output channel is a sum over its taps, ``strip``
pixels of all lanes at once, in registers: those of one block of channels for all outputs, then
those of the next. The sums of a row wait in ``scratch`` until they leave together.

Rows that would not fill a strip are computed for several tiles *abreast*: pixel by pixel, that of
one tile stands beside that of the next, in the ring as in the sums. Bands of rows then make as many
jobs as there were tiles.

See ``sparsecpu.taps`` for what a tap is; ``plan`` holds, in this order, ``channels, height, width``
of the input; ``filters, height, width`` of the output; the input rows and columns from one output
to the next; the rows and columns of outputs that are counted (per phase); the padding on top and on
the left; the rows and columns of the output from one counted to the next; the ring's ``step``,
``room`` and rows; the columns of a chunk; the tiles abreast, and the bands of rows.

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
    folded,
    load,
    load_like,
    multiply,
    positive_part,
    prefetch,
    put,
    repeated,
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
    zero, four, values, other, a, b, c, relu, row, channels, width, first, across, step, room,
    apart, ring, place,
):  # fmt: skip
    """Write columns of row ``row`` of the planes, from ``first`` on; a row below 0 is 0.

    ``zero`` is a vector of one pixel's lanes and ``four`` one of four pixels'; ``row`` counts
    rows of all tiles. Columns ``across`` apart come to stand side by side, ``apart`` numbers from
    one to the next, more than a pixel's where other tiles' go in between.
    """
    lanes = values.shape[4]
    for q in range(step):
        column = first + q
        low, high = 0, 0
        if row >= 0:
            low = min(room, max(0, (-column + across - 1) // across))
            high = max(low, min(room, (width - column + across - 1) // across))
        for channel in range(channels):
            here = place + (channel * step + q) * room * apart
            source = ((row * channels + channel) * width + column) * lanes
            for j in range(low):
                store_pixels(ring, here + j * apart, zero, zero)
            fours = low  # pixels that are read four at a time end here
            if across == 1 and apart == lanes:
                fours += (high - low) // 4 * 4
            pixel = across * lanes
            if a.shape[0] == 0:
                for j in range(low, fours, 4):
                    store_pixels(
                        ring, here + j * apart, load_like(values, source + j * pixel, four), zero
                    )
                for j in range(fours, high):
                    store_pixels(
                        ring, here + j * apart, load_like(values, source + j * pixel, zero), zero
                    )
            elif b.shape[0] == 0:
                wide, shift = splat_like(at(c, channel), four), splat_like(at(c, channel), zero)
                for j in range(low, fours, 4):
                    v = fma(wide, at(a, channel), load_like(values, source + j * pixel, four))
                    store_pixels(ring, here + j * apart, positive_part(v) if relu else v, zero)
                for j in range(fours, high):
                    u = fma(shift, at(a, channel), load_like(values, source + j * pixel, zero))
                    store_pixels(ring, here + j * apart, positive_part(u) if relu else u, zero)
            else:
                wide, shift = splat_like(at(c, channel), four), splat_like(at(c, channel), zero)
                for j in range(low, fours, 4):
                    v = fma(wide, at(a, channel), load_like(values, source + j * pixel, four))
                    v = fma(v, at(b, channel), load_like(other, source + j * pixel, four))
                    store_pixels(ring, here + j * apart, v, zero)
                for j in range(fours, high):
                    u = fma(shift, at(a, channel), load_like(values, source + j * pixel, zero))
                    u = fma(u, at(b, channel), load_like(other, source + j * pixel, zero))
                    store_pixels(ring, here + j * apart, u, zero)
            for j in range(high, room):
                store_pixels(ring, here + j * apart, zero, zero)


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
        down, across, rows, pixels, top, left, skip_rows, skip_columns = plan[6:14]
        step, room, depth, chunk, abreast, bands = plan[14:]
        tiles, workers = values.shape[0], ring.shape[0]
        chunks, apart = (pixels + chunk - 1) // chunk, abreast * lanes
        row_size = channels * step * room * apart
        zero, one = data.dtype.type(0), data.dtype.type(1)
        blank, four = splat(zero, lanes), splat(zero, four_lanes)
        mine, slots = np.int64(worker) * numbers(ring), np.int64(worker) * bases.shape[1]
        desk = np.int64(worker) * scratch.shape[1]
        large = y.size * y.itemsize >= LARGE
        for job in range(worker, (tiles + abreast - 1) // abreast * chunks * bands, workers):
            leader = job // (chunks * bands) * abreast
            first, band = job // bands % chunks * chunk, job % bands
            strips = (min(chunk, pixels - first) * abreast + strip - 1) // strip
            if kind != NO_SUMS:
                sums[job] = 0
            ready = -(1 << 30)
            for t in range(band * rows // bands, (band + 1) * rows // bands):
                oldest = t * down - top
                for row in range(max(ready, oldest), oldest + depth):
                    for tile in range(leader, leader + abreast):
                        within = tile * height + row if 0 <= row < height and tile < tiles else -1
                        place = mine + ((row + top) % depth) * row_size + (tile - leader) * lanes
                        pack(blank, four, values, other, a, b, c, relu, np.int64(within), channels,
                             columns, first * across - left, across, step, room, apart, ring,
                             place)  # fmt: skip
                ready = oldest + depth
                soon = max(0, min(down, height - ready)) * channels * strips
                if abreast > 1:  # small planes, which are near
                    soon = 0
                coming = (leader * height + ready) * channels * columns + first * across
                owed, ahead = 0, 0
                for phase in range(phases.shape[0]):
                    row_out = t * skip_rows + phases[phase, 0]
                    if row_out >= out_height:
                        continue
                    begin, stop = phases[phase, 2], phases[phase, 3]
                    turns = strips * (stop - begin) * filters
                    for s in range(strips):
                        for d in range(depth):
                            bases[worker, d] = mine + ((oldest + top + d) % depth) * row_size
                            bases[worker, d] += s * strip * lanes
                        segment, i = begin, np.int64(-1)
                        for _ in range((stop - begin) * filters):
                            i += 1
                            if i == filters:
                                segment, i = segment + 1, np.int64(0)
                            if phase == 0:  # the next rows come nearer meanwhile
                                owed += soon
                                while owed >= turns:
                                    owed -= turns
                                    place = (coming + ahead * strip) * lanes
                                    prefetch(values, place, width, 2)
                                    if b.shape[0] > 0:
                                        prefetch(other, place, width, 2)
                                    ahead += 1
                                    if ahead == strips:
                                        ahead, coming = 0, coming + columns
                            waits = desk + (np.int64(i) * chunk * abreast + s * strip) * lanes
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
                                more = splat(zero, width)
                                while k + 2 <= end:
                                    code = np.int64(at(codes, k))
                                    j = at(bases, slots + (code >> 24))
                                    j += (code & _PLACE) * lanes
                                    y_i = fma(y_i, at(data, k), load(ring, j, width))
                                    code = np.int64(at(codes, k + 1))
                                    j = at(bases, slots + (code >> 24))
                                    j += (code & _PLACE) * lanes
                                    more = fma(more, at(data, k + 1), load(ring, j, width))
                                    k += 2
                                y_i = add(y_i, more)
                            while k < end:
                                code = np.int64(at(codes, k))
                                j = at(bases, slots + (code >> 24)) + (code & _PLACE) * lanes
                                y_i = fma(y_i, at(data, k), load(ring, j, width))
                                k += 1
                            if segment == stop - 1:
                                y_i = settled(ring, y_i, lanes)
                            store(scratch, waits, y_i)
                    first_out = first * skip_columns + phases[phase, 1]
                    # pixels of the chunk that exist
                    inside = (out_columns - first_out + skip_columns - 1) // skip_columns
                    inside = min(chunk, inside)
                    whole = inside // strip * strip if skip_columns * abreast == 1 else 0
                    for turn in range(min(abreast, tiles - leader) * filters):
                        tile, i = leader + turn // filters, turn % filters
                        lane_mask = load(mask, np.int64(tile) * lanes, lanes)
                        wide_mask = repeated(lane_mask, width)
                        here = (tile * out_height + row_out) * filters + i
                        here = (here * out_columns + first_out) * lanes
                        waits = desk + (np.int64(i) * chunk * abreast + tile - leader) * lanes
                        here_sums = ((np.int64(job) * filters + i) * 2) * lanes
                        total, product = blank, blank
                        slope, shift = one, zero
                        if gate_a.shape[0] > 0:
                            slope, shift = at(gate_a, np.int64(i)), at(gate_c, np.int64(i))
                        for p in range(0, whole, strip):
                            y_i, place = load(scratch, waits + p * lanes, width), here + p * lanes
                            if relu_y:
                                y_i = positive_part(y_i)
                            if gate.shape[0] > 0:
                                v = load(gate, place, width)
                                y_i = where_positive(y_i, fma(splat(shift, width), slope, v))
                                if kind == PRODUCTS:
                                    masked = multiply(y_i, wide_mask)
                                    total = add(total, folded(masked, lanes))
                                    product = add(product, folded(multiply(masked, v), lanes))
                            if kind == MOMENTS:
                                masked = multiply(y_i, wide_mask)
                                total = add(total, folded(masked, lanes))
                                product = add(product, folded(multiply(masked, masked), lanes))
                            put(y, place, y_i, large)
                        for p in range(whole, inside):
                            piece = load(scratch, waits + p * apart, lanes)
                            place = here + p * skip_columns * lanes
                            if relu_y:
                                piece = positive_part(piece)
                            if gate.shape[0] > 0:
                                u = load(gate, place, lanes)
                                piece = where_positive(piece, fma(splat(shift, lanes), slope, u))
                                if kind == PRODUCTS:
                                    part = multiply(piece, lane_mask)
                                    total = add(total, part)
                                    product = add(product, multiply(part, u))
                            if kind == MOMENTS:
                                part = multiply(piece, lane_mask)
                                total = add(total, part)
                                product = add(product, multiply(part, part))
                            put(y, place, piece, large)
                        if kind != NO_SUMS:
                            store(sums, here_sums, add(load(sums, here_sums, lanes), total))
                            here_sums += lanes
                            store(sums, here_sums, add(load(sums, here_sums, lanes), product))
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
        step, room, depth, chunk, abreast, bands = plan[14:]
        tiles, workers, groups = values.shape[0], ring.shape[0], dw.shape[0]
        chunks, apart = (pixels + chunk - 1) // chunk, abreast * lanes
        row_size = channels * step * room * apart
        jobs = (tiles + abreast - 1) // abreast * chunks * bands
        zero, one = g.dtype.type(0), g.dtype.type(1)
        nothing, blank, four = splat(zero, width), splat(zero, lanes), splat(zero, four_lanes)
        mine, slots = np.int64(worker) * numbers(ring), np.int64(worker) * bases.shape[1]
        desk = np.int64(worker) * scratch.shape[1]
        turns = starts.shape[0] * filters
        for group in range(worker, groups, workers):
            dw[group] = 0
            if dbias.shape[0] > 0:
                dbias[group] = 0
            base_dw = np.int64(group) * dw.shape[1]
            for job in range(group * jobs // groups, (group + 1) * jobs // groups):
                leader = job // (chunks * bands) * abreast
                first, band = job // bands % chunks * chunk, job % bands
                inside, there = min(chunk, pixels - first), min(abreast, tiles - leader)
                strips = (inside * abreast + strip - 1) // strip
                whole = inside // strip * strip if abreast == 1 else 0
                # what no pixel stands for is 0
                for i in range(filters if inside * there < strips * strip else 0):
                    for s in range(whole, strips * strip, strip):
                        spot = desk + (np.int64(i) * chunk * abreast + s) * lanes
                        store(scratch, spot, nothing)
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
                    for turn in range(there * filters):
                        tile, i = leader + turn // filters, turn % filters
                        lane_mask = load(mask, np.int64(tile) * lanes, lanes)
                        wide_mask = repeated(lane_mask, width)
                        here = (tile * rows + t) * filters + i
                        here = (here * pixels + first) * lanes
                        waits = desk + (np.int64(i) * chunk * abreast + tile - leader) * lanes
                        slope, shift, more = one, zero, zero
                        if ga.shape[0] > 0:
                            slope, shift = at(ga, np.int64(i)), at(gc, np.int64(i))
                        if gb.shape[0] > 0:
                            more = at(gb, np.int64(i))
                        total = blank
                        for p in range(0, whole, strip):
                            dy = load(g, here + p * lanes, width)
                            if ga.shape[0] > 0:
                                dy = fma(splat(shift, width), slope, dy)
                            if gb.shape[0] > 0:
                                dy = fma(dy, more, load(y, here + p * lanes, width))
                            dy = multiply(dy, wide_mask)
                            total = add(total, folded(dy, lanes))
                            store(scratch, waits + p * lanes, dy)
                        for p in range(whole, inside):
                            piece = load(g, here + p * lanes, lanes)
                            if ga.shape[0] > 0:
                                piece = fma(splat(shift, lanes), slope, piece)
                            if gb.shape[0] > 0:
                                piece = fma(piece, more, load(y, here + p * lanes, lanes))
                            piece = multiply(piece, lane_mask)
                            total = add(total, piece)
                            store(scratch, waits + p * apart, piece)
                        if dbias.shape[0] > 0:
                            spot = (np.int64(group) * filters + i) * lanes
                            store(dbias, spot, add(load(dbias, spot, lanes), total))
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


@kernel(parallel=True)
def add_groups(parts, places, out):
    """``out[k] = sum over groups of parts[:, places[k]]``, the groups in order."""
    for k in prange(out.shape[0]):
        total = parts[0, places[k]]
        for group in range(1, parts.shape[0]):
            total += parts[group, places[k]]
        out[k] = total
