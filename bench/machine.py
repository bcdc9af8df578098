"""What a measurement was made on."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Any


def cpu_model() -> str:
    """Return the name of this CPU."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter."""
    found = {"python": platform.python_version()}
    for package in ("sparsecpu", "numpy", "numba", "scipy", "scikit-learn", "click"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a checkout
            from sparsecpu import __version__

            found[package] = __version__
    return found


def instruction_set() -> str:
    """Return the widest vector instructions that kernels are compiled for."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    for name, title in (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("neon", "NEON")):
        if features.get(name):
            return title
    return platform.machine()


def memory_free() -> int | None:
    """Return the bytes of memory that are free, or None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def describe(threads: int) -> dict[str, Any]:
    """Return all of it, for reports.

    Parameters
    ----------
    threads : int
        Threads in use.

    Returns
    -------
    dict
        Plain values.
    """
    return {
        "cpu": cpu_model(),
        "instruction_set": instruction_set(),
        "threads": threads,
        "system": f"{platform.system()} {platform.release()}",
        "versions": versions(),
    }
