"""What the folder of a comparison says of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.experiments.comparison.comparison import Comparison
from sparsecpu.experiments.comparison.histories import MeanCurves, mean_curves
from sparsecpu.experiments.comparison.measures import Measure
from sparsecpu.experiments.comparison.result_folder import ResultFolder, cell_of, with_later
from sparsecpu.experiments.comparison.statistics import summarise
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.experiments.run_folder import READING, recipe_kind
from sparsecpu.files.documents import read_json
from sparsecpu.step.plain_values import anything, listed, named, real, table, text, whole

#: What ``comparison.json`` adds to the results, as far as anything is made of it.
_WRITTEN = table(
    {}, {"seconds": real(0.0), "training_seconds": real(0.0), "cpu": text, "versions": named(text)},
    anything,
)  # fmt: skip


@dataclass(frozen=True)
class ComparisonFacts:
    """A comparison: its plan, its rows and runs, and what it ran on.

    ``rows`` are as ``summarise`` returns them, ``written`` is what ``comparison.json`` says,
    nothing where it has not ended. ``curves`` are empty where an older version made it.
    """

    path: Path
    comparison: Comparison
    state: dict[str, Any]
    rows: list[dict[str, Any]]
    results: list[dict[str, Any]]
    planned: int
    written: dict[str, Any]
    curves: list[MeanCurves]

    @property
    def plan(self) -> dict[str, Any]:
        """What was to be compared, as plain values."""
        return {**self.state["plan"], "recipe": self.comparison.recipe.to_dict()}

    @property
    def measure(self) -> Measure:
        """What the runs are scored by."""
        return self.comparison.measure


def read_comparison(path: Path | str) -> ComparisonFacts:
    """Read a comparison: its folder, or a file in there.

    Raises ``SparseCPUError`` if it is none, is damaged, or has no run yet.
    """
    given = Path(path)
    folder = ResultFolder(given if given.is_dir() else given.parent)
    state = folder.state()
    comparison = _planned(with_later(state["plan"]), folder.path)
    order = {cell: place for place, cell in enumerate(comparison.cells())}
    results = folder.known_results(order)
    if not results:
        raise ParameterError("RUN", str(path), "a comparison of which a run, at least, is done")
    results.sort(key=lambda result: order[cell_of(result)])
    file = folder.path / "comparison.json"
    written = read_json(file, _WRITTEN) if file.is_file() and len(results) == len(order) else {}
    ended = [cell_of(result) for result in results if result["score"] is not None]
    histories = folder.histories.read()
    curves = mean_curves({cell: histories[cell] for cell in ended if cell in histories})
    return ComparisonFacts(
        folder.path, comparison, state, summarise(results), results, len(order), written, curves
    )


def _planned(plan: dict[str, Any], path: Path) -> Comparison:
    """Return the comparison of a plan, checked."""
    lists = {"methods": text, "densities": real(), "learning_rates": real(), "groups": text}
    kinds = {name: listed(kind) for name, kind in lists.items()}
    kinds |= {"data": text, "reading": READING, "seeds": whole(1), "folds": whole(0)}
    table({**kinds, "recipe": recipe_kind()})(plan, str(path / "plan.json"))
    known = {**plan, **{name: tuple(plan[name]) for name in lists}}
    return Comparison(**{**known, "recipe": Recipe(**plan["recipe"])})
