"""BLAS held to one thread."""

from __future__ import annotations

import contextlib
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


_blas_lock = threading.Lock()


_blas_held = False  # by the Python thread that entered first


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread inside the ``with`` block, and set it back afterwards.

    Two thread pools that spin side by side cost more than a second thread brings, and sums that
    depend on the number of threads would depend on the machine. Import libraries that bring a BLAS
    before.

    Of several Python threads in such blocks the first one holds BLAS and sets it back: any other
    would set it back to one thread, for good.
    """
    global _blas_held
    with _blas_lock:
        first, _blas_held = not _blas_held, True
        if first:
            loaded = tuple(name in sys.modules for name in _WITH_A_BLAS)
            limiter = _thread_pools(loaded).limit(limits=1, user_api="blas")
            limiter.__enter__()
    try:
        yield
    finally:
        if first:
            with _blas_lock:
                limiter.__exit__(None, None, None)
                _blas_held = False
