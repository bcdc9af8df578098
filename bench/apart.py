"""Training steps in a process of their own: with another allocator, or to see their memory.

Run as ``python -m sparsecpu.bench.apart``, it reads a line of JSON that says whose steps, and then
a command a line: ``step`` or ``peak``. It answers each with a line of JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from sparsecpu.bench.layer_clock import StepClock
from sparsecpu.bench.machine import peak_memory, start_of_peak
from sparsecpu.bench.step_cases import Batches, Case

#: Memory that is freed stays in the process, in huge pages: nothing is handed out twice.
TUNED_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "8589934592", "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}  # fmt: skip


def has_tuned_malloc() -> bool:
    """Return whether the system's allocator knows these variables."""
    return platform.libc_ver()[0] == "glibc"


class Apart:
    """Somebody's training steps in a process of their own.

    Parameters
    ----------
    who : str
        A rival's name, or ``ours``.
    case : Case
        The network.
    sparsity : float
        1 - density.
    precision : str
        How our layers read their inputs.
    environment : dict of str to str
        Variables that the process has beside those of this one.
    """

    def __init__(
        self, who: str, case: Case, sparsity: float = 0.0, precision: str = "fp32",
        environment: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        command = [sys.executable, "-m", "sparsecpu.bench.apart"]
        self._child = subprocess.Popen(
            command, env={**os.environ, **(environment or {})}, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        spec = {"who": who, "case": asdict(case), "sparsity": sparsity, "precision": precision}
        self._ask(json.dumps(spec))

    def _ask(self, line: str) -> Any:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline()
        if not answer:
            raise RuntimeError("the process of a rival has ended before its time")
        return json.loads(answer)

    def step(self) -> tuple[list[str], list[float]]:
        """Do a step.

        Returns
        -------
        names : list of str
            What was done in each stretch of it.
        stamps : list of float
            When it began, and when each ended, on the clock that all processes share.
        """
        names, stamps = self._ask("step")
        return names, stamps

    def peak(self) -> int:
        """Return the most bytes that network and steps took beside what the process had before."""
        return self._ask("peak")

    def close(self) -> None:
        """End the process."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._child.wait()
        self._child.stdout.close()


def _serve() -> None:
    """Do as the lines on the standard input say."""
    from threadpoolctl import threadpool_limits

    from sparsecpu.kernels.machine.threads import use_threads

    answers, sys.stdout = sys.stdout, sys.stderr  # nobody else's words may come between
    spec = json.loads(sys.stdin.readline())
    options = spec["case"]
    case = Case(
        **options | {"sizes": tuple(options["sizes"]), "sparsities": tuple(options["sparsities"])}
    )
    _import_libraries(spec["who"])
    with use_threads(case.threads), threadpool_limits(case.threads):
        before = start_of_peak()
        made = _make(spec, case)
        clock = StepClock(made.step)
        with made.watched(clock):
            for line in itertools.chain(["ready\n"], iter(sys.stdin.readline, "")):
                answer: Any = None
                if line == "step\n":
                    clock()
                    answer = clock.stretches()
                elif line == "peak\n":
                    answer = peak_memory() - before
                answers.write(json.dumps(answer) + "\n")
                answers.flush()


def _import_libraries(who: str) -> None:
    """Import, and compile, what is not part of anybody's steps."""
    if who != "ours":
        import torch

        torch.nn.functional.conv2d(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3))


def _make(spec: dict[str, Any], case: Case) -> Any:
    from sparsecpu.bench.step_rivals import RIVALS
    from sparsecpu.bench.steps import Ours

    if spec["who"] == "ours":
        return Ours(case, spec["sparsity"], Batches(case), spec["precision"])
    rival = next(rival for rival in RIVALS if rival.name == spec["who"])
    return rival(case, Batches(case), spec["sparsity"])


if __name__ == "__main__":
    _serve()
