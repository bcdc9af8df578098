"""Memory that is used again at every step."""

import numpy as np
import pytest

from sparsecpu.kernels.machine.arrays import empty_in_huge_pages
from sparsecpu.step.workspace import Workspace


@pytest.mark.parametrize(("size", "begins"), [(1000, 64), (3 << 18, 2 << 20)])
def test_scattered_memory_begins_with_a_huge_page(size, begins):
    """If it is large enough to gain by that."""
    array = empty_in_huge_pages(size, np.float32)
    assert (array.shape, array.dtype) == ((size,), np.float32)
    assert array.ctypes.data % begins == 0
    array[:] = 1  # all of it can be written


def test_scattered_memory_is_used_again():
    workspace = Workspace()
    first = workspace.array("ring", "x", (400, 500), np.float32, scattered=True)
    again = workspace.array("ring", "x", (100, 500), np.float32, scattered=True)
    assert np.shares_memory(first, again)
    assert workspace.nbytes == first.nbytes
