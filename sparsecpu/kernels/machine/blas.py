"""BLAS held to one thread."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

#: Packages that bring a BLAS of their own; thread pools are searched once for each set of them.
_WITH_A_BLAS = ("scipy.linalg", "torch")


@cache
def _thread_pools(loaded: tuple[bool, ...]) -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _take_control(pools: Any) -> None:
    """Let this Python thread set numbers of threads.

    From version 3.8 on, threadpoolctl ignores all threads but the first one that did so.
    """
    for pool in pools.lib_controllers:
        if hasattr(pool, "clear_controlling_thread"):
            pool.clear_controlling_thread(force=True)


class _Held:
    """How many Python threads hold BLAS now, and what sets it back."""

    def __init__(self) -> None:
        self.threads = 0
        self.pools: Any = None
        self.limiter: Any = None
        self.unlock()

    def unlock(self) -> None:
        """Begin with a new lock: in a child, the thread that had the old one does not exist."""
        self.lock = threading.Lock()


_held = _Held()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_held.unlock)


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread inside the ``with`` block, and set it back afterwards.

    Two thread pools that spin side by side cost more than a second thread brings, and sums that
    depend on the number of threads would depend on the machine. Import libraries that bring a BLAS
    before.

    Of several Python threads in such blocks the first one to come holds BLAS, and the last one to
    go sets it back.
    """
    with _held.lock:
        if _held.threads == 0:
            loaded = tuple(name in sys.modules for name in _WITH_A_BLAS)
            _held.pools = _thread_pools(loaded)
            _take_control(_held.pools)
            _held.limiter = _held.pools.limit(limits=1, user_api="blas")
            _held.limiter.__enter__()
        _held.threads += 1
    try:
        yield
    finally:
        with _held.lock:
            _held.threads -= 1
            if _held.threads == 0:
                _take_control(_held.pools)
                _held.limiter.__exit__(None, None, None)
