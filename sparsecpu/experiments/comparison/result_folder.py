"""The folder of a comparison: its plan, and a line per run."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sparsecpu.errors import FileFormatError, ResumeError
from sparsecpu.experiments.comparison.comparison import Cell
from sparsecpu.experiments.comparison.histories import HistoriesFile
from sparsecpu.experiments.output_folder import check_empty, opened
from sparsecpu.experiments.recipe import ALONE, LATER
from sparsecpu.files.documents import read_json, read_json_lines
from sparsecpu.files.locks import FolderLock
from sparsecpu.files.writing import write_text
from sparsecpu.step.plain_values import anything, maybe, named, real, shown, table, text, whole

#: Beyond any score: that of outputs in float32, the worst that there can be, is about -1e77.
_FAR = 1e100
#: What ``plan.json`` says: the mean scores of learning rates are minus infinity where one diverged.
_STATE = table(
    {"plan": named(anything)},
    {"learning_rate": real(0.0), "tuning": named(real(finite=False)), "groups": named(text)},
)
_RESULT = table(
    {
        "method": text, "density": real(0.0, 1.0), "seed": whole(0), "fold": whole(0),
        "learning_rate": real(0.0), "score": maybe(real(-_FAR, _FAR)),
        "nnz": whole(0), "weights": whole(1),
        "seconds": real(0.0),
    },
    {"group": text},
)  # fmt: skip


def is_comparison(path: Path | str) -> bool:
    """Return True for the folder of a comparison, or a file in there that says what it is."""
    path = Path(path)
    return (path / "plan.json").is_file() or path.name in ("plan.json", "comparison.json")


def cell_of(result: dict[str, Any]) -> Cell:
    """Return which run of the comparison a result is of."""
    names = ("method", "density", "seed", "fold", "group")
    return Cell(**{name: result[name] for name in names if name in result})


def with_later(plan: dict[str, Any]) -> dict[str, Any]:
    """Return a plan with what older ones did not name."""
    recipe = plan.get("recipe")
    if isinstance(recipe, dict):
        plan = {**plan, "recipe": {**LATER, **recipe}}
    return {"groups": [ALONE], **plan}


class ResultFolder:
    """Results of a comparison, a line each; the other files are replaced whole."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.histories = HistoriesFile(self.path / "histories.jsonl")
        self.lock = FolderLock(self.path)

    def open(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Begin a comparison, or go on with the same one; return ``plan.json`` as it is now.

        The folder stays locked until ``lock`` is released.
        """
        with opened(self.lock) as held:
            if "plan.json" in held:
                return self._known(plan)
            check_empty(self.path, held)
            self.write("plan.json", json.dumps({"plan": plan}, indent=2) + "\n")
        return {"plan": plan}

    def _known(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Return the plan that was begun with; refuse to go on with another one."""
        file, state = self.path / "plan.json", self.state()
        known, now = with_later(state["plan"]), json.loads(json.dumps(plan))
        changed = [name for name in {**now, **known} if known.get(name) != now.get(name)]
        if changed:
            raise ResumeError(
                f"{self.path} holds a comparison with other {shown(', '.join(changed))}; "
                "choose another folder with --out"
            )
        if "learning_rate" in state and state["learning_rate"] not in plan["learning_rates"]:
            rates = ", ".join(map(str, plan["learning_rates"]))
            raise FileFormatError(
                f"{file}: learning_rate is {state['learning_rate']}; expected one of {rates}"
            )
        return state

    def state(self) -> dict[str, Any]:
        """Return ``plan.json``: the plan, and what was chosen since."""
        return read_json(self.path / "plan.json", _STATE)

    def results(self, cells: Collection[Cell]) -> list[dict[str, Any]]:
        """Return the runs that are done; a last line that was cut off goes.

        Raises ``FileFormatError`` if one is none of ``cells``, or stands there twice.
        """
        file, found = self.path / "results.jsonl", self.known_results(cells)
        if file.exists():  # what was cut off, too, if that was the first line
            self.write(file.name, "".join(json.dumps(r) + "\n" for r in found))
        self.histories.mend()
        return found

    def known_results(self, cells: Collection[Cell]) -> list[dict[str, Any]]:
        """Return the runs that are done, and leave the file as it is; see ``results``."""
        file = self.path / "results.jsonl"
        found = read_json_lines(file, _RESULT)
        seen = set()
        for number, result in enumerate(found, start=1):
            cell = cell_of(result)
            if cell not in cells or cell in seen:
                fault = "stands there twice" if cell in seen else "is not of this comparison"
                raise FileFormatError(f"{file}, line {number}: the run {shown(str(cell))} {fault}")
            seen.add(cell)
        return found

    def append(self, result: dict[str, Any], history: list[dict[str, Any]]) -> None:
        """Add the result of a run, and the records of its epochs."""
        self.histories.append(cell_of(result), history)
        with open(self.path / "results.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def write(self, name: str, text: str) -> None:
        """Replace a file by this text."""
        write_text(self.path / name, text)
