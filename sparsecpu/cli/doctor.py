"""``sparsecpu doctor``."""

from __future__ import annotations

import os
import time
from typing import Any

from sparsecpu.cli.grouped_help import command
from sparsecpu.cli.options import json_option
from sparsecpu.cli.output import print_json, put
from sparsecpu.experiments.tables import folded


@command()
@json_option
def doctor(as_json: bool) -> None:
    """Check this machine: CPU, threads, caches, versions."""
    found = examine()
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        if key.endswith("_bytes"):  # said in words as well
            continue
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        put(folded(f"{key.replace('_', ' '):<18}{text}", " " * 18))


def examine() -> dict[str, Any]:
    """Run a kernel and return what is worth knowing about this machine."""
    import numpy as np

    from sparsecpu.bench.measuring.machine import (
        cpu_model,
        instruction_set,
        threading_layer,
        versions,
    )
    from sparsecpu.kernels.machine.cache import cache_folder
    from sparsecpu.kernels.machine.compile import compile_clock
    from sparsecpu.kernels.machine.cores import allowed_cores
    from sparsecpu.kernels.machine.cpu import level_two_cache, widest_lanes
    from sparsecpu.kernels.update import refresh

    data, perm = np.ones(4, np.float32), np.arange(4, dtype=np.int32)
    perm.setflags(write=False)
    times = [time.perf_counter()]
    for _ in range(2):
        refresh(data, perm, np.empty(4, np.float32))
        times.append(time.perf_counter())
    first, second = np.diff(times)
    return {
        "cpu": cpu_model(),
        "instruction_set": instruction_set(),
        "cores": os.cpu_count(),
        "cores_allowed": allowed_cores().count,
        "cores_limit": allowed_cores().rule,
        **_threads(),
        "threading_layer": threading_layer(),
        "blas": _blas(),
        "level_2_cache": f"{level_two_cache() // 1024} KiB",
        "widest_tile": f"{widest_lanes()} samples",
        **_memory(),
        "kernel_cache": str(cache_folder() or "") or "none: kernels are compiled in every process",
        "first_kernel": f"{first:.3f} s, of which compiling {compile_clock.seconds:.3f} s",
        "second_call": f"{second * 1e6:.0f} us",
        "versions": versions(),
    }


def _threads() -> dict[str, Any]:
    """Return how many threads a command may use, and what the user has said of that."""
    from sparsecpu.kernels.machine.threads import available_threads

    said = os.environ.get("NUMBA_NUM_THREADS")
    rule = {} if said is None else {"threads_limit": f"NUMBA_NUM_THREADS is {said}"}
    return {"threads": available_threads(), **rule}


def _memory() -> dict[str, Any]:
    """Return how much memory is free, and which limit leaves no more."""
    from sparsecpu.reading.memory import in_words, memory_bounds

    bounds = memory_bounds()
    if not bounds:
        return {"memory_free": None, "memory_limit": "the system does not tell"}
    return {
        "memory_free": in_words(bounds[0].free),
        "memory_free_bytes": bounds[0].free,
        "memory_limit": bounds[0].rule,
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
