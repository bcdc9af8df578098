"""What the kernels need to know of this CPU."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

#: Where Linux tells of the caches of the first core.
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@cache
def level_one_cache() -> int:
    """Return the size of this CPU's level-1 data cache in bytes, or 32 KiB where it is not told."""
    return _cache_size(0, 32 * 1024)


@cache
def level_two_cache() -> int:
    """Return the size of this CPU's level-2 cache in bytes, or 1 MiB where it is not told."""
    return _cache_size(2, 1024**2)


@cache
def level_three_share() -> int:
    """Return a core's share of the level-3 cache in bytes, or 0 where it is not told."""
    return _cache_size(3, 0) // _sharing(3)


def near_level_three() -> int:
    """Return how many bytes of level 3 are as good as level 2: half of a core's share.

    0 where level 2 has 2 MiB or more: there, level 3 was further away.
    """
    return level_three_share() // 2 if level_two_cache() < 2 * 1024**2 else 0


def _sharing(index: int) -> int:
    """Return how many cores, as the system counts them, share a cache."""
    try:
        shared = (_CACHES / f"index{index}" / "shared_cpu_list").read_text()
        ends = [[int(end) for end in part.split("-")] for part in shared.split(",")]
    except (OSError, ValueError):
        return 1
    return sum(part[-1] - part[0] + 1 for part in ends)


def _cache_size(index: int, otherwise: int) -> int:
    try:
        text = (_CACHES / f"index{index}" / "size").read_text().strip()
        return int(text[:-1]) * {"K": 1024, "M": 1024**2}[text[-1]]
    except (OSError, ValueError, KeyError, IndexError):
        return otherwise


@cache
def _compiles_for(feature: str) -> bool:
    """Return True if Numba uses a feature: the host has it, or NUMBA_CPU_FEATURES names it."""
    import llvmlite.binding as llvm
    from numba.core import config

    chosen = getattr(config, "CPU_FEATURES", None)
    if chosen is not None:
        return f"+{feature}" in chosen.split(",")
    return bool(llvm.get_host_cpu_features().get(feature))


@cache
def registers() -> tuple[int, int]:
    """Return how many registers hold vectors, and how many bytes each of them has."""
    if _compiles_for("avx512f"):
        return 32, 64
    if _compiles_for("avx2"):
        return 16, 32
    return (32 if _compiles_for("neon") else 16), 16


@cache
def widest_lanes() -> int:
    """Return the widest tile that stays in registers: 128 floats with AVX-512, else 64."""
    return 128 if _compiles_for("avx512f") else 64


@cache
def wide_vectors_pay() -> bool:
    """Return True if kernels may use vectors as wide as a tile: with AVX2, AVX-512 or NEON.

    ``SPARSECPU_KERNELS=portable`` (or ``wide``) in the environment overrides the choice.
    """
    override = os.environ.get("SPARSECPU_KERNELS")
    if override in ("portable", "wide"):
        return override == "wide"
    return any(_compiles_for(name) for name in ("avx2", "avx512f", "neon"))


#: Sizes of groups that products in pairs are for: of fewer rows, making the pairs takes as long.
PAIRED_GROUPS = (4, 8)


@cache
def bf16_products() -> str:
    """Return how this CPU multiplies bf16 faster than float32: by "pairs", or "" for not at all.

    AVX512-BF16 does twice as many products a second as float32's on AMD's CPUs, but only half as
    many on Intel's (116 against 234 GFLOP/s on a core of one that has AMX too).
    ``SPARSECPU_KERNELS=pairs`` in the environment chooses them wherever they run.
    """
    from numba.core import config

    if not (wide_vectors_pay() and _compiles_for("avx512bf16") and _compiles_for("avx512vl")):
        return ""
    name = getattr(config, "CPU_NAME", None) or _host_name()
    pay = name.startswith("znver") or os.environ.get("SPARSECPU_KERNELS") == "pairs"
    return "pairs" if pay else ""


def _host_name() -> str:
    import llvmlite.binding as llvm

    return str(llvm.get_host_cpu_name())
