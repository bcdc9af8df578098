"""The kernel of a sparse convolution and of its gradients.

Planes are ``(tiles, height, channels, width, lanes)``.

A worker takes a chunk of a tile's columns and goes down its rows. Before an output row it packs the
input rows that are new into its ring: there a pending normalisation and ReLU are applied and zeros
stand for the padding. Then each output channel is a sum over its taps, ``strip`` pixels of all
lanes at once, in registers, strip by strip; or, where taps are cut into blocks of channels, those
of one block for all outputs of a strip and then those of the next, while sums wait in ``scratch``.
A strip that is done is gated, summed and written at once; outputs a stride apart, and those of
tiles abreast, wait in ``scratch`` until their row is whole.

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

Sums over pixels (dW, a normalisation's statistics) are made per job or per group of jobs, which the
sizes alone determine, and added in their order: any number of threads gives the same bits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numba import prange

from sparsecpu.kernels.compile import AddressBook, kernel
from sparsecpu.kernels.pixels import in_order, numbers, settled
from sparsecpu.kernels.products import dot_and_add_taps
from sparsecpu.kernels.rows import NO_SUMS, leave, pack, stage, write
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
    repeated,
    splat,
    store,
)

_PLACE = (1 << 24) - 1
#: What takes no detour: inputs, read where they lie instead of from a ring (filters of one pixel
#: see no padding); outputs, written from registers instead of row by row from ``scratch``; what
#: outputs are the gradient of, loaded where it lies instead of staged there.
READ, WRITE, BESIDE = 1, 2, 4


@kernel(parallel=True)
def _spread_convolution(
    address, codes, starts, ends, phases, plan, data, values, other, a, b, c, relu, bias, y, relu_y,
    x, x_other, x_a, x_b, x_c, relu_x, gated, sums, kind, mask, dw, straight, ring, bases, scratch,
):  # fmt: skip
    """Run a convolution's work on as many threads as there are scratch rows."""
    for worker in prange(scratch.shape[0]):
        arguments = (
            np.int64(worker), codes, starts, ends, phases, plan, data, values, other, a, b, c, relu,
            bias, y, relu_y, x, x_other, x_a, x_b, x_c, relu_x, gated, sums, kind, mask, dw,
            straight, ring, bases, scratch,
        )  # fmt: skip
        call_address(address, arguments)


@functools.cache
def convolution_kernel(lanes: int, strip: int, gradient: bool = False) -> Callable:
    """Return the kernel of ``y = W * x + bias``, or that of dx, which may give dW along with it.

    Parameters
    ----------
    lanes : int
        Samples per tile.
    strip : int
        Pixels that are computed at once.
    gradient : bool
        Whether it also makes dW, from the taps of dx: a pixel of dy that has come into registers
        is multiplied by its weight for dx and by x for dW.

    Returns
    -------
    callable
        ``convolve(codes, starts, ends, phases, plan, data, values, other, a, b, c, relu, bias, y,
        relu_y, x, x_other, x_a, x_b, x_c, relu_x, gated, sums, kind, mask, dw, straight, ring,
        bases, scratch)``.
        ``relu_y`` makes y ``max(y, 0)``. Where y is a gradient, ``x`` is what it is the gradient
        of, ``x_a * x + x_c`` (``x`` with an empty ``x_a``), and its ReLU; ``gated`` makes y 0 where
        that is not positive. ``sums`` is ``(jobs, filters, 2, lanes)``, for the two sums of
        ``kind``; ``mask`` is ``(tiles, lanes)``, 0 for padding lanes. ``dw`` is ``(groups,
        codes)``, with one sum for each group of jobs; rows of codes then come in multiples of four,
        and an empty y is not written. ``straight`` adds up what takes no detour: ``READ``,
        ``WRITE``, ``BESIDE``. ``ring``, ``bases`` and ``scratch`` are work space, one row for each
        worker; where inputs are read straight, ``ring`` is them.
    """
    width, four_lanes = lanes * strip, 4 * lanes

    @kernel(part=True)
    def work(
        worker, codes, starts, ends, phases, plan, data, values, other, a, b, c, relu, bias, y,
        relu_y, x, x_other, x_a, x_b, x_c, relu_x, gated, sums, kind, mask, dw, straight, ring,
        bases, scratch,
    ):  # fmt: skip
        channels, height, columns, filters, out_height, out_columns = plan[:6]
        down, across, rows, pixels, top, left, skip_rows, skip_columns = plan[6:14]
        step, room, depth, chunk, abreast, bands = plan[14:]
        tiles, workers = values.shape[0], scratch.shape[0]
        chunks, apart = (pixels + chunk - 1) // chunk, abreast * lanes
        row_size = channels * step * room * apart
        jobs = (tiles + abreast - 1) // abreast * chunks * bands
        groups = dw.shape[0] if gradient else jobs
        zero = data.dtype.type(0)
        blank, four, wide = splat(zero, lanes), splat(zero, four_lanes), splat(zero, width)
        mine = np.int64(worker) * numbers(ring)
        desk = np.int64(worker) * scratch.shape[1]
        shelf = desk + scratch.shape[1] // 2  # x waits there
        row_of_x = filters * out_columns * lanes
        read, beside = straight & READ > 0, straight & BESIDE > 0
        write_now = straight & WRITE > 0
        for group in range(worker, groups, workers):
            base_dw = np.int64(group) * dw.shape[1]
            if gradient:
                dw[group] = 0
            for job in range(group * jobs // groups, (group + 1) * jobs // groups):
                leader = job // (chunks * bands) * abreast
                first, band = job // bands % chunks * chunk, job % bands
                strips = (min(chunk, pixels - first) * abreast + strip - 1) // strip
                wide_mask = repeated(load_like(mask, np.int64(leader) * lanes, blank), wide)
                spot = np.int64(job) * filters * 2 * lanes
                if kind != NO_SUMS:
                    sums[job] = 0
                ready = -(1 << 30)
                for t in range(band * rows // bands, (band + 1) * rows // bands):
                    oldest = t * down - top
                    if read:
                        ready = oldest + depth
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
                    for phase in range(phases.shape[0]):
                        row_out = t * skip_rows + phases[phase, 0]
                        if row_out >= out_height:
                            continue
                        begin, stop = phases[phase, 2], phases[phase, 3]
                        turns = strips * (stop - begin) * filters
                        first_out = first * skip_columns + phases[phase, 1]
                        # pixels of the chunk that exist
                        inside = (out_columns - first_out + skip_columns - 1) // skip_columns
                        inside = min(chunk, inside)
                        origin = (leader * out_height + row_out) * filters * out_columns + first_out
                        if gradient and not beside:
                            stage(blank, wide, x, x_other, x_a, x_b, x_c, relu_x, mask, row_out,
                                  first_out, skip_columns, inside, leader, strips, chunk, abreast,
                                  scratch, shelf)  # fmt: skip
                        for s in range(strips):
                            for d in range(depth):
                                place = mine + ((oldest + top + d) % depth) * row_size
                                if read:
                                    row_in = (leader * height + t) * channels * columns + first
                                    place = row_in * lanes
                                bases[worker, s * depth + d] = place + s * strip * lanes
                        # One block: strip after strip of an output, in the order of memory.
                        # Several: output after output of a strip, while a block is near.
                        along = stop - begin == 1
                        segment, i, s = begin, np.int64(0), np.int64(-1)
                        if not along:
                            i, s = np.int64(-1), np.int64(0)
                        for _ in range(turns):
                            if along:
                                s += 1
                                if s == strips:
                                    i, s = i + 1, np.int64(0)
                            else:
                                i += 1
                                if i == filters:
                                    segment, i = segment + 1, np.int64(0)
                                    if segment == stop:
                                        segment, s = begin, s + 1
                            slots = np.int64(worker) * bases.shape[1] + s * depth
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
                            waits = (np.int64(i) * chunk * abreast + s * strip) * lanes
                            here = (origin + np.int64(i) * out_columns + s * strip) * lanes
                            if segment == begin:
                                start = zero
                                if bias.shape[0] > 0:
                                    start = at(bias, np.int64(i))
                                y_i = splat(start, width)
                            else:
                                y_i = load(scratch, desk + waits, width)
                            k = at(starts, segment * filters + i)
                            end = at(ends, segment * filters + i)
                            if gradient:
                                if beside:
                                    x_i = load(x, here, width)
                                    prefetch(x, here + row_of_x, width, 2)
                                    if x_a.shape[0] > 0:
                                        x_i = fma(splat(at(x_c, i), width), at(x_a, i), x_i)
                                    if relu_x:
                                        x_i = positive_part(x_i)
                                    x_i = multiply(x_i, wide_mask)
                                else:
                                    x_i = load(scratch, shelf + waits, width)
                                x_i = in_order(ring, x_i, lanes)
                                while k + 16 <= end:
                                    found, y_i = dot_and_add_taps(
                                        ring, codes, bases, data, k, slots, x_i, y_i, lanes, 16
                                    )
                                    mine_dw = base_dw + k
                                    store(dw, mine_dw, add(load(dw, mine_dw, 16), found))
                                    k += 16
                                while k < end:
                                    found, y_i = dot_and_add_taps(
                                        ring, codes, bases, data, k, slots, x_i, y_i, lanes, 4
                                    )
                                    mine_dw = base_dw + k
                                    store(dw, mine_dw, add(load(dw, mine_dw, 4), found))
                                    k += 4
                            elif width <= 64:  # a second sum hides an FMA's latency
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
                                if write_now:
                                    leave(y_i, blank, wide_mask, y, here, i, relu_y, x, x_a,
                                          x_c, gated, sums, spot, kind)  # fmt: skip
                                    continue
                            store(scratch, desk + waits, y_i)
                        if y.shape[0] > 0 and not write_now:
                            write(blank, wide, y, relu_y, x, x_a, x_c, gated, sums, spot, kind,
                                  mask, row_out, first_out, skip_columns, inside, leader, chunk,
                                  abreast, scratch, desk)  # fmt: skip
        fence()

    book = AddressBook(work)

    def convolve(*arguments):
        _spread_convolution(
            book.address((arguments[5].dtype, arguments[-3].dtype), *arguments), *arguments
        )

    return convolve


@kernel(parallel=True)
def add_groups(parts, places, out):
    """``out[k] = sum over groups of parts[:, places[k]]``, the groups in order."""
    for k in prange(out.shape[0]):
        total = parts[0, places[k]]
        for group in range(1, parts.shape[0]):
            total += parts[group, places[k]]
        out[k] = total
