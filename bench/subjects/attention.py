"""``bench attention``: attention between projections beside PyTorch's."""

from __future__ import annotations

from typing import Any

from sparsecpu.bench.cases import AttentionCase
from sparsecpu.bench.measuring import precisions
from sparsecpu.bench.measuring.benchmark import Benchmark
from sparsecpu.bench.measuring.timing import Timing, compare, limited_threads
from sparsecpu.bench.ours.attention import PARTS, OurAttention
from sparsecpu.bench.rivals.attention import RIVALS
from sparsecpu.bench.rivals.base import installed
from sparsecpu.experiments.tables import Column, Table

#: Products as large as that of queries and keys: scores and outputs; scores, their gradients,
#: and the gradients of queries, keys and values.
_PRODUCTS = {"forward": 2, "backward": 5}


class Attention(Benchmark):
    """Attention alone: no projections, no dropout, sequences of one length."""

    name = "attention"
    title = "attention between projections, which is dense: outputs, and gradients of q, k and v"

    def setup(self) -> None:
        no_bf16 = self.options.get("no_dense_bf16", False)
        self.rivals, self.missing = installed(RIVALS, no_bf16=no_bf16)
        self.precisions = precisions.precisions_of(self.rivals)

    @property
    def both_ways(self) -> bool:
        """True if all tokens see all others, as in images."""
        return self.options.get("both_ways", False)

    def cases(self) -> list[AttentionCase]:
        few = ["16-256-6-64"]
        many = ["12-64-4-32", *few, "4-1024-12-64"]
        shapes = self.options.get("shapes") or self.pick(few, many, [*many, "1-4096-12-64"])
        return [AttentionCase.parse(shape, not self.both_ways, self.threads) for shape in shapes]

    def run(self, case: AttentionCase) -> dict[str, Any]:
        with limited_threads(case.threads):
            contestants = {"ours": OurAttention(case).parts()}
            contestants |= {rival.name: rival(case).parts() for rival in self.rivals}
            calls = {
                f"{who}/{part}": call
                for who, parts in contestants.items() for part, call in parts.items()
            }  # fmt: skip
            times = compare(calls, rounds=self.rounds, budget=self.budget(15.0, 40.0))
        parts = {who: [times[f"{who}/{part}"] for part in PARTS] for who in contestants}
        ours = parts.pop("ours")
        ms = {part: timing.ms for part, timing in zip(PARTS, ours, strict=True)}
        found = {
            "ms": {**ms, "total": _total(ours)},
            "gflops": {p: 2e-6 * _PRODUCTS[p] * case.products / ms[p] for p in PARTS},
            **precisions.beside_precisions(self.rivals, parts, ours),
        }
        return {
            "case": str(case), "length": case.length, "causal": case.causal,
            "threads": case.threads,
            "rival_ms": {name: _total(timings) for name, timings in parts.items()},
            "results": [found],
        }  # fmt: skip

    def table(self) -> Table:
        return Table([
            Column("sequences, both ways" if self.both_ways else "sequences", 24, left=True),
            Column("fp32 ms", 9),
            *precisions.columns(self.precisions),
            Column("forward + backward, ms", 22, below="ms: forward + backward"),
            Column("GFLOP/s", 9),
        ])  # fmt: skip

    def row(self, result: dict[str, Any]) -> str:
        table, (found,) = self.table(), result["results"]
        cells = [
            result["case"], f"{found['ms']['total']:.2f}",
            *precisions.cells(found, self.precisions),
            " + ".join(f"{found['ms'][part]:.2f}" for part in PARTS),
            "/".join(f"{found['gflops'][part]:.0f}" for part in PARTS),
        ]  # fmt: skip
        rivals = [f"{name} {ms:.2f} ms" for name, ms in result["rival_ms"].items()]
        line = table.row(cells, precisions.dense_is_faster(found))
        return "\n".join([line, *table.below(rivals)])

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        return {}, precisions.fastest_lines([result["results"][0] for result in results])


def _total(parts: list[Timing]) -> float:
    return sum(timing.ms for timing in parts)
