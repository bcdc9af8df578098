"""``bench linear``: sparse layers beside dense ones and beside other people's sparse kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from sparsecpu.bench.cases import LinearCase, checked_sparsities
from sparsecpu.bench.measuring.benchmark import Benchmark
from sparsecpu.bench.measuring.cache_loads import Loads
from sparsecpu.bench.measuring.speedups import (
    beside_dense,
    break_even,
    dense_is_faster,
    least_ratio,
    ratio,
    shown,
    shown_beside_dense,
)
from sparsecpu.bench.measuring.timing import Timing, compare, limited_threads
from sparsecpu.bench.ours.linear import PARTS, SparseLayer
from sparsecpu.bench.rivals.base import installed
from sparsecpu.bench.rivals.linear import RIVALS, LinearRival
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
        self.rivals, self.missing = installed(RIVALS)
        self.precision = check_precision(self.options.get("precision", "fp32"), np.float32)

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
            LinearCase.parse(shape, batch, every, self.threads)
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
        ours = {s: SparseLayer(case, s, precision=self.precision) for s in case.sparsities}
        loads = {sparsity: layer.limit() for sparsity, layer in ours.items()}
        contestants: dict[str, Callable[[], object]] = {}
        for sparsity, layer in ours.items():
            parts = {**layer.parts(), "limit": loads[sparsity].call()}
            contestants |= {f"ours/{part}@{sparsity}": call for part, call in parts.items()}
        for rival in self.rivals:
            for sparsity in _timed_at(rival, case):
                matrix = ours[sparsity].weight.to_scipy()
                parts = rival(matrix, case.batch, case.threads).parts()
                contestants |= {f"{rival.name}/{k}@{sparsity}": c for k, c in parts.items()}
        with limited_threads(case.threads):
            times = compare(contestants, rounds=self.rounds, budget=self.budget(20.0, 60.0))
        results = []
        for sparsity, layer in ours.items():
            our_times = {part: times[f"ours/{part}@{sparsity}"] for part in PARTS}
            limit = _limit_gflops(loads[sparsity], times[f"ours/limit@{sparsity}"], case.threads)
            result = {"sparsity": sparsity, **_our_figures(layer, our_times, limit)}
            results.append(result | self._beside(case, sparsity, times, list(our_times.values())))
        sizes = {"n_out": case.n_out, "n_in": case.n_in, "batch": case.batch}
        sizes |= {"threads": case.threads, "precision": self.precision}
        return {**sizes, "results": results}

    def _beside(self, case, sparsity, times, ours: list[Timing]) -> dict[str, Any]:
        """Return each rival's milliseconds and our speed-ups: over the parts that it has."""
        rival_ms, ratios, least, dense = {}, {}, {}, {}
        for rival in self.rivals:
            theirs = _times_of(rival, case, sparsity, times)
            covered = {part for name in theirs for part in name.split("+")}
            our_times = [time for part, time in zip(PARTS, ours, strict=True) if part in covered]
            rival_ms[rival.name] = {name: t.ms for name, t in theirs.items()}
            ratios[rival.name] = ratio(theirs.values(), our_times) if theirs else None
            least[rival.name] = least_ratio(theirs.values(), our_times) if theirs else None
            if rival.dense:
                dense[rival.name] = list(theirs.values())
        found = beside_dense(dense, ours)
        dense_ms = sum(t.ms for t in dense[found["fastest_dense"]])
        ratios = {"ratio": ratios, "least_ratio": least}
        return {"rival_ms": rival_ms, **ratios, "dense_ms": dense_ms, **found}

    def heading(self) -> str:
        head = f"{'layer':<10}{'batch':>6}{'sparsity':>10}{'forward + dx + dw, ms':>31}"
        head += f"{'GFLOP/s':>13}{'of the limit':>18}{'vs dense':>10}"
        return head + "".join(f"{r.name:>{max(len(r.name) + 3, 10)}}" for r in self.rivals)

    def row(self, result: dict[str, Any]) -> str:
        return "\n".join(self._line(result, found) for found in result["results"])

    def _line(self, result: dict[str, Any], found: dict[str, Any]) -> str:
        times = " + ".join(f"{found['ms'][part]:.3f}" for part in PARTS)
        rates = "/".join(f"{found['gflops'][part]:.0f}" for part in PARTS)
        limits = "/".join(f"{found['limit_fraction'][part]:.2f}" for part in PARTS)
        shape = f"{result['n_out']}x{result['n_in']}"
        line = f"{shape:<10}{result['batch']:>6}{found['sparsity']:>10g}{times:>31}{rates:>13}"
        line += f"{limits:>18}{shown_beside_dense(found):>10}"
        for name, value in found["ratio"].items():
            text = shown(value, found["least_ratio"][name]) if found["rival_ms"][name] else "-"
            line += f"{text:>{max(len(name) + 3, 10)}}"
        return line + dense_is_faster(found)

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        lines, values = [], {}
        for result in results:
            found, measured = break_even(result["results"])
            name = f"{result['n_out']}x{result['n_in']}, batch {result['batch']}"
            if found is None:
                lines.append(f"{name}: too few clear ratios to find the break-even sparsity")
                continue
            values[name] = {"sparsity": found, "measured": measured}
            how = "" if measured else " (extrapolated)"
            if found <= 0:
                lines.append(f"{name}: sparse is faster at every measured sparsity")
            else:
                lines.append(f"{name}: break-even at {found:.0%} sparsity{how}; below, use dense")
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


def _limit_gflops(loads: Loads, timing: Timing, threads: int) -> float:
    return loads.gflops(timing.ms) * threads


def _our_figures(layer: SparseLayer, our_times: dict[str, Timing], limit: float) -> dict[str, Any]:
    """Return our times, rates at the nonzeros, and the fraction of the limit that they reach."""
    ms = {part: timing.ms for part, timing in our_times.items()}
    operations = 2e-6 * layer.weight.nnz * layer.batch  # of a part, in GFLOP/s times milliseconds
    gflops = {part: operations / ms[part] for part in PARTS}
    return {
        "nnz": layer.weight.nnz, "lanes": layer.lanes, "blocks": len(layer.cuts[0]),
        "ms": {**ms, "total": sum(ms.values())},
        "quartiles": {part: [t.low, t.high] for part, t in our_times.items()},
        "gflops": gflops, "limit_gflops": limit,
        "limit_fraction": {part: rate / limit for part, rate in gflops.items()},
    }  # fmt: skip
