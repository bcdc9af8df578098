"""How every kernel is compiled, and what compiling cost, said once."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numba
from numba.core import event

from sparsecpu.errors import ParameterError

#: Contraction and reassociation, but never ``nnan`` or ``ninf``: the NaN guard must work.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}


def kernel(*, parallel: bool = False) -> Callable[[Callable], Callable]:
    """Compile a function as a cached, GIL-free kernel.

    Parameters
    ----------
    parallel : bool
        Whether ``prange`` loops run on Numba's threads.

    Returns
    -------
    callable
        The decorator. Where no cache directory can be written, the kernel is compiled anew in
        each process instead of failing.
    """

    def decorate(function: Callable) -> Callable:
        options: dict[str, Any] = {
            "nogil": True,
            "parallel": parallel,
            "fastmath": FASTMATH,
            "error_model": "numpy",
        }
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # "no locator available": nowhere to keep a cache
            return numba.njit(**options)(function)

    return decorate


class CompileClock(event.Listener):
    """Adds up the seconds that Numba spends compiling; nested compilations count once.

    Attributes
    ----------
    seconds : float
        Wall-clock seconds spent compiling in this process so far.
    on_first : callable or None
        Called without arguments when the first compilation of the process starts.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.on_first: Callable[[], None] | None = None
        self._depth = 0
        self._started = 0.0

    def on_start(self, event: Any) -> None:
        """Note that a compilation begins.

        Parameters
        ----------
        event : numba.core.event.Event
            Not looked at.
        """
        if self._depth == 0:
            self._started = time.perf_counter()
            if self.on_first is not None:
                self.on_first()
                self.on_first = None
        self._depth += 1

    def on_end(self, event: Any) -> None:
        """Note that a compilation ends.

        Parameters
        ----------
        event : numba.core.event.Event
            Not looked at.
        """
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._started


compile_clock = CompileClock()
event.register("numba:compile", compile_clock)


def available_threads() -> int:
    """Return how many threads Numba can use in this process."""
    return int(getattr(numba.config, "NUMBA_NUM_THREADS"))  # noqa: B009


@contextlib.contextmanager
def use_threads(threads: int | None) -> Iterator[int]:
    """Run kernels on this many threads inside the ``with`` block.

    Parameters
    ----------
    threads : int or None
        At least 1 and at most what the machine has; None for all of them.

    Yields
    ------
    int
        The number of threads in use.

    Raises
    ------
    ParameterError
        If ``threads`` is not an integer in that range.
    """
    limit = available_threads()
    if threads is None:
        threads = limit
    if isinstance(threads, bool) or int(threads) != threads or not 1 <= threads <= limit:
        raise ParameterError("threads", threads, f"an integer from 1 to {limit}")
    before = numba.get_num_threads()
    numba.set_num_threads(int(threads))
    try:
        yield int(threads)
    finally:
        numba.set_num_threads(before)


# Kernels without prange work inside are still launched through the parallel target, so that one
# code path serves any number of threads; Numba's advice to drop parallel=True does not apply.
warnings.filterwarnings("ignore", category=numba.NumbaPerformanceWarning, module="sparsecpu")
