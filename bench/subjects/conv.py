"""``bench conv``: sparse convolutions beside PyTorch's dense ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from sparsecpu.bench.cases import ConvCase, checked_sparsities
from sparsecpu.bench.measuring.benchmark import Benchmark
from sparsecpu.bench.measuring.speedups import (
    beside_dense,
    dense_is_faster,
    known,
    shown,
    shown_beside_dense,
)
from sparsecpu.bench.measuring.timing import Timing, compare, limited_threads
from sparsecpu.bench.ours.conv import PARTS, SparseConvolution
from sparsecpu.bench.rivals.base import installed
from sparsecpu.bench.rivals.conv import RIVALS, ConvRival

#: Multiply-adds per nonzero and pixel in each part.
_PRODUCTS = {"forward": 1, "dx+dw": 2}


class Conv(Benchmark):
    """Forward, dx and dW of single convolutions."""

    name = "conv"
    title = (
        "one convolution: y = W * x, dx and dW at the nonzeros (no normalisation on either side)"
    )

    def setup(self) -> None:
        here, missing = installed(RIVALS)
        self.dense = [rival for rival in here if rival.dense]
        self.sparse = [rival for rival in here if not rival.dense]
        for rival, name in (("NCHW", "dense PyTorch"), ("SparseProp samples", "SparseProp")):
            if rival in missing:
                self.missing[name] = missing[rival]

    def cases(self) -> list[ConvCase]:
        small = ["64-64-32-3", "256-256-8-3"]
        many = ["64-64-32-3", "128-128-16-3", "256-256-8-3", "512-512-4-3"]
        more = [*many, "64-128-32-3-2", "256-256-16-1", "512-512-8-1"]
        shapes = self.options.get("shapes") or self.pick(small, more, more)
        sparsities = checked_sparsities(self.options.get("sparsities") or (0.9, 0.95, 0.98))
        batches = [self.options.get("batch") or 32]
        if self.scope == "full" and not self.options.get("batch"):
            batches = [32, 128]
        return [
            ConvCase.parse(shape, batch, sparsities, self.threads)
            for batch in batches
            for shape in shapes
        ]

    def run(self, case: ConvCase) -> dict[str, Any]:
        ours = {sparsity: SparseConvolution(case, sparsity) for sparsity in case.sparsities}
        contestants: dict[str, Callable[[], object]] = {}
        for sparsity, made in ours.items():
            contestants |= _named(f"ours/{sparsity}", made.parts())
        for rival in self.dense:
            contestants |= _named(rival.name, rival(case, None).parts())
        for sparsity, made in ours.items():
            for rival in self.sparse:
                parts = rival(case, made.layer.weight).parts()
                contestants |= _named(f"{rival.name}/{sparsity}", parts)
        with limited_threads(case.threads):
            times = compare(contestants, rounds=self.rounds, budget=self.budget(15.0, 40.0))
        dense = {rival.name: _parts(rival.name, times) for rival in self.dense}
        results = []
        for sparsity, made in ours.items():
            our_times = _parts(f"ours/{sparsity}", times)
            found = {
                "sparsity": sparsity,
                **_our_figures(made, our_times),
                **beside_dense(dense, our_times),
            }
            results.append(found | _beside_sparse(self.sparse, sparsity, our_times, times))
        return {
            "case": str(case), "batch": case.batch, "threads": case.threads,
            "rival_ms": {name: _total_ms(parts) for name, parts in dense.items()},
            "results": results,
        }  # fmt: skip

    def heading(self) -> str:
        head = f"{'layer':<24}{'batch':>6}{'sparsity':>10}{'forward + (dx, dW), ms':>31}"
        head += f"{'GFLOP/s':>13}{'vs dense':>10}"
        head += f"{'SparseProp':>12}" if self.sparse else ""
        return head + "  dense PyTorch, ms"

    def row(self, result: dict[str, Any]) -> str:
        rivals = ", ".join(f"{name} {ms:.1f}" for name, ms in result["rival_ms"].items())
        lines = []
        for found in result["results"]:
            times = " + ".join(f"{found['ms'][part]:.2f}" for part in PARTS)
            rates = "/".join(f"{found['gflops'][part]:.0f}" for part in PARTS)
            line = f"{result['case']:<24}{result['batch']:>6}{found['sparsity']:>10g}{times:>31}"
            line += f"{rates:>13}{shown_beside_dense(found):>10}"
            if self.sparse:
                ratios = (found[f"sparseprop_{kind}"] for kind in ("speedup", "least_speedup"))
                line += f"{shown(*ratios):>12}"
            lines.append(f"{line}  {rivals}{dense_is_faster(found)}")
        return "\n".join(lines)

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        found: dict[float, list[float]] = {}
        for result in results:
            for one in result["results"]:
                speedup = known(one)
                if speedup is not None:
                    found.setdefault(one["sparsity"], []).append(speedup)
        means = {s: float(np.exp(np.mean(np.log(ratios)))) for s, ratios in found.items()}
        lines = [
            f"sparsity {sparsity:g}: {means[sparsity]:.2f}x the speed of dense, "
            f"the geometric mean of {len(ratios)} ({min(ratios):.2f}x to {max(ratios):.2f}x)"
            for sparsity, ratios in sorted(found.items())
        ]
        return {"geometric_mean": {str(s): mean for s, mean in means.items()}}, lines


def _named(name: str, parts: dict[str, Callable[[], object]]) -> dict[str, Callable[[], object]]:
    """Return the parts of a contestant as ``compare`` takes them."""
    return {f"{name}/{part}": call for part, call in parts.items()}


def _parts(name: str, times: dict[str, Timing]) -> list[Timing]:
    return [times[f"{name}/{part}"] for part in PARTS]


def _total_ms(parts: Iterable[Timing]) -> float:
    return sum(timing.ms for timing in parts)


def _our_figures(made: SparseConvolution, our_times: list[Timing]) -> dict[str, Any]:
    """Return nonzeros, milliseconds by part and in all, and GFLOP/s at the nonzeros."""
    ms = {part: timing.ms for part, timing in zip(PARTS, our_times, strict=True)}
    return {
        "nnz": made.layer.weight.nnz,
        "ms": {**ms, "total": _total_ms(our_times)},
        "gflops": {part: 2e-6 * _PRODUCTS[part] * made.products / ms[part] for part in PARTS},
    }


def _beside_sparse(
    rivals: list[type[ConvRival]],
    sparsity: float,
    our_times: list[Timing],
    times: dict[str, Timing],
) -> dict[str, Any]:
    """Return our speed-up over the faster form of SparseProp's; empty without it."""
    if not rivals:
        return {}
    forms = {rival.name: _parts(f"{rival.name}/{sparsity}", times) for rival in rivals}
    beside = beside_dense(forms, our_times)
    return {
        "sparseprop_speedup": beside["dense_speedup"],
        "sparseprop_least_speedup": beside["least_speedup"],
        "sparseprop_ms": _total_ms(forms[beside["fastest_dense"]]),
    }
