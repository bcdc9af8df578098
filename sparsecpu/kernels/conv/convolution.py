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

See ``sparsecpu.layers.images.taps`` for what a tap is, and ``kernels.plan`` for the sizes.

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

from sparsecpu.kernels.conv.jobs import begin_job, count_jobs, named
from sparsecpu.kernels.conv.pixels import in_order, numbers, settled
from sparsecpu.kernels.conv.ring import ask_ahead, coefficients, fill, lay_bases, meant, next_rows
from sparsecpu.kernels.conv.rows import NO_SUMS, leave, stage, write
from sparsecpu.kernels.conv.sizes import Job
from sparsecpu.kernels.conv.tap_sums import add_taps, dot_and_add
from sparsecpu.kernels.machine.compile import AddressBook, kernel
from sparsecpu.kernels.vectors.operations import (
    at,
    call_address,
    count,
    fence,
    load_like,
    multiply,
    prefetch_like,
    repeated,
    splat,
    splat_like,
    store,
)

#: What takes no detour: inputs, read where they lie instead of from a ring (filters of one pixel
#: see no padding); outputs, written from registers instead of row by row from ``scratch``; what
#: outputs are the gradient of, loaded where it lies instead of staged there.
READ, WRITE, BESIDE = 1, 2, 4


@kernel(part=True)
def _convolve_row(
    blank, wide, plan, job, phases, phase, taps, source, out, about, mask, dw, base_dw, straight,
    space, spot,
):  # fmt: skip
    """Compute a row of outputs of a phase, and dW along with it unless ``dw`` is None."""
    codes, starts, ends, data, bias = taps
    ring, bases, scratch, worker = space
    desk, slots = worker * scratch.shape[1], worker * bases.shape[1]
    shelf = desk + scratch.shape[1] // 2  # x waits there
    beside, write_now = straight & BESIDE > 0, straight & WRITE > 0
    row = job.row * plan.skip_rows + phases[phase, 0]
    first = job.first_column * plan.skip_columns + phases[phase, 1]
    begin, stop = phases[phase, 2], phases[phase, 3]
    # pixels of the chunk that exist
    inside = (plan.out_width - first + plan.skip_columns - 1) // plan.skip_columns
    inside = min(plan.span, inside)
    mine, read = worker * numbers(ring), straight & READ > 0
    lay_bases(blank, wide, plan, job, read, bases, worker, mine)
    if dw is not None and not beside:
        stage(blank, wide, about, mask, plan, job, row, first, inside, scratch, shelf)
    wide_mask = repeated(load_like(mask, np.int64(job.first_tile) * count(blank), blank), wide)
    origin = (job.first_tile * plan.out_height + row) * plan.filters * plan.out_width + first
    due, coming = next_rows(plan, job, job.row * plan.down - plan.top + plan.depth)
    turns = job.strips * (stop - begin) * plan.filters
    if phase > 0:
        due = np.int64(0)
    wanted = (np.int64(0), np.int64(0), coming)
    # One block: strip after strip of an output, in the order of memory. Several: output after
    # output of a strip, while a block is near.
    together = job.strips if stop - begin == 1 else 1
    for leading in range(0, job.strips, together):
        for segment in range(begin, stop):
            for i in range(plan.filters):
                for s in range(leading, leading + together):
                    wanted = ask_ahead(blank, wide, source, plan, job, turns, due, wanted)
                    waits = np.int64(i) * plan.span * plan.tiles_per_job * count(blank) + s * count(
                        wide
                    )
                    here = (origin + np.int64(i) * plan.out_width) * count(blank) + s * count(wide)
                    if segment == begin:
                        y = wide
                        if bias.shape[0] > 0:
                            y = splat_like(at(bias, i), wide)
                    else:
                        y = load_like(scratch, desk + waits, wide)
                    taps_of = segment * plan.filters + i
                    k, end = at(starts, taps_of), at(ends, taps_of)
                    slot = slots + s * plan.depth
                    if dw is None:
                        y = add_taps(ring, codes, data, bases, slot, k, end, y, blank)
                    else:
                        if beside:
                            x = meant(about, coefficients(about, i), here, wide)
                            x = multiply(x, wide_mask)
                            after = here + plan.filters * plan.out_width * count(blank)
                            prefetch_like(about[0], after, wide)
                        else:
                            x = load_like(scratch, shelf + waits, wide)
                        x = in_order(ring, x, blank)
                        y = dot_and_add(ring, codes, data, bases, slot, k, end, x, y, dw, base_dw,
                                        blank)  # fmt: skip
                    if segment == stop - 1:
                        y = settled(ring, y, blank)
                    if write_now and segment == stop - 1:
                        leave(y, blank, wide_mask, out, about, here, i, spot)
                    else:
                        store(scratch, desk + waits, y)
    if out[0].shape[0] > 0 and not write_now:
        write(blank, wide, out, about, mask, plan, job, row, first, inside, scratch, desk, spot)


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
        sizes = named(plan)
        source, about = (values, other, a, b, c, relu), (x, x_other, x_a, x_b, x_c, relu_x)
        out, taps = (y, relu_y, gated, sums, kind), (codes, starts, ends, data, bias)
        zero = data.dtype.type(0)
        blank, four, wide = splat(zero, lanes), splat(zero, four_lanes), splat(zero, width)
        mine = np.int64(worker) * numbers(ring)
        space = (ring, bases, scratch, np.int64(worker))
        jobs = count_jobs(sizes, values.shape[0])
        groups, workers = dw.shape[0] if gradient else jobs, scratch.shape[0]
        for group in range(worker * groups // workers, (worker + 1) * groups // workers):
            base_dw = np.int64(group) * dw.shape[1]
            if gradient:
                dw[group] = 0
            for number in range(group * jobs // groups, (group + 1) * jobs // groups):
                spot = np.int64(number) * sizes.filters * 2 * lanes
                if kind != NO_SUMS:
                    sums[number] = 0
                job, last = begin_job(number, sizes, strip)
                ready = -(1 << 30)
                while job.row < last:
                    oldest = job.row * sizes.down - sizes.top
                    if straight & READ == 0:
                        begin, ready = max(ready, oldest), oldest + sizes.depth
                        fill(blank, four, source, sizes, job, begin, ready, ring, mine)
                    for phase in range(phases.shape[0]):
                        if job.row * sizes.skip_rows + phases[phase, 0] >= sizes.out_height:
                            continue
                        if gradient:
                            _convolve_row(blank, wide, sizes, job, phases, phase, taps, source, out,
                                          about, mask, dw, base_dw, straight, space,
                                          spot)  # fmt: skip
                        else:
                            _convolve_row(blank, wide, sizes, job, phases, phase, taps, source, out,
                                          about, mask, None, base_dw, straight, space,
                                          spot)  # fmt: skip
                    job = Job(job.first_tile, job.first_column, job.strips, job.row + 1)
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
