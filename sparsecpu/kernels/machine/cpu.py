"""What the kernels need to know of this CPU."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


@cache
def level_one_cache() -> int:
    """Return the size of this CPU's level-1 data cache in bytes, or 32 KiB where it is not told."""
    return _cache_size(0, 32 * 1024)


@cache
def level_two_cache() -> int:
    """Return the size of this CPU's level-2 cache in bytes, or 1 MiB where it is not told."""
    return _cache_size(2, 1024**2)


def _cache_size(index: int, otherwise: int) -> int:
    try:
        text = Path(f"/sys/devices/system/cpu/cpu0/cache/index{index}/size").read_text().strip()
        return int(text[:-1]) * {"K": 1024, "M": 1024**2}[text[-1]]
    except (OSError, ValueError, KeyError, IndexError):
        return otherwise


@cache
def widest_lanes() -> int:
    """Return the widest tile that stays in registers: 128 floats with AVX-512, else 64."""
    import llvmlite.binding as llvm
    from numba.core import config

    chosen = getattr(config, "CPU_NAME", None)  # the user chose a CPU to compile for
    if chosen and chosen not in ("host", llvm.get_host_cpu_name()):
        return 128 if "avx512" in chosen else 64
    return 128 if llvm.get_host_cpu_features().get("avx512f") else 64


@cache
def wide_vectors_pay() -> bool:
    """Return whether kernels may use vectors as wide as a tile: with AVX2, AVX-512 or NEON.

    ``SPARSECPU_KERNELS=portable`` (or ``wide``) in the environment overrides the choice.
    """
    asked = os.environ.get("SPARSECPU_KERNELS")
    if asked in ("portable", "wide"):
        return asked == "wide"
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    return any(features.get(name) for name in ("avx2", "avx512f", "neon"))
