"""The base of all benchmarks: cases, a way to run one, and a table that grows line by line."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sparsecpu.experiments.tables import Table

#: How much is measured: under a minute, under five minutes, or as long as it takes.
SCOPES = ("quick", "default", "full")


class Benchmark:
    """One subject; subclasses say what to run, and ``cli.bench`` prints, writes and draws it."""

    #: Name of the command, and a sentence about what is measured.
    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, scope: str = "default", threads: int = 1, **options: Any) -> None:
        self.scope, self.threads, self.options = scope, threads, options
        #: Rivals that are not installed, and how to get each.
        self.missing: dict[str, str] = {}
        self.setup()

    def setup(self) -> None:
        """Prepare what all cases share."""

    def pick(self, quick: Any, default: Any, full: Any) -> Any:
        """Return the one of three values that belongs to the scope."""
        return dict(zip(SCOPES, (quick, default, full), strict=True))[self.scope]

    @property
    def rounds(self) -> int:
        """Number of turns that each contestant gets."""
        return self.options.get("rounds") or self.pick(3, 5, 9)

    def budget(self, quick: float, default: float) -> float:
        """Return the seconds after which no new round begins; there is no limit with ``full``."""
        return self.pick(quick, default, np.inf)

    def cases(self) -> list[Any]:
        """Return what to run, in order."""
        raise NotImplementedError

    def run(self, case: Any) -> dict[str, Any]:
        """Measure one case and return plain values, as ``--json`` prints them."""
        raise NotImplementedError

    def table(self) -> Table:
        """Return the table's columns, the most important first."""
        raise NotImplementedError

    def heading(self) -> str:
        """Return the first line of the table."""
        return self.table().heading()

    def row(self, result: dict[str, Any]) -> str:
        """Return the table's line (or lines) for what ``run`` returned."""
        raise NotImplementedError

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        """Return what all results show together: values for ``--json``, and lines to print."""
        return {}, []
