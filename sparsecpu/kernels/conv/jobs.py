"""The jobs that a convolution's batch falls into: how many, and where each begins."""

from __future__ import annotations

from typing import NamedTuple

from numba.np.unsafe.ndarray import to_fixed_tuple

from sparsecpu.kernels.conv.pixels import numbers
from sparsecpu.kernels.conv.sizes import Job, Sizes
from sparsecpu.kernels.machine.compile import kernel

_FIELDS = len(Sizes._fields)


class Worker(NamedTuple):
    """Where a worker's own memory begins in the arrays of ``Space``."""

    number: int
    #: In ``ring``, in numbers.
    ring: int
    #: In ``bases``.
    bases: int
    #: In ``scratch``: outputs that wait, channel by channel, and the other factors of dW.
    outputs: int
    factors: int


@kernel(inlined=True)
def named(sizes):
    """Return the sizes of a convolution, which come as an array, by name."""
    return Sizes(*to_fixed_tuple(sizes, _FIELDS))


@kernel(inlined=True)
def places_of(number, space):
    """Return where the memory of worker ``number`` begins."""
    outputs = number * space.scratch.shape[1]
    return Worker(
        number, number * numbers(space.ring), number * space.bases.shape[1],
        outputs, outputs + space.scratch.shape[1] // 2,
    )  # fmt: skip


@kernel(inlined=True)
def count_jobs(sizes, tiles):
    """Return as many as ``Sizes.jobs`` does."""
    return -(-tiles // sizes.tiles_per_job) * -(-sizes.columns // sizes.span) * sizes.bands


@kernel(part=True)
def begin_job(number, sizes, strip_pixels):
    """Return where job ``number`` begins, and the row at which it ends."""
    spans = -(-sizes.columns // sizes.span)
    tile = number // (spans * sizes.bands) * sizes.tiles_per_job
    column, band = number // sizes.bands % spans * sizes.span, number % sizes.bands
    pixels = min(sizes.span, sizes.columns - column) * sizes.tiles_per_job
    strips = -(-pixels // strip_pixels)
    begin, end = band * sizes.rows // sizes.bands, (band + 1) * sizes.rows // sizes.bands
    return Job(number, tile, column, strips, begin), end


@kernel(inlined=True)
def next_row(job):
    """Return the job one row further."""
    return Job(job.number, job.first_tile, job.first_column, job.strips, job.row + 1)
