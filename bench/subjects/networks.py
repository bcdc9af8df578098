"""What ``bench train`` and ``bench infer`` share: rivals for each kind, and the table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from sparsecpu.bench.cases import NetworkCase, checked_groups
from sparsecpu.bench.measuring import precisions
from sparsecpu.bench.measuring.benchmark import Benchmark
from sparsecpu.bench.measuring.speedups import shown
from sparsecpu.bench.rivals.base import installed
from sparsecpu.bench.rivals.networks import NetworkRival
from sparsecpu.experiments.tables import Column, Table
from sparsecpu.registries.names import read_name
from sparsecpu.step.precision import check_precision


class NetworkBenchmark(Benchmark):
    """Whole networks at several sparsities, a column per rival."""

    rivals: ClassVar[tuple[type[NetworkRival], ...]]

    def setup(self) -> None:
        names = [rival.name for rival in self.rivals]
        wanted = {read_name("rival", name, names) for name in self.options.get("rivals") or ()}
        chosen = [rival for rival in self.rivals if rival.name in wanted or not wanted]
        no_bf16 = self.options.get("no_dense_bf16", False)
        self.here, self.missing = installed(chosen, no_bf16=no_bf16)
        self.groups = checked_groups(self.options.get("group"), (1, 4))
        self.precision = check_precision(self.options.get("precision", "fp32"), np.float32)

    def rivals_of(self, case: NetworkCase) -> list[Any]:
        """Return the installed rivals for networks such as this one."""
        kind = case.images, case.text
        return [rival for rival in self.here if (rival.images, rival.text) == kind]

    def case(self, model: str, sparsities: Iterable[float], batch: int | None) -> NetworkCase:
        """Return the case of a network's name or sizes."""
        distribution = self.options.get("distribution")
        return NetworkCase.parse(
            model, sparsities, self.threads, batch=batch, distribution=distribution,
            groups=self.groups,
        )  # fmt: skip

    def columns(self) -> list[str]:
        """Return the names of the rivals for the kinds of networks that are timed."""
        return [rival.name for rival in self._rivals()]

    def precisions(self) -> list[str]:
        """Return the precisions of the dense rivals that are timed."""
        return precisions.precisions_of(self._rivals())

    def _rivals(self) -> list[Any]:
        """Return the rivals of all cases, those of one kind of networks together."""
        kinds = {(case.images, case.text): case for case in self.cases()}
        return [rival for kind in sorted(kinds) for rival in self.rivals_of(kinds[kind])]

    def table(self) -> Table:
        dense = {rival.name for rival in self._rivals() if rival.dense}
        return Table([
            Column("network", 22, left=True), Column("batch", 6), Column("sparsity", 9),
            Column("group", 6), Column(f"{self.precision} ms", 9),
            *precisions.columns(self.precisions()),
            *(
                Column(f"vs {name}", max(len(name) + 5, 10), optional=name in dense)
                for name in self.columns()
            ),
        ])  # fmt: skip

    def row(self, result: dict[str, Any]) -> str:
        table = self.table()
        return "\n".join([*self.lines(table, result), *table.below(self.rivals_times(result))])

    def lines(self, table: Table, result: dict[str, Any]) -> list[str]:
        """Return the lines of each sparsity."""
        return [self.line(table, result, found) for found in result["results"]]

    def line(self, table: Table, result: dict[str, Any], found: dict[str, Any], *notes: str) -> str:
        """Return the line of one sparsity, with notes."""
        cells = [
            result["network"], f"{result['batch']}", f"{found['sparsity']:g}",
            f"{found['group']}", f"{found['ms']:.3f}",
            *precisions.cells(found, self.precisions()),
        ]  # fmt: skip
        for rival in self.columns():
            ratios = (found[kind].get(rival) for kind in ("ratio", "least_ratio"))
            cells.append(shown(*ratios) if rival in found["ratio"] else "")
        return table.row(cells, precisions.dense_is_faster(found), *notes)

    def rivals_times(self, result: dict[str, Any]) -> list[str]:
        """Return the rivals' times, and what else is said of a network as a whole."""
        return [f"{rival} {ms:.3f} ms" for rival, ms in result["rival_ms"].items()]

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        lines = precisions.fastest_lines([f for result in results for f in result["results"]])
        return {}, lines
