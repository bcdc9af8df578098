"""Kernels are told apart in the cache by what they are made of, whatever process makes them."""

import numpy as np

from sparsecpu.kernels.machine.compile import kernel


def _kernel_with_a_part(width):
    @kernel(part=True)
    def widened(x):
        return x + width

    @kernel()
    def total(x):
        return widened(x[0]) + widened(x[1])

    return total


def test_kernels_made_with_the_same_part_share_what_is_kept():
    """Each process makes its parts anew."""
    first, again, wider = (_kernel_with_a_part(width) for width in (2, 2, 3))
    x = np.array([1.0, 5.0])
    assert (first(x), again(x), wider(x)) == (10.0, 10.0, 12.0)
    assert sum(again.stats.cache_hits.values()) == 1
