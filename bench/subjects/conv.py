"""``bench conv``: sparse convolutions beside PyTorch's dense ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from sparsecpu.bench.cases import ConvCase, Variant, checked_groups, checked_sparsities
from sparsecpu.bench.measuring import precisions
from sparsecpu.bench.measuring.benchmark import Benchmark
from sparsecpu.bench.measuring.speedups import beside_dense, known, shown
from sparsecpu.bench.measuring.timing import Timing, compare, limited_threads
from sparsecpu.bench.ours.conv import PARTS, SparseConvolution
from sparsecpu.bench.rivals.base import installed
from sparsecpu.bench.rivals.conv import RIVALS, ConvRival
from sparsecpu.experiments.tables import Column, Table
from sparsecpu.step.precision import check_precision

#: Multiply-adds per nonzero and pixel in each part.
_PRODUCTS = {"forward": 1, "dx+dw": 2}


class Conv(Benchmark):
    """Forward, dx and dW of single convolutions."""

    name = "conv"
    title = (
        "one convolution: y = W * x, dx and dW at the nonzeros (no normalisation on either side)"
    )

    def setup(self) -> None:
        here, missing = installed(RIVALS, no_bf16=self.options.get("no_dense_bf16", False))
        self.dense = [rival for rival in here if rival.dense]
        self.sparse = [rival for rival in here if not rival.dense]
        for rival, name in (("NCHW", "dense PyTorch"), ("NCHW bf16", "dense PyTorch bf16"),
                            ("SparseProp samples", "SparseProp")):  # fmt: skip
            if rival in missing:
                self.missing[name] = missing[rival]
        self.groups = checked_groups(self.options.get("group"), (1, 4))
        self.precision = check_precision(self.options.get("precision", "fp32"), np.float32)
        self.precisions = precisions.precisions_of(self.dense)

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
            ConvCase.parse(shape, batch, sparsities, self.threads, self.groups)
            for batch in batches
            for shape in shapes
        ]

    def run(self, case: ConvCase) -> dict[str, Any]:
        ours = {v: SparseConvolution(case, v, self.precision) for v in case.variants()}
        contestants: dict[str, Callable[[], object]] = {}
        for variant, made in ours.items():
            contestants |= _named(f"ours/{variant}", made.parts())
        for rival in self.dense:
            contestants |= _named(rival.name, rival(case, None).parts())
        for variant, made in ours.items():
            for rival in self.sparse:
                parts = rival(case, made.layer.weight).parts()
                contestants |= _named(f"{rival.name}/{variant}", parts)
        with limited_threads(case.threads):
            times = compare(contestants, rounds=self.rounds, budget=self.budget(15.0, 40.0))
        dense = {rival.name: _parts(rival.name, times) for rival in self.dense}
        results = []
        for variant, made in ours.items():
            our_times = _parts(f"ours/{variant}", times)
            found = {
                **asdict(variant),
                **_our_figures(made, our_times),
                **precisions.beside_precisions(self.dense, dense, our_times),
            }
            results.append(found | _beside_sparse(self.sparse, variant, our_times, times))
        return {
            "case": str(case), "batch": case.batch, "threads": case.threads,
            "precision": self.precision,
            "rival_ms": {name: _total_ms(parts) for name, parts in dense.items()},
            "results": results,
        }  # fmt: skip

    def table(self) -> Table:
        return Table([
            Column("layer", 22, left=True), Column("batch", 6), Column("sparsity", 9),
            Column("group", 6), Column(f"{self.precision} ms", 9),
            *precisions.columns(self.precisions),
            *([Column("vs SparseProp", 14)] if self.sparse else []),
            Column("forward + (dx, dW), ms", 24, below="ms: forward + (dx, dW)"),
            Column("GFLOP/s", 13),
        ])  # fmt: skip

    def row(self, result: dict[str, Any]) -> str:
        table, lines = self.table(), []
        for found in result["results"]:
            cells = [
                result["case"], f"{result['batch']}", f"{found['sparsity']:g}",
                f"{found['group']}", f"{found['ms']['total']:.2f}",
                *precisions.cells(found, self.precisions),
            ]  # fmt: skip
            if self.sparse:
                ratios = (found[f"sparseprop_{kind}"] for kind in ("speedup", "least_speedup"))
                cells.append(shown(*ratios))
            cells.append(" + ".join(f"{found['ms'][part]:.2f}" for part in PARTS))
            cells.append("/".join(f"{found['gflops'][part]:.0f}" for part in PARTS))
            lines.append(table.row(cells, precisions.dense_is_faster(found)))
        rivals = [f"{name} {ms:.1f} ms" for name, ms in result["rival_ms"].items()]
        return "\n".join([*lines, *table.below(rivals)])

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        every = [found for result in results for found in result["results"]]
        lines, means = precisions.fastest_lines(every), {}
        heads = [Column(f"vs {precision}", 26) for precision in self.precisions]
        table = Table([Column("sparsity", 8), Column("group", 6), *heads])
        below: list[str] = []
        for sparsity, group in sorted({(one["sparsity"], one["group"]) for one in every}):
            cells = [f"{sparsity:g}", f"{group}"]
            for precision in self.precisions:
                ratios = [
                    ratio for one in every if (one["sparsity"], one["group"]) == (sparsity, group)
                    if (ratio := known(one["by_precision"][precision])) is not None
                ]  # fmt: skip
                if not ratios:
                    cells.append("")
                    continue
                mean = float(np.exp(np.mean(np.log(ratios))))
                means[f"sparsity {sparsity:g}, group {group}, beside dense {precision}"] = mean
                cells.append(f"{mean:.2f}x ({min(ratios):.2f}x to {max(ratios):.2f}x)")
            below.append(table.row(cells))
        if len(results) > 1:  # of one case the mean is what stands above
            what = f"the geometric mean of {len(results)} layers (the least and the most)"
            lines += [f"how many times as fast as dense, {what}", table.heading(), *below]
        return {"geometric_mean": means}, lines


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
    variant: Variant,
    our_times: list[Timing],
    times: dict[str, Timing],
) -> dict[str, Any]:
    """Return our speed-up over the faster form of SparseProp's; empty without it."""
    if not rivals:
        return {}
    forms = {rival.name: _parts(f"{rival.name}/{variant}", times) for rival in rivals}
    beside = beside_dense(forms, our_times)
    return {
        "sparseprop_speedup": beside["dense_speedup"],
        "sparseprop_least_speedup": beside["least_speedup"],
        "sparseprop_ms": _total_ms(forms[beside["fastest_dense"]]),
    }
