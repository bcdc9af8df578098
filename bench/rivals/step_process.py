"""Training steps in a process of their own: under another allocator, or to see their memory.

Run as ``python -m sparsecpu.bench.rivals.step_process``, it reads a line of JSON that names the
contestant, and then one command per line: ``step`` or ``peak``. It answers each with a line of
JSON.
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

from sparsecpu.bench.cases import Batches, NetworkCase, Variant
from sparsecpu.bench.measuring.machine import peak_memory, start_of_peak
from sparsecpu.bench.measuring.step_clock import StepClock
from sparsecpu.bench.measuring.timing import limited_threads

#: Variables under which glibc's allocator keeps freed memory, in huge pages, for the next step.
TUNED_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "8589934592", "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}  # fmt: skip
#: What a rival that has all weights is.
_DENSE = Variant(0.0)


def has_tuned_malloc() -> bool:
    """Return True if the system's allocator knows the variables of ``TUNED_MALLOC``."""
    return platform.libc_ver()[0] == "glibc"


class StepProcess:
    """The steps of a rival, by its name, or ``ours``, in a process of their own."""

    def __init__(
        self, contestant: str, case: NetworkCase, variant: Variant = _DENSE,
        precision: str = "fp32", environment: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        command = [sys.executable, "-m", "sparsecpu.bench.rivals.step_process"]
        self._child = subprocess.Popen(
            command, env={**os.environ, **(environment or {})}, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        spec = {
            "contestant": contestant,
            "case": asdict(case),
            "variant": asdict(variant),
            "precision": precision,
        }
        self._call(json.dumps(spec))

    def _call(self, line: str) -> Any:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline()
        if not answer:
            raise RuntimeError("the process that makes a rival's steps has ended unexpectedly")
        return json.loads(answer)

    def step(self) -> tuple[list[str], list[float]]:
        """Make a step; return the names of its stretches, and when they began and ended."""
        names, stamps = self._call("step")
        return names, stamps

    def peak(self) -> int:
        """Return the peak of the memory that the network and its steps took, in bytes."""
        return self._call("peak")

    def close(self) -> None:
        """End the process."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._child.wait()
        self._child.stdout.close()


def _serve() -> None:
    """Obey the lines of the standard input."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what others print must not come between
    spec = json.loads(sys.stdin.readline())
    options = spec["case"]
    several = {name: tuple(options[name]) for name in ("sizes", "sparsities", "groups")}
    case = NetworkCase(**options | several)
    _import_libraries(spec["contestant"])
    with limited_threads(case.threads):
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


def _import_libraries(contestant: str) -> None:
    """Load PyTorch before memory is measured, so that it does not count."""
    if contestant != "ours":
        import torch

        torch.nn.functional.conv2d(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3))


def _make(spec: dict[str, Any], case: NetworkCase) -> Any:
    from sparsecpu.bench.ours.steps import OurStep
    from sparsecpu.bench.rivals.steps import RIVALS

    variant = Variant(**spec["variant"])
    if spec["contestant"] == "ours":
        return OurStep(case, variant, Batches(case), spec["precision"])
    rival = next(rival for rival in RIVALS if rival.name == spec["contestant"])
    return rival(case, Batches(case), variant)


if __name__ == "__main__":
    _serve()
