"""Kernels that a run will need, compiled beforehand: several at once, in processes of their own.

Numba compiles one function at a time, whatever the threads. So children are forked that rehearse a
training step: they do all that it does in Python, but only note which kernels it calls, and with
which types. Each takes the next kernel that is missing, compiles it, and keeps it in the cache.
Of two children, one begins with the large kernels and the other with the small ones: large ones
are forms of the same few, and share parts that whoever compiles them all compiles only once.
What a rehearsal does to a child's memory is lost with the child, and as it runs no kernel, it does
not matter which threads it has not inherited.

Nothing here is needed: a kernel that is missing later is compiled when it is called, as ever. There
are no children where processes cannot be forked safely (on Windows and macOS, and under several
Python threads), nor without a cache.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target

from sparsecpu.kernels.machine import team, threads
from sparsecpu.kernels.machine.cache import cache_folder
from sparsecpu.kernels.machine.compile import AddressBook, Compiling, compile_clock, name_of
from sparsecpu.kernels.machine.cores import allowed_cores

#: Seconds that a form takes to compile on a core of 2023, where it is not an ordinary one.
_SECONDS = {"convolution.convolution": 1.6, "grouped_forward.convolution": 1.6,
            "grouped_backward.backward": 2.5, "forward.attend": 1.5,
            "backward.attend_backward": 2.5}  # fmt: skip
_ORDINARY = 0.35
#: A kernel is large from so many seconds on.
_LARGE = 1.0
#: A rehearsal ends after so many seconds of work, wherever it is.
_PATIENCE = 2.0
#: Kernels that one run may need; their numbers are bytes.
_MOST = 250
#: Begins the line that says how many kernels are missing, and how many seconds they take.
_PLAN = "plan"

Form = tuple[Any, tuple]


def compile_ahead(rehearse: Callable[[], Any], run: Any) -> None:
    """Compile what ``rehearse`` calls, if the cache has never had what such a ``run`` needs.

    Parameters
    ----------
    rehearse : callable
        Does in a child what will be done here: its kernels do nothing and return 0. It may end by
        any exception, and change whatever it likes but files.
    run : object
        What its kernels depend on; equal where its ``repr`` is.
    """
    folder = cache_folder()
    if folder is None or not _may_fork():
        return
    mark = folder / f"ready-{hashlib.sha256(repr(run).encode()).hexdigest()[:16]}"
    if mark.exists():
        return
    began = time.perf_counter()
    with contextlib.suppress(OSError):  # no process or no memory is left for children
        if _in_children(rehearse, min(allowed_cores().count, 16)):
            mark.touch()
    compile_clock.seconds += time.perf_counter() - began


def _may_fork() -> bool:
    """Return True if a child of this process can do all that it could."""
    alone = threading.active_count() == 1
    return sys.platform == "linux" and alone and allowed_cores().count > 1


def _in_children(rehearse: Callable[[], Any], count: int) -> bool:
    """Let children compile; return True if each of them has come to its end."""
    large, small, report = _numbers(), _numbers(), os.pipe()
    children = []
    try:
        for number in range(count):
            with warnings.catch_warnings():  # of threads, BLAS's: a child has no use for them
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                _child(rehearse, large, small, report[1], small_first=number == 1 and count == 2)
            children.append(child)
        os.close(report[1])
        cpu_target.typing_context.refresh()  # which loading what they keep will need, too
        cpu_target.target_context.refresh()
        _listen(report[0], count)
    except BaseException:
        for child in children:
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.close(large)
        os.close(small)
        ends = [os.waitpid(child, 0)[1] for child in children]
    return not any(ends)


def _numbers() -> int:
    """Return a pipe from which whoever comes reads the next number, a byte, from 0 on."""
    reads, writes = os.pipe()
    os.write(writes, bytes(range(_MOST)))
    os.close(writes)
    return reads


def _listen(report: int, count: int) -> None:
    """Tell those who listen what children begin to compile, until all have ended."""
    known = begun = 0
    with os.fdopen(report, encoding="utf-8") as lines:
        for line in lines:
            what, *rest = line.rstrip().split(" ")
            if what != _PLAN:
                begun += 1
                compile_clock.tell(Compiling(what, begun, known))
            elif rest[0] != "0" and not known:
                known = int(rest[0])
                compile_clock.tell(Compiling("", 0, known, float(rest[1]) / count))
    if known:
        compile_clock.tell(Compiling("", known, known, 0.0))


def _seconds(name: str) -> float:
    return _SECONDS.get(name, _ORDINARY)


def _child(
    rehearse: Callable[[], Any], large: int, small: int, report: int, *, small_first: bool
) -> None:
    """Rehearse, compile, and end, without anything that the parent would do at its end."""
    status = 1
    try:
        gc.disable()  # there is nothing that a child must give back
        np.seterr(all="ignore")  # arrays that no kernel has filled hold anything
        compile_clock.on_first = None
        compile_clock.listeners.clear()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        missing = _missing(rehearse)
        seconds = [_seconds(_name(form)) for form in missing]
        _say(report, f"{_PLAN} {len(missing)} {sum(seconds):.2f}")
        first_small = sum(length >= _LARGE for length in seconds)
        queues = [(large, missing[:first_small]), (small, missing[first_small:])]
        for numbers, forms in queues[::-1] if small_first else queues:
            _compile_next(numbers, forms, report)
        status = 0
    finally:
        os._exit(status)


def _compile_next(numbers: int, forms: list[Form], report: int) -> None:
    """Compile those of ``forms`` of which nobody else has read the number."""
    while (byte := os.read(numbers, 1)) and byte[0] < len(forms):
        form = forms[byte[0]]
        _say(report, _name(form))
        form[0].compile(form[1])


def _say(report: int, line: str) -> None:
    os.write(report, f"{line}\n".encode())  # short enough to be written whole, between others'


def _name(form: Form) -> str:
    return name_of(form[0].py_func)


def _missing(rehearse: Callable[[], Any]) -> list[Form]:
    """Return what a rehearsal calls and the cache does not have, the slowest first."""
    forms: dict[Form, None] = {}
    _note_only(lambda dispatcher, kinds: forms.setdefault((dispatcher, kinds)))
    signal.signal(signal.SIGPROF, _end_rehearsal)
    signal.setitimer(signal.ITIMER_PROF, _PATIENCE)
    with contextlib.suppress(Exception, _Enough):
        rehearse()
    signal.setitimer(signal.ITIMER_PROF, 0)
    context = cpu_target.target_context
    missing = [
        (dispatcher, kinds) for dispatcher, kinds in forms
        if kinds not in dispatcher.overloads and not _has(dispatcher, kinds, context)
    ]  # fmt: skip
    missing.sort(key=lambda form: -_seconds(_name(form)))
    return missing[:_MOST]


def _has(dispatcher: Any, kinds: tuple, context: Any) -> bool:
    has = getattr(dispatcher._cache, "has", None)
    return has is not None and has(kinds, context)


class _Enough(BaseException):
    """Ends a rehearsal."""


def _end_rehearsal(number: int, frame: Any) -> None:
    raise _Enough


def _note_only(note: Callable[[Any, tuple], Any]) -> None:
    """Let kernels do nothing any more but note who calls them; there is no way back."""
    original = Dispatcher.typeof_pyval

    def called(dispatcher: Any, *arguments: Any) -> int:
        code = dispatcher.py_func.__code__
        if code.co_flags & 4:  # inspect.CO_VARARGS
            first = code.co_argcount
            arguments = (*arguments[:first], arguments[first:])
        note(dispatcher, tuple(original(dispatcher, argument) for argument in arguments))
        return 0

    def start_address() -> int:
        note(team._start, (types.int64,) * 4)
        return 0

    def address(book: AddressBook, key: Any, *arguments: Any) -> int:
        called(book.function, 0, *arguments)
        return 0

    threads._forked_from_openmp = False
    team._start_address = start_address  # type: ignore[assignment]
    Dispatcher.__call__ = called  # type: ignore[assignment, method-assign]
    AddressBook.address = address  # type: ignore[assignment, method-assign]
