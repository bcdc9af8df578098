"""Processes that time a dense network's step beside a training run: NumPy, and PyTorch if here."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence

#: Environment variables that set the number of threads of a BLAS when it is loaded.
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS",
                     "VECLIB_MAXIMUM_THREADS")  # fmt: skip
#: Libraries that are timed, and the module of ours that does it.
_LIBRARIES = {"NumPy": "numpy_mlp", "PyTorch": "torch_mlp"}


class DenseChildren:
    """Processes that load their library while others work, and then time dense steps once, in turn.

    Of each library, one has ``threads`` (None: as many as it takes), the other a single thread,
    which is faster for small products, and for all where other programs keep the cores busy. They
    wait on their standard input, so they end by themselves when their parent does.
    """

    def __init__(self, threads: int | None) -> None:
        self._children: list[tuple[str, subprocess.Popen[str]]] = []
        here = importlib.util.find_spec("torch") is not None
        with contextlib.suppress(OSError):
            for count in dict.fromkeys((threads, 1)):
                self._children.append(("NumPy", _waiting_child("NumPy", count)))
            if here:  # one process, which sets its threads itself
                self._children.append(("PyTorch", _waiting_child("PyTorch", threads)))

    def __enter__(self) -> DenseChildren:
        return self

    def __exit__(self, *details: object) -> None:
        for _, child in self._children:
            if child.poll() is None:
                child.kill()
                child.communicate()

    def time(self, layers: Sequence[int], batch: int) -> dict[str, tuple[float, str]]:
        """Return the least milliseconds of each precision, and the library; only once.

        Precisions that nobody could time are not there.
        """
        request = json.dumps({"layers": list(layers), "batch": batch})
        found: dict[str, tuple[float, str]] = {}
        for library, child in self._children:
            with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
                answer = json.loads(child.communicate(request, timeout=600)[0])
                for precision, ms in answer.items():
                    found[precision] = min(found.get(precision, (ms, library)), (ms, library))
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
