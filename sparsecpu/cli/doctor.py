"""``sparsecpu doctor``."""

from __future__ import annotations

import os
import time
from typing import Any

import click

from sparsecpu.cli.options import json_option
from sparsecpu.cli.output import print_json, put


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check this machine: CPU, threads, caches, versions."""
    found = examine()
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        put(f"{key.replace('_', ' '):<18}{text}")


def examine() -> dict[str, Any]:
    """Run a kernel and return what is worth knowing about this machine."""
    import numpy as np

    from sparsecpu.bench.measuring.machine import (
        cpu_model,
        instruction_set,
        threading_layer,
        versions,
    )
    from sparsecpu.kernels.machine.compile import compile_clock
    from sparsecpu.kernels.machine.cpu import level_two_cache, widest_lanes
    from sparsecpu.kernels.machine.threads import available_threads
    from sparsecpu.kernels.update import refresh
    from sparsecpu.reading.memory import free_memory

    data, perm = np.ones(4, np.float32), np.arange(4, dtype=np.int32)
    perm.setflags(write=False)
    times = [time.perf_counter()]
    for _ in range(2):
        refresh(data, perm, np.empty(4, np.float32))
        times.append(time.perf_counter())
    first, second = np.diff(times)
    free = free_memory()
    cache = getattr(refresh, "together").stats.cache_path  # noqa: B009
    return {
        "cpu": cpu_model(),
        "instruction_set": instruction_set(),
        "cores": os.cpu_count(),
        "threads": available_threads(),
        "threading_layer": threading_layer(),
        "blas": _blas(),
        "level_2_cache": f"{level_two_cache() // 1024} KiB",
        "widest_tile": f"{widest_lanes()} samples",
        "memory_free": None if free is None else f"{free / 1e9:.1f} GB",
        "kernel_cache": cache or "none: kernels are compiled in every process",
        "first_kernel": f"{first:.3f} s, of which compiling {compile_clock.seconds:.3f} s",
        "second_call": f"{second * 1e6:.0f} us",
        "versions": versions(),
    }


def _blas() -> str:
    import numpy as np
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    libraries = {
        f"{info['internal_api']} {info['version']} ({info.get('architecture', 'unknown')})"
        for info in threadpool_info()
        if info["user_api"] == "blas"
    }
    return "; ".join(sorted(libraries)) or "unknown"
