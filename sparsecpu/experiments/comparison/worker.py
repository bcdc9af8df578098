"""A process of a comparison, which does runs for as long as its parent is there."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from typing import Any

from sparsecpu.experiments.comparison.comparison import Comparison
from sparsecpu.experiments.comparison.runs import Job, Runner, run_with_warnings

_runner: Runner | None = None
_failure: Exception | None = None


def prepare(comparison: Comparison) -> None:
    """Read the data once per process."""
    global _runner, _failure
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent breaks off
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        _runner = Runner(comparison)
    except Exception as error:  # the pool would print it over many lines, and only say it broke
        _failure = error


def work(job: Job) -> tuple[dict[str, Any], list[str]]:
    """Do a run; return its result, and what it warned of."""
    if _failure is not None:
        raise _failure
    assert _runner is not None
    return run_with_warnings(_runner, job)


def end_with_parent() -> None:
    """End once the parent has; after a kill it cannot say so, and nobody wants the results."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
