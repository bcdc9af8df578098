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

    def heading(self) -> str:
        head = f"{'network':<24}{'batch':>6}{'sparsity':>10}{'group':>6}"
        head += f"{f'{self.precision} ms':>10}{precisions.heading(self.precisions())}"
        return head + "".join(f"{name:>{max(len(name) + 3, 10)}}" for name in self.columns())

    def row(self, result: dict[str, Any]) -> str:
        return "\n".join([*self.lines(result), self.rivals_line(result)])

    def lines(self, result: dict[str, Any]) -> list[str]:
        """Return a line for each sparsity."""
        return [self.line(result, found) for found in result["results"]]

    def line(self, result: dict[str, Any], found: dict[str, Any]) -> str:
        """Return the line of one sparsity."""
        text = f"{result['network']:<24}{result['batch']:>6}{found['sparsity']:>10g}"
        text += f"{found['group']:>6}{found['ms']:>10.3f}"
        text += precisions.columns(found, self.precisions())
        for rival in self.columns():
            ratios = (found[kind].get(rival) for kind in ("ratio", "least_ratio"))
            value = shown(*ratios) if rival in found["ratio"] else "-"
            text += f"{value:>{max(len(rival) + 3, 10)}}"
        return text + precisions.dense_is_faster(found)

    def rivals_line(self, result: dict[str, Any]) -> str:
        """Return the line with the rivals' times."""
        times = ", ".join(f"{rival} {ms:.3f} ms" for rival, ms in result["rival_ms"].items())
        return f"{'':<24}{times}"

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        lines = precisions.fastest_lines([f for result in results for f in result["results"]])
        return {}, lines
