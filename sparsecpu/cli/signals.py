"""Signals that ask a command to end: Ctrl-C, and what ``kill`` or a closed terminal sends."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

#: Those that Python does not turn into an exception by itself, where the system has them.
_OTHERS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Ended(KeyboardInterrupt):
    """A signal has asked this process to end, as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__()


def exit_code(number: int) -> int:
    """Return the exit code of a command that a signal has ended, as shells count: 130, 143, 129."""
    return 128 + number


def code_of(error: KeyboardInterrupt) -> int:
    """Return the exit code of a command that was ended so."""
    return exit_code(getattr(error, "number", signal.SIGINT))


@contextlib.contextmanager
def handled(handler: Callable[[int, Any], None], *, ctrl_c: bool) -> Iterator[None]:
    """Call a handler for these signals inside the ``with`` block, where this thread may say so.

    What is ignored stays so, as ``nohup`` wants it; only Ctrl-C, if it is asked for, is heard even
    in a background job.
    """
    before = {n: signal.getsignal(n) for n in _OTHERS}
    chosen = [n for n, old in before.items() if old not in (signal.SIG_IGN, None)]
    if ctrl_c:
        before[signal.SIGINT] = signal.getsignal(signal.SIGINT)
        chosen.append(signal.SIGINT)
    try:
        for number in chosen:
            signal.signal(number, handler)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        for number in chosen:
            signal.signal(number, before[number] or signal.SIG_DFL)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Make an exception of the first signal inside the ``with`` block; a second ends at once."""

    def end(number: int, frame: Any) -> None:
        for other in _OTHERS:
            signal.signal(other, signal.SIG_DFL)
        raise Ended(number)

    with handled(end, ctrl_c=False):
        yield
