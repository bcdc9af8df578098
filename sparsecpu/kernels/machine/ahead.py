"""Kernels that a run will need, compiled beforehand: several at once, in processes of their own.

Numba compiles one function at a time, whatever the threads. So children are forked that rehearse a
training step: they do all that it does in Python, but only note which kernels it calls, and with
which types. Each takes the next kernel that is missing, compiles it, and keeps it in the cache.
What a rehearsal does to a child's memory is lost with the child, and as it runs no kernel, it does
not matter which threads it has not inherited.

Nothing here is needed: a kernel that is missing later is compiled when it is called, as ever. There
are no children where processes cannot be forked safely (on Windows and macOS, and under several
Python threads), nor without a cache.
"""

from __future__ import annotations

import contextlib
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
#: A rehearsal ends after so many seconds of work, wherever it is.
_PATIENCE = 2.0
#: Kernels that one run may need; their numbers are bytes.
_MOST = 250

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
    cpu_target.typing_context.refresh()  # once, and not in each child
    cpu_target.target_context.refresh()
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
    jobs, report = os.pipe(), os.pipe()
    os.write(jobs[1], bytes(range(_MOST)))
    os.close(jobs[1])
    children = []
    try:
        for _ in range(count):
            with warnings.catch_warnings():  # of threads, BLAS's: a child has no use for them
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                _child(rehearse, jobs[0], report[1])
            children.append(child)
        os.close(report[1])
        _listen(report[0], count)
    except BaseException:
        for child in children:
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.close(jobs[0])
        ends = [os.waitpid(child, 0)[1] for child in children]
    return not any(ends)


def _listen(report: int, count: int) -> None:
    """Tell those who listen what children begin to compile, until all have ended."""
    known = 0
    with os.fdopen(report, encoding="utf-8") as lines:
        for line in lines:
            number, of, rest = line.rstrip().split(" ", 2)
            if number != "0":
                compile_clock.tell(Compiling(rest, int(number), int(of)))
            elif int(of) and not known:
                known = int(of)
                compile_clock.tell(Compiling("", 0, known, float(rest) / count))
    if known:
        compile_clock.tell(Compiling("", known, known, 0.0))


def _seconds(name: str) -> float:
    return _SECONDS.get(name, _ORDINARY)


def _child(rehearse: Callable[[], Any], jobs: int, report: int) -> None:
    """Rehearse, compile, and end, without anything that the parent would do at its end."""
    status = 1
    try:
        np.seterr(all="ignore")  # arrays that no kernel has filled hold anything
        compile_clock.on_first = None
        compile_clock.listeners.clear()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        missing = _missing(rehearse)
        count = len(missing)
        _say(report, f"0 {count} {sum(_seconds(_name(form)) for form in missing):.2f}")
        while byte := os.read(jobs, 1):
            if byte[0] >= count:
                break
            _say(report, f"{byte[0] + 1} {count} {_name(missing[byte[0]])}")
            dispatcher, kinds = missing[byte[0]]
            dispatcher.compile(kinds)
        status = 0
    finally:
        os._exit(status)


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
