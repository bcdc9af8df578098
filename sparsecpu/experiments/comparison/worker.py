"""A process of a comparison, which does runs until it is told to end or its parent has ended."""

from __future__ import annotations

import _thread
import os
import signal
import threading
from multiprocessing import connection, parent_process
from typing import Any

from sparsecpu.experiments.comparison.comparison import Comparison
from sparsecpu.experiments.comparison.runs import Job, Runner, run_with_warnings


class Stopped(BaseException):
    """The comparison ends, and nobody wants the result of the run at work."""


class _State:
    """What this process knows: its runner, or what kept it from having one."""

    runner: Runner | None = None
    failure: Exception | None = None
    busy = ended = False


def prepare(comparison: Comparison, ending: connection.Connection) -> None:
    """Read the data once per process; ``ending`` is closed at its other end when all shall end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent breaks off
    signal.signal(signal.SIGTERM, _interrupted)
    threading.Thread(target=_watch, args=(ending,), daemon=True).start()
    try:
        _State.runner = Runner(comparison)
    except Exception as error:  # the pool would print it over many lines, and say it has broken
        _State.failure = error


def work(job: Job) -> tuple[dict[str, Any], list[str]]:
    """Do a run; a process that is to end refuses it."""
    if _State.failure is not None:
        raise _State.failure
    assert _State.runner is not None
    _State.busy = True
    try:
        if _State.ended:
            raise Stopped
        return run_with_warnings(_State.runner, job)
    finally:
        _State.busy = False


def _interrupted(number: int, frame: Any) -> None:
    """Break off the run at work, if all shall end; else somebody wants this process to end."""
    if not _State.ended:
        os._exit(128 + number)
    if _State.busy:
        raise Stopped


def _watch(ending: connection.Connection) -> None:
    """Break off the run at work when told so; end this process once its parent has ended.

    After a kill the parent cannot say so, and nobody wants the results.
    """
    parent = parent_process()
    if parent is None:
        return
    if parent.sentinel not in connection.wait([ending, parent.sentinel]):
        _State.ended = True
        _thread.interrupt_main(signal.SIGTERM)
    parent.join()
    os._exit(1)
