"""Python's search for garbage: seldom in a command, never while Numba compiles."""

import gc

import numba
import numpy as np
import pytest
from commands import run
from numba.core import event

import sparsecpu.kernels.machine.compile  # noqa: F401  (which watches what Numba compiles)


def test_a_command_leaves_the_collector_as_it_was():
    before = gc.get_threshold()
    assert run("list", "models").exit_code == 0
    assert gc.get_threshold() == before


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_rests_while_numba_compiles(enabled):
    class Passes(event.Listener):
        collects = ()

        def on_start(self, event):
            self.collects += (gc.isenabled(),)

        def on_end(self, event):
            pass

    passes = Passes()
    (gc.enable if enabled else gc.disable)()
    try:
        with event.install_listener("numba:run_pass", passes):
            numba.njit(lambda x: x + 1)(np.float32(1))
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
    assert set(passes.collects) == {False}
