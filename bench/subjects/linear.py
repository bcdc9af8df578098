"""``bench linear``: sparse layers beside dense ones and beside other people's sparse kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from sparsecpu.bench.cases import LinearCase, Variant, checked_groups, checked_sparsities
from sparsecpu.bench.measuring import precisions
from sparsecpu.bench.measuring.benchmark import Benchmark
from sparsecpu.bench.measuring.cache_loads import Peak
from sparsecpu.bench.measuring.speedups import least_ratio, ratio, shown
from sparsecpu.bench.measuring.timing import Timing, compare, limited_threads
from sparsecpu.bench.ours.grouped import GroupedLayer, our_layer
from sparsecpu.bench.ours.linear import PARTS, SparseLayer
from sparsecpu.bench.rivals.base import installed
from sparsecpu.bench.rivals.linear import RIVALS, LinearRival
from sparsecpu.experiments.tables import Column, Table
from sparsecpu.step.precision import check_precision

#: Other sparse kernels are timed from this sparsity on; below it they are all slow.
_WORTH_TRYING = 0.8
#: Weights of a large layer.
_LARGE = 4_000_000


class Linear(Benchmark):
    """Forward, dx and dW of single layers."""

    name = "linear"
    title = "one layer: y = W x, dx = W' dy, and dW at the nonzeros"

    def setup(self) -> None:
        no_bf16 = self.options.get("no_dense_bf16", False)
        self.rivals, self.missing = installed(RIVALS, no_bf16=no_bf16)
        self.precision = check_precision(self.options.get("precision", "fp32"), np.float32)
        self.groups = checked_groups(self.options.get("group"), (1, 4))
        self.precisions = precisions.precisions_of(self.rivals)

    def cases(self) -> list[LinearCase]:
        shapes = self.options.get("shapes") or self.pick(
            ["1024x1024"], ["300x784", "1024x1024", "4096x4096"],
            ["300x784", "1024x1024", "1000x4000", "2048x2048", "4096x4096"],
        )  # fmt: skip
        sparsities = self.options.get("sparsities") or self.pick(
            [0.5, 0.9, 0.95, 0.99], [0.5, 0.8, 0.9, 0.95, 0.98, 0.99],
            [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99],
        )  # fmt: skip
        batches = [self.options.get("batch") or 128]
        if self.scope == "full" and not self.options.get("batch"):
            batches = [32, 128, 512]
        every = checked_sparsities(sparsities)
        cases = [
            LinearCase.parse(shape, batch, every, self.threads, self.groups)
            for batch in batches
            for shape in shapes
        ]
        if self.scope == "full" or self.options.get("sparsities"):
            return cases
        # Large layers far below break-even take most of the time and tell the least.
        few = tuple(sparsity for sparsity in every if sparsity >= 0.9)
        return [
            replace(case, sparsities=few) if case.n_out * case.n_in > _LARGE else case
            for case in cases
        ]

    def run(self, case: LinearCase) -> dict[str, Any]:
        ours = {variant: our_layer(case, variant, self.precision) for variant in case.variants()}
        loads, peak = {variant: layer.limit() for variant, layer in ours.items()}, Peak()
        contestants: dict[str, Callable[[], object]] = {"ours/peak": peak.call()}
        for variant, layer in ours.items():
            parts = {**layer.parts(), "limit": loads[variant].call()}
            contestants |= {f"ours/{part}@{variant}": call for part, call in parts.items()}
        for rival in self.rivals:
            for sparsity in _timed_at(rival, case):
                matrix = ours[Variant(sparsity, case.groups[0])].weight.to_scipy()
                parts = rival(matrix, case.batch, case.threads).parts()
                contestants |= {f"{rival.name}/{k}@{sparsity}": c for k, c in parts.items()}
        with limited_threads(case.threads):
            times = compare(contestants, rounds=self.rounds, budget=self.budget(20.0, 60.0))
        most = peak.gflops(times["ours/peak"].ms) * case.threads
        results = []
        for variant, layer in ours.items():
            our_times = {part: times[f"ours/{part}@{variant}"] for part in PARTS}
            limit = loads[variant].gflops(times[f"ours/limit@{variant}"].ms) * case.threads
            figures = _our_figures(layer, our_times, limit * variant.group, most)
            beside = self._beside(case, variant.sparsity, times, list(our_times.values()))
            where = {"sparsity": variant.sparsity, "group": variant.group}
            results.append({**where, **figures, **beside})
        return {
            "n_out": case.n_out, "n_in": case.n_in, "batch": case.batch, "threads": case.threads,
            "precision": self.precision, "results": results,
        }  # fmt: skip

    def _beside(self, case, sparsity, times, ours: list[Timing]) -> dict[str, Any]:
        """Return each rival's milliseconds and our speed-ups: over the parts that it has."""
        rival_ms, ratios, least, every = {}, {}, {}, {}
        for rival in self.rivals:
            theirs = _times_of(rival, case, sparsity, times)
            covered = {part for name in theirs for part in name.split("+")}
            our_times = [time for part, time in zip(PARTS, ours, strict=True) if part in covered]
            rival_ms[rival.name] = {name: t.ms for name, t in theirs.items()}
            ratios[rival.name] = ratio(theirs.values(), our_times) if theirs else None
            least[rival.name] = least_ratio(theirs.values(), our_times) if theirs else None
            every[rival.name] = list(theirs.values())
        found = precisions.beside_precisions(self.rivals, every, ours)
        return {"rival_ms": rival_ms, "ratio": ratios, "least_ratio": least, **found}

    def table(self) -> Table:
        return Table([
            Column("layer", 10, left=True), Column("batch", 6), Column("sparsity", 9),
            Column("group", 6), Column(f"{self.precision} ms", 9),
            *precisions.columns(self.precisions),
            *(
                Column(f"vs {r.name}", max(len(r.name) + 5, 10), optional=r.dense)
                for r in self.rivals
            ),
            Column("forward + dx + dw, ms", 29, below="ms: forward + dx + dw"),
            Column("GFLOP/s", 13), Column("of loads", 16, optional=True),
            Column("of FMA peak", 16, optional=True),
        ])  # fmt: skip

    def row(self, result: dict[str, Any]) -> str:
        table = self.table()
        return "\n".join(self._line(table, result, found) for found in result["results"])

    def _line(self, table: Table, result: dict[str, Any], found: dict[str, Any]) -> str:
        cells = [
            f"{result['n_out']}x{result['n_in']}", f"{result['batch']}", f"{found['sparsity']:g}",
            f"{found['group']}", f"{found['ms']['total']:.3f}",
            *precisions.cells(found, self.precisions),
        ]  # fmt: skip
        for rival in self.rivals:
            ratios = (found[kind].get(rival.name) for kind in ("ratio", "least_ratio"))
            cells += [shown(*ratios) if found["rival_ms"].get(rival.name) else ""]
        cells.append(" + ".join(f"{found['ms'][part]:.3f}" for part in PARTS))
        cells.append("/".join(f"{found['gflops'][part]:.0f}" for part in PARTS))
        for kind in ("limit_fraction", "peak_fraction"):
            cells.append("/".join(f"{found[kind][part]:.2f}" for part in PARTS))
        return table.row(cells, precisions.dense_is_faster(found))

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        every = [found for result in results for found in result["results"]]
        lines, values = precisions.fastest_lines(every), {}
        for result in results:
            for group in dict.fromkeys(found["group"] for found in result["results"]):
                own = [found for found in result["results"] if found["group"] == group]
                for precision in self.precisions:
                    name = f"{result['n_out']}x{result['n_in']}, batch {result['batch']}"
                    name += f", group {group}, beside dense {precision}"
                    value, words = _break_even(own, precision)
                    lines.append(f"{name}: {words}")
                    if value:
                        values[name] = value
        return {"break_even": values}, lines


def _timed_at(rival: type[LinearRival], case: LinearCase) -> tuple[float, ...]:
    """Return the sparsities at which a rival is timed: sparse ones where they may win."""
    if rival.once:
        return case.sparsities[:1]
    return tuple(s for s in case.sparsities if s >= _WORTH_TRYING)


def _times_of(
    rival: type[LinearRival], case: LinearCase, sparsity: float, times: dict[str, Timing]
) -> dict[str, Timing]:
    """Return a rival's times by part at a sparsity; empty if it was not timed there."""
    timed = _timed_at(rival, case)
    at = timed[0] if rival.once else sparsity
    head, tail = f"{rival.name}/", f"@{at}"
    found = {n: t for n, t in times.items() if n.startswith(head) and n.endswith(tail)}
    return {n.removeprefix(head).removesuffix(tail): t for n, t in found.items()}


def _break_even(found: list[dict[str, Any]], precision: str) -> tuple[dict[str, Any], str]:
    """Return the break-even sparsity beside dense layers of a precision, and in words."""
    sparsity, measured = precisions.break_evens(found, precision)
    if sparsity is None:
        return {}, "too few clear ratios to find the break-even sparsity"
    value = {"sparsity": sparsity, "measured": measured}
    if sparsity <= 0:
        return value, "sparse is faster at every measured sparsity"
    how = "" if measured else " (extrapolated)"
    return value, f"break-even at {sparsity:.0%} sparsity{how}; below, use dense"


def _our_figures(
    layer: SparseLayer | GroupedLayer, our_times: dict[str, Timing], limit: float, peak: float
) -> dict[str, Any]:
    """Return our times, rates at the nonzeros, and which fraction of both limits they reach.

    ``limit`` are the GFLOP/s that loads allow, ``peak`` those of multiply-adds in registers.
    """
    ms = {part: timing.ms for part, timing in our_times.items()}
    operations = 2e-6 * layer.weight.nnz * layer.batch  # of a part, in GFLOP/s times milliseconds
    gflops = {part: operations / ms[part] for part in PARTS}
    return {
        "nnz": layer.weight.nnz, "lanes": layer.lanes, "blocks": layer.blocks,
        "ms": {**ms, "total": sum(ms.values())},
        "quartiles": {part: [t.low, t.high] for part, t in our_times.items()},
        "gflops": gflops, "limit_gflops": limit, "peak_gflops": peak,
        "limit_fraction": {part: rate / limit for part, rate in gflops.items()},
        "peak_fraction": {part: rate / peak for part, rate in gflops.items()},
    }  # fmt: skip
