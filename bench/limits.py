"""``bench kernels``: what this machine could do at best, and how near the kernels come.

A sparse product has one load of a run of floats per multiply-add, at places that the pattern
decides. How fast such loads come from the cache level where the tile lies is its limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.bench.base import Benchmark
from sparsecpu.bench.timing import compare
from sparsecpu.kernels.machine.arrays import aligned_copy

_LANES = 128
_PLACES = 16_384


def cache_sizes() -> dict[str, int]:
    """Return the bytes of each data cache of CPU 0, by level; empty where they are not told."""
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
    """Return the cache level that holds so many bytes.

    Parameters
    ----------
    nbytes : float
        A working set.

    Returns
    -------
    str
        Such as ``L2``; ``memory`` where none does, ``?`` where levels are unknown.
    """
    sizes = cache_sizes()
    for name, size in sizes.items():
        if nbytes <= size:
            return name
    return "memory" if sizes else "?"


class Loads:
    """Runs of floats from a buffer, multiplied and added: random or one after the other.

    Parameters
    ----------
    nbytes : int
        Of the buffer.
    random : bool
        Whether places are random.
    lanes : int
        Floats per run.
    """

    def __init__(self, nbytes: int, random: bool = True, lanes: int = _LANES) -> None:
        self.lanes, rows = lanes, max(2, nbytes // (4 * lanes))
        self.tile = aligned_copy(np.ones((rows, lanes), dtype=np.float32))
        # Every run is visited several times, or a small part of the buffer would stand for it.
        self.count = max(_PLACES, -(-2 * rows // 2) * 2)
        order = np.random.default_rng(0).integers(0, rows, self.count)
        self.places = (order if random else np.arange(self.count) % rows).astype(np.int32)

    def call(self) -> Callable[[], object]:
        """Return the loads as a call."""
        from sparsecpu.kernels.machine.probe import random_load_kernel

        probe, factor = random_load_kernel(self.lanes), np.float32(0.5)
        return lambda: probe(self.tile, self.places, factor)

    def gflops(self, ms: float) -> float:
        """Return the GFLOP/s that a time means.

        Parameters
        ----------
        ms : float
            Milliseconds.

        Returns
        -------
        float
            Two operations per float.
        """
        return 2e-6 * self.count * self.lanes / ms


def peak_gflops(rounds: int = 9) -> float:
    """Return the GFLOP/s of multiply-adds between registers.

    Parameters
    ----------
    rounds : int
        The best of so many runs counts.

    Returns
    -------
    float
        Single precision, one thread.
    """
    from sparsecpu.kernels.machine.probe import peak_kernel

    steps, best = 200_000, 0.0
    peak_kernel(1, np.float32(0.5))
    for _ in range(rounds):
        start = time.perf_counter()
        peak_kernel(steps, np.float32(0.5))
        best = max(best, 2e-9 * steps * 256 / (time.perf_counter() - start))
    return best


class Kernels(Benchmark):
    """Loads from each cache level, in order and at random, beside the kernels on such tiles."""

    name = "kernels"
    title = "loads of 512-byte runs and the kernels that live on them, one thread"

    def cases(self) -> list[int]:
        """Return sizes of a tile in KiB."""
        few = [32, 256, 512, 1024]
        return self.pick([32, 512], [*few, 2048, 65536], [*few, 1536, 2048, 4096, 16384, 262144])

    def run(self, case: int) -> dict[str, Any]:
        """Measure one size of tile; see ``Benchmark.run``.

        Parameters
        ----------
        case : int
            KiB.

        Returns
        -------
        dict
            ``kib, level, sequential_gbs, random_gflops`` and, where a layer of that width is
            realistic, GFLOP/s of ``forward, dx, dw`` at 95 % sparsity.
        """
        from sparsecpu.bench.linear import PARTS, Case, Sparse
        from sparsecpu.kernels.machine.threads import use_threads

        ordered, random = Loads(case * 1024, random=False), Loads(case * 1024)
        contestants = {"loads/ordered": ordered.call(), "loads/random": random.call()}
        width, sparse = case * 1024 // (4 * _LANES), None
        if 256 <= width <= 8192:
            case_ = Case(width, width, _LANES, (0.95,), 1)
            sparse = Sparse(case_, 0.95, lanes=_LANES, blocked=False)
            contestants |= {f"ours/{part}": call for part, call in sparse.parts().items()}
        with use_threads(1):
            times = compare(contestants, rounds=self.pick(3, 5, 9))
        result: dict[str, Any] = {"kib": case, "level": level_of(case * 1024)}
        result["sequential_gbs"] = 2 * ordered.gflops(times["loads/ordered"].ms)
        result["random_gflops"] = random.gflops(times["loads/random"].ms)
        for part in PARTS if sparse is not None else ():
            flop = 2e-6 * sparse.weight.nnz * _LANES
            result[part] = flop / times[f"ours/{part}"].ms
        return result

    def heading(self) -> str:
        """Return the table's first line."""
        return (
            f"{'tile KiB':>9}{'level':>8}{'in order GB/s':>15}{'random GFLOP/s':>16}"
            f"{'forward':>10}{'dx':>8}{'dw':>8}   (GFLOP/s at 95 % sparsity, one tile, no blocks)"
        )

    def row(self, result: dict[str, Any]) -> str:
        """Return a line; see ``Benchmark.row``.

        Parameters
        ----------
        result : dict
            From ``run``.

        Returns
        -------
        str
            A line.
        """
        line = f"{result['kib']:>9}{result['level']:>8}{result['sequential_gbs']:>15.0f}"
        line += f"{result['random_gflops']:>16.0f}"
        for part, width in (("forward", 10), ("dx", 8), ("dw", 8)):
            line += f"{result[part]:>{width}.0f}" if part in result else f"{'-':>{width}}"
        return line

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        """Return the peak of multiply-adds; see ``Benchmark.verdict``.

        Parameters
        ----------
        results : list of dict
            All of them.

        Returns
        -------
        tuple
            Values and lines.
        """
        peak = peak_gflops()
        best = max((r["forward"] for r in results if "forward" in r), default=None)
        lines = [f"multiply-adds in registers: {peak:.0f} GFLOP/s (one thread)"]
        if best is not None:
            lines.append(
                f"the best forward pass has {best / peak:.0%} of that; loads, not sums, are its "
                "limit: one run of floats comes from the cache per multiply-add"
            )
        return {"peak_gflops": peak}, lines
