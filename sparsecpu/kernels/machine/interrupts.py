"""Ctrl-C, put off while arrays that belong together are replaced one after the other."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a Ctrl-C that comes inside the ``with`` block take effect at its end.

    Python raises ``KeyboardInterrupt`` in the main thread alone, between any two steps: a pattern
    might be new by then and its values old, and kernels would read past their end.
    """
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(before):
        yield
        return
    came: list[tuple[Any, ...]] = []
    signal.signal(signal.SIGINT, lambda *signal_and_frame: came.append(signal_and_frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            before(*came[0])
