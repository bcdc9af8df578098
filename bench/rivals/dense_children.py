"""Processes that make a dense network's steps beside a training run: NumPy's, PyTorch's if here."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Environment variables that set the number of threads of a BLAS when it is loaded.
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS",
                     "VECLIB_MAXIMUM_THREADS")  # fmt: skip
#: Libraries that are timed, and the module of ours that does it.
_LIBRARIES = {"NumPy": "numpy_mlp", "PyTorch": "torch_mlp"}
#: Seconds after a step in which its threads, where it has several, still wait for another one,
#: and would take time from whoever comes next.
LINGERING = 0.02
#: Seconds after which a process is not waited for any longer.
_PATIENCE = 60.0


@dataclass
class DenseSteps:
    """A kind of dense step that a process makes: its number there, its precision, its library."""

    child: subprocess.Popen[str]
    number: int
    precision: str
    library: str
    single: bool

    def turn(self, seconds: float) -> list[float]:
        """Let it make steps for so many seconds; return their milliseconds, none if it fails."""
        times = _asked(self.child, [self.number, seconds]) or []
        if not self.single:
            time.sleep(LINGERING)
        return times


class DenseChildren:
    """Processes that load their library while others work, and then make dense steps in turns.

    Of each library, one has ``threads`` (None: as many as it takes), the other a single thread,
    which is faster for small products, and for all where other programs keep the cores busy. They
    wait on their standard input, so they end by themselves when their parent does.
    """

    def __init__(self, threads: int | None) -> None:
        #: By library: a process, and whether it has a single thread.
        self._children: list[tuple[str, subprocess.Popen[str], bool]] = []
        here = importlib.util.find_spec("torch") is not None
        with contextlib.suppress(OSError):
            for count in dict.fromkeys((threads, 1)):
                self._children.append(("NumPy", _waiting_child("NumPy", count), count == 1))
            if here:  # one process, which sets its threads itself
                self._children.append(("PyTorch", _waiting_child("PyTorch", threads), False))

    def __enter__(self) -> DenseChildren:
        return self

    def __exit__(self, *details: object) -> None:
        for _, child, _ in self._children:
            if child.poll() is None:
                child.kill()
                child.communicate()

    def steps(self, layers: Sequence[int], batch: int) -> list[DenseSteps]:
        """Return the kinds of steps that processes can make of this network; only once."""
        request = {"layers": list(layers), "batch": batch}
        found = []
        for library, child, single in self._children:
            for number, precision in enumerate(_asked(child, request) or ()):
                found.append(DenseSteps(child, number, precision, library, single))
        return found


def _waiting_child(library: str, threads: int | None) -> subprocess.Popen[str]:
    environment = dict(os.environ)
    if threads is not None:
        environment |= {name: str(threads) for name in THREAD_VARIABLES}
    command = [sys.executable, "-m", f"sparsecpu.bench.rivals.{_LIBRARIES[library]}"]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    return subprocess.Popen(
        command, env=environment, text=True, stdin=pipe, stdout=pipe, stderr=nothing
    )


def _asked(child: subprocess.Popen[str], request: Any) -> Any:
    """Return a process's answer to a line of JSON, or None if it has ended or takes too long."""
    assert child.stdin is not None
    assert child.stdout is not None
    patience = threading.Timer(_PATIENCE, child.kill)
    patience.start()
    try:
        child.stdin.write(json.dumps(request) + "\n")
        child.stdin.flush()
        return json.loads(child.stdout.readline())
    except (OSError, ValueError):
        return None
    finally:
        patience.cancel()
