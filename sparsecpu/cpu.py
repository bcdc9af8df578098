"""What the kernels need to know of this CPU."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def level_two_cache() -> int:
    """Return the size of this CPU's level-2 cache in bytes, or 1 MiB where it is not told."""
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text().strip()
        return int(text[:-1]) * {"K": 1024, "M": 1024**2}[text[-1]]
    except (OSError, ValueError, KeyError, IndexError):
        return 1024**2


@cache
def widest_lanes() -> int:
    """Return the widest tile that stays in registers: 128 floats with AVX-512, else 64."""
    import llvmlite.binding as llvm
    from numba.core import config

    chosen = getattr(config, "CPU_NAME", None)  # the user chose a CPU to compile for
    if chosen and chosen not in ("host", llvm.get_host_cpu_name()):
        return 128 if "avx512" in chosen else 64
    return 128 if llvm.get_host_cpu_features().get("avx512f") else 64
