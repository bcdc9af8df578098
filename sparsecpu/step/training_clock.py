"""The time that training takes, and the time that compiling its kernels takes."""

from __future__ import annotations

import time


def clock_without_compiling() -> float:
    """Return the seconds of a clock that stands still while kernels compile."""
    return time.perf_counter() - compiled_seconds()


def compiled_seconds() -> float:
    """Return for how many seconds this process has compiled kernels so far."""
    from sparsecpu.kernels.machine.compile import compile_clock

    return compile_clock.seconds
