"""``bench kernels``: what this machine can do at best, and how near the kernels come."""

from __future__ import annotations

from typing import Any

from sparsecpu.bench.cases import LinearCase
from sparsecpu.bench.measuring.benchmark import Benchmark
from sparsecpu.bench.measuring.cache_loads import LANES, Loads, Peak, level_of
from sparsecpu.bench.measuring.timing import compare, limited_threads
from sparsecpu.bench.ours.linear import PARTS, SparseLayer
from sparsecpu.experiments.tables import Column, Table

_SPARSITY = 0.95


class Kernels(Benchmark):
    """Loads from each cache level, in order and at random, beside the kernels on such tiles."""

    name = "kernels"
    title = "loads of 512 bytes and the kernels that depend on them, one thread"

    def cases(self) -> list[int]:
        """Return sizes of a tile in KiB."""
        few = [32, 256, 512, 1024]
        return self.pick([32, 512], [*few, 2048, 65536], [*few, 1536, 2048, 4096, 16384, 262144])

    def run(self, case: int) -> dict[str, Any]:
        nbytes, width = case * 1024, case * 1024 // (4 * LANES)
        ordered, random = Loads(nbytes, random=False), Loads(nbytes)
        peak = Peak()
        contestants = {
            "loads/ordered": ordered.call(),
            "loads/random": random.call(),
            "sums/peak": peak.call(),
        }
        products = 0
        if 256 <= width <= 8192:  # layers that are realistic
            linear = LinearCase(width, width, LANES, (_SPARSITY,), 1)
            layer = SparseLayer(linear, _SPARSITY, lanes=LANES, blocked=False)
            products = layer.weight.nnz * LANES
            contestants |= {f"ours/{part}": call for part, call in layer.parts().items()}
        with limited_threads(1):
            times = compare(contestants, rounds=self.rounds)
        return {
            "kib": case,
            "level": level_of(nbytes),
            "sequential_gbs": 2 * ordered.gflops(times["loads/ordered"].ms),
            "random_gflops": random.gflops(times["loads/random"].ms),
            "peak_gflops": peak.gflops(times["sums/peak"].ms),
            **{part: 2e-6 * products / times[f"ours/{part}"].ms for part in PARTS if products},
        }

    def table(self) -> Table:
        return Table([
            Column("tile KiB", 9), Column("level", 8), Column("in order GB/s", 15),
            Column("random GFLOP/s", 16), Column("forward", 10), Column("dx", 8), Column("dw", 8),
        ])  # fmt: skip

    def heading(self) -> str:
        return (
            "forward, dx, dw: GFLOP/s at 95 % sparsity, one tile, no blocks\n" + super().heading()
        )

    def row(self, result: dict[str, Any]) -> str:
        parts = [f"{result[p]:.0f}" if p in result else "-" for p in ("forward", "dx", "dw")]
        return self.table().row([
            f"{result['kib']}", result["level"], f"{result['sequential_gbs']:.0f}",
            f"{result['random_gflops']:.0f}", *parts,
        ])  # fmt: skip

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        peak = max(result["peak_gflops"] for result in results)
        best = max((r["forward"] for r in results if "forward" in r), default=None)
        lines = [f"multiply-adds in registers: {peak:.0f} GFLOP/s (one thread)"]
        if best is not None:
            lines.append(
                f"the best forward pass reaches {best / peak:.0%} of that; it is limited by loads, "
                "not by arithmetic: each multiply-add needs a vector of floats from the cache, "
                "unless rows share their columns (bench linear --group 4)"
            )
        return {"peak_gflops": peak}, lines
