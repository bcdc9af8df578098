"""What limits a sparse kernel: how fast the caches deliver vectors, and how fast they multiply.

A sparse product loads one vector of ``lanes`` floats per multiply-add, from a place that the
pattern decides. How fast such loads come from the cache level that holds the tile is its limit.
Where rows stand in groups, a load serves all of them: so many times as high is the limit of loads,
and that of multiply-adds in registers comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from sparsecpu.kernels.machine.arrays import aligned_copy

#: Lanes of a tile while training an MLP with large batches: loads of 512 bytes.
LANES = 128
_LEAST_LOADS = 16_384


def cache_sizes() -> dict[str, int]:
    """Return the bytes of CPU 0's data caches by level; empty if the system does not tell."""
    sizes = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind, level = ((folder / name).read_text().strip() for name in ("type", "level"))
            text = (folder / "size").read_text().strip()
            if kind != "Instruction":
                sizes[f"L{level}"] = int(text[:-1]) * {"K": 1024, "M": 1024**2}[text[-1]]
        except (OSError, ValueError, KeyError):
            continue
    return sizes


def level_of(nbytes: float) -> str:
    """Return the cache level that holds so many bytes: ``L2``, ``memory``, or ``?`` if unknown."""
    sizes = cache_sizes()
    for name, size in sizes.items():
        if nbytes <= size:
            return name
    return "memory" if sizes else "?"


class Loads:
    """Vectors of ``lanes`` floats, loaded from a buffer in order or at random, and multiplied."""

    def __init__(self, nbytes: int, random: bool = True, lanes: int = LANES) -> None:
        self.lanes, rows = lanes, max(2, nbytes // (4 * lanes))
        self.tile = aligned_copy(np.ones((rows, lanes), dtype=np.float32))
        # Every vector is loaded twice or more, or a small part would stand for the whole buffer.
        self.count = max(_LEAST_LOADS, 2 * rows)
        order = np.random.default_rng(0).integers(0, rows, self.count)
        self.rows = (order if random else np.arange(self.count) % rows).astype(np.int32)

    def call(self) -> Callable[[], object]:
        """Return the function to time."""
        from sparsecpu.kernels.machine.probe import random_load_kernel

        probe, factor = random_load_kernel(self.lanes), np.float32(0.5)
        return lambda: probe(self.tile, self.rows, factor)

    def gflops(self, ms: float) -> float:
        """Return the GFLOP/s of all loads in so many milliseconds, two operations per float."""
        return 2e-6 * self.count * self.lanes / ms


class Peak:
    """Multiply-adds in registers: float32, one thread."""

    def __init__(self, steps: int = 20_000) -> None:
        self.steps = steps

    def call(self) -> Callable[[], object]:
        """Return the function to time."""
        from sparsecpu.kernels.machine.probe import peak_kernel

        factor = np.float32(0.5)
        return lambda: peak_kernel(self.steps, factor)

    def gflops(self, ms: float) -> float:
        """Return the GFLOP/s of all of them in so many milliseconds."""
        return 2e-6 * self.steps * 256 / ms
