"""A convolution's ring of rows: how lazy planes fill it, and where strips read it.

The ring holds the input rows that a filter sees now; row r lies at place ``r % depth``. A 3 x 3
filter, one row further down::

    outputs of row 4 see        outputs of row 5 see
    place 0   row 3             place 0   row 6    <- packed over row 3
    place 1   row 4             place 1   row 4
    place 2   row 5             place 2   row 5

    one row, packed:   0 0 | c0: x0 x1 x2 ... | 0    zeros where the image ends
                       0 0 | c1: x0 x1 x2 ... | 0    channel after channel

What is pending (a normalisation, a ReLU) is applied while a row is packed, once for all the taps
that read it. ``kernels.conv.plain`` has the same in a few lines.

Vectors of zeros tell widths: ``pixel`` is one pixel's lanes, ``four`` those of four pixels,
``strip`` those of a strip.
"""

from __future__ import annotations

import numpy as np

from sparsecpu.kernels.conv.lazy import coefficients, read
from sparsecpu.kernels.conv.pixels import store_pixels
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.arithmetic import count

#: A row above all others: no row is in the ring yet.
NO_ROW = -(1 << 30)


@kernel(inlined=True)
def _pack_channel(pixel, four, inputs, sizes, channel, first, columns, ring, place):
    """Write one channel's pixels of a row, zeros before ``columns`` begin and after they end.

    They come from ``first`` on in memory, ``across`` columns apart.
    """
    low, high = columns
    apart, stride = sizes.tiles_per_job * count(pixel), sizes.across * count(pixel)
    fours = low  # pixels that are read four at a time end here
    if sizes.across * sizes.tiles_per_job == 1:
        fours += (high - low) // 4 * 4
    pending = coefficients(inputs, channel)
    for j in range(low):
        store_pixels(ring, place + j * apart, pixel, pixel)
    for j in range(low, fours, 4):
        v = read(inputs, pending, first + j * stride, four)
        store_pixels(ring, place + j * apart, v, pixel)
    for j in range(fours, high):
        u = read(inputs, pending, first + j * stride, pixel)
        store_pixels(ring, place + j * apart, u, pixel)
    for j in range(high, sizes.room):
        store_pixels(ring, place + j * apart, pixel, pixel)


@kernel(part=True)
def _pack_row(pixel, four, inputs, sizes, row, first, ring, place):
    """Write columns of row ``row`` of the planes, from ``first`` on; a row below 0 is 0.

    ``row`` counts rows of all tiles. Columns ``across`` apart come to lie side by side, and
    those of the job's other tiles in between.
    """
    apart = sizes.tiles_per_job * count(pixel)
    for q in range(sizes.step):
        column = first + q
        low, high = np.int64(0), np.int64(0)
        if row >= 0:
            low = min(sizes.room, max(0, (-column + sizes.across - 1) // sizes.across))
            high = (sizes.width - column + sizes.across - 1) // sizes.across
            high = max(low, min(sizes.room, high))
        for channel in range(sizes.channels):
            here = place + (channel * sizes.step + q) * sizes.room * apart
            there = ((row * sizes.channels + channel) * sizes.width + column) * count(pixel)
            _pack_channel(pixel, four, inputs, sizes, channel, there, (low, high), ring, here)


@kernel(part=True)
def fill_ring(pixel, four, inputs, sizes, job, ready, ring, place, padding=True):
    """Pack the rows below ``ready`` that a job's row of outputs needs; return the last one's next.

    Rows that do not exist are padding, which some kernels never read. The worker's ring begins at
    ``place``.
    """
    tiles, lanes = inputs.values.shape[0], count(pixel)
    row_size = sizes.channels * sizes.step * sizes.room * sizes.tiles_per_job * lanes
    column = job.first_column * sizes.across - sizes.left
    oldest = job.row * sizes.down - sizes.top
    for row in range(max(ready, oldest), oldest + sizes.depth):
        if not padding and not 0 <= row < sizes.height:
            continue
        for n in range(sizes.tiles_per_job):
            tile = job.first_tile + n
            exists = 0 <= row < sizes.height and tile < tiles
            within = tile * sizes.height + row if exists else -1
            there = place + (row + sizes.top) % sizes.depth * row_size + n * lanes
            _pack_row(pixel, four, inputs, sizes, np.int64(within), column, ring, there)
    return oldest + sizes.depth


@kernel(part=True)
def write_bases(pixel, strip, sizes, job, reads_planes, bases, worker):
    """Write to a worker's ``bases`` where each strip of a job finds each row of the ring.

    With ``reads_planes``, filters of one pixel find them where they lie in planes.
    """
    row_size = sizes.channels * sizes.step * sizes.room * sizes.tiles_per_job * count(pixel)
    for d in range(sizes.depth):
        place = worker.ring + (job.row * sizes.down + d) % sizes.depth * row_size
        if reads_planes:
            row = (job.first_tile * sizes.height + job.row) * sizes.channels
            place = (row * sizes.width + job.first_column) * count(pixel)
        place -= sizes.left_out * count(pixel)
        for s in range(job.strips):
            bases[worker.number, s * sizes.depth + d] = place + s * count(strip)
