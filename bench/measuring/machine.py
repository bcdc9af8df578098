"""What a measurement was made on: CPU, memory, versions."""

from __future__ import annotations

import contextlib
import datetime
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("sparsecpu", "numpy", "numba", "scipy", "scikit-learn", "click")
#: Packages of rivals, named in reports where they are installed.
_PEERS = ("torch", "mkl", "sparseprop", "sparselab")


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
    for package in (*_PACKAGES, *_PEERS):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            if package == "sparsecpu":  # run from a checkout
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


def start_of_peak() -> int:
    """Reset the process's peak memory if the system can, and return the bytes in use now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _process_bytes("VmRSS")


def peak_memory() -> int:
    """Return the most bytes that the process has used, 0 if the system does not tell."""
    return _process_bytes("VmHWM")


def _process_bytes(field: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0


def commit() -> str | None:
    """Return the commit of this checkout, or None if the package is installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty"],
            capture_output=True, timeout=10, check=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def threading_layer() -> str:
    """Return the library that runs Numba's threads here."""
    import numba

    numba.get_num_threads()  # starts them: before, there is no layer to name
    return str(numba.threading_layer())


def describe(threads: int) -> dict[str, Any]:
    """Return everything in this file as plain values, for reports."""
    return {
        "cpu": cpu_model(),
        "instruction_set": instruction_set(),
        "threads": threads,
        "threading_layer": threading_layer(),
        "system": f"{platform.system()} {platform.release()}",
        "versions": versions(),
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
    }
