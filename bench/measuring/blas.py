"""Finds OpenBLAS's fastest kernels on this CPU, so that the dense rival is as good as it can be.

OpenBLAS picks its kernels by the name of the CPU, and may leave AVX-512 unused on CPUs that it
does not know. ``OPENBLAS_CORETYPE`` overrides the choice, but only when the library is loaded.

Run as ``python -m sparsecpu.bench.measuring.blas``, it prints the GFLOP/s of a matrix product.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np

_MARK = "SPARSECPU_BENCH_CORETYPE"
#: Core types to try where the CPU has the feature.
_CANDIDATES = {"avx2": ("Haswell", "Zen"), "avx512f": ("SkylakeX",),
               "avx512_bf16": ("Cooperlake", "SapphireRapids")}  # fmt: skip
#: How many times faster another core type must be to be worth starting again.
_WORTHWHILE = 1.05


def gemm_gflops(size: int = 768, rounds: int = 7) -> float:
    """Return the best GFLOP/s of NumPy's product of square float32 matrices."""
    a, out = np.ones((size, size), dtype=np.float32), np.empty((size, size), dtype=np.float32)
    best = 0.0
    for _ in range(rounds):
        start = time.perf_counter()
        np.matmul(a, a, out=out)
        best = max(best, 2e-9 * size**3 / (time.perf_counter() - start))
    return best


def architecture() -> str | None:
    """Return the core type that NumPy's OpenBLAS runs with, or None with another BLAS."""
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    for info in threadpool_info():
        if info["internal_api"] == "openblas" and "numpy" in info["filepath"].lower():
            return str(info.get("architecture"))
    return None


def survey(threads: int) -> dict[str, float]:
    """Return the GFLOP/s of each core type that may suit this CPU; empty without OpenBLAS."""
    import llvmlite.binding as llvm

    if architecture() is None:
        return {}
    features = llvm.get_host_cpu_features()
    names = [n for need, found in _CANDIDATES.items() if features.get(need) for n in found]
    rates: dict[str, float] = {}
    for name in ["default", *names]:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads)}
        environment.pop("OPENBLAS_CORETYPE", None)
        if name != "default":
            environment["OPENBLAS_CORETYPE"] = name
        command = [sys.executable, "-m", "sparsecpu.bench.measuring.blas"]
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, timeout=60, check=True
            )
            rates[name] = float(json.loads(done.stdout))
        except (OSError, subprocess.SubprocessError, ValueError):
            continue  # this build of OpenBLAS does not know the name, or crashes under it
    return rates


def best_core_type(threads: int) -> tuple[str, dict[str, float]]:
    """Return the fastest core type, ``default`` for OpenBLAS's own choice, and the GFLOP/s of all.

    It is measured once: a process that was started under a core type is told in a variable.
    """
    if _MARK in os.environ:
        found: dict[str, Any] = json.loads(os.environ[_MARK])
        return found["name"], found["rates"]
    if os.environ.get("OPENBLAS_CORETYPE"):
        return os.environ["OPENBLAS_CORETYPE"], {}  # the user has chosen
    rates = survey(threads)
    name = max(rates, key=rates.__getitem__, default="default")
    worthwhile = rates and rates[name] >= _WORTHWHILE * rates.get("default", 0.0)
    if not worthwhile or name == architecture():  # the latter is the default, faster by chance
        name = "default"
    return name, rates


def start_again_under(name: str, rates: dict[str, float]) -> int:
    """Run this command line again under a core type, and return the exit code."""
    mark = json.dumps({"name": name, "rates": rates})
    environment = {**os.environ, "OPENBLAS_CORETYPE": name, _MARK: mark}
    command = [sys.executable, "-m", "sparsecpu", *sys.argv[1:]]
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.stdout.write(json.dumps(gemm_gflops()) + "\n")
