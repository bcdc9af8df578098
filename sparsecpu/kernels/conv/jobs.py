"""The jobs that a convolution's batch falls into: how many, and where each begins."""

from __future__ import annotations

from numba.np.unsafe.ndarray import to_fixed_tuple

from sparsecpu.kernels.conv.sizes import Job, Sizes
from sparsecpu.kernels.machine.compile import kernel

_SIZES = len(Sizes._fields)


@kernel(inlined=True)
def named(sizes):
    """Return the sizes of a plan, which come as an array, by name."""
    return Sizes(*to_fixed_tuple(sizes, _SIZES))


@kernel(inlined=True)
def count_jobs(plan, tiles):
    """Return as many as ``Sizes.jobs`` does."""
    return -(-tiles // plan.tiles_per_job) * -(-plan.columns // plan.span) * plan.bands


@kernel(part=True)
def begin_job(number, plan, strip):
    """Return where job ``number`` begins, and the row at which it ends."""
    chunks = -(-plan.columns // plan.span)
    leader = number // (chunks * plan.bands) * plan.tiles_per_job
    first, band = number // plan.bands % chunks * plan.span, number % plan.bands
    pixels = min(plan.span, plan.columns - first) * plan.tiles_per_job
    strips = -(-pixels // strip)
    begin, end = band * plan.rows // plan.bands, (band + 1) * plan.rows // plan.bands
    return Job(leader, first, strips, begin), end
