"""Memory that is used again at every step."""

import itertools
import tracemalloc

import numpy as np
import pytest

from sparsecpu.step.huge_pages import HugePages
from sparsecpu.step.workspace import Workspace


def test_memory_that_is_large_lies_in_huge_pages():
    """Arrays lie one behind the other there, once a program asks for much."""
    pages = HugePages()
    first = [pages.empty(1 << 20, np.float32) for _ in range(2)]
    rest = [pages.empty(3 << 16, np.float32) for _ in range(3)]
    large = pages.empty(3 << 19, np.float32)
    assert {a.ctypes.data % 64 for a in (*first, *rest, large)} == {0}
    places = [a.ctypes.data for a in rest]
    assert places[0] % (2 << 20) == large.ctypes.data % (2 << 20) == 0
    assert [b - a for a, b in itertools.pairwise(places)] == [rest[0].nbytes + 64] * 2
    for n, array in enumerate((*first, *rest, large)):
        array[:] = n  # none lies in another
    assert [a.min() for a in (*first, *rest, large)] == [0, 1, 2, 3, 4, 5]


def test_memory_that_nothing_lies_in_is_given_out_again():
    pages = HugePages()
    arrays = [pages.empty(1 << 20, np.float32) for _ in range(4)]
    view, place = arrays[2].reshape(1024, 1024)[5:], arrays[2].ctypes.data
    del arrays[2]
    other = pages.empty(1 << 20, np.float32)
    assert not np.shares_memory(other, view)
    del view
    assert pages.empty(1 << 19, np.float64).ctypes.data == place


def test_memory_ends_with_its_owner():
    """An array that somebody still holds keeps what it lies in, and nothing else."""
    pages = HugePages()
    arrays = [pages.empty(1 << 20, np.float32) for _ in range(4)]
    tracemalloc.start()
    arrays += [pages.empty(3 << 19, np.float32) for _ in range(4)]
    held = arrays[-1]
    del arrays, pages
    left = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held.nbytes <= left < 3 * held.nbytes


def test_memory_grows_to_what_was_needed():
    workspace = Workspace()
    first = workspace.array("ring", "x", (400, 500), np.float32)
    again = workspace.array("ring", "x", (100, 500), np.float32)
    assert np.shares_memory(first, again)
    assert workspace.nbytes == first.nbytes
    assert workspace.array("ring", "x", (500, 500), np.float32).shape == (500, 500)
    assert workspace.nbytes == 4 * 500 * 500


@pytest.mark.parametrize("before", [0, 16 << 20])
def test_memory_is_lent_until_nobody_holds_it(before):
    workspace = Workspace()
    workspace.array("much", "x", (before,), np.uint8)
    first = workspace.lend((300, 1000), np.float32)
    assert not np.shares_memory(first, workspace.lend((300, 1000), np.float32))
    part, place = first[10:].T, first.ctypes.data
    del first
    assert workspace.lend((300, 1000), np.float32).ctypes.data != place
    del part
    assert workspace.lend((200, 1000), np.float32).ctypes.data == place
