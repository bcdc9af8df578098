"""What a run has shown while it trained: its history as series of numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsecpu.errors import DataError, SparseCPUError
from sparsecpu.experiments.history_file import HistoryFile
from sparsecpu.experiments.run_folder import RunFolder
from sparsecpu.files.documents import read_json
from sparsecpu.step.plain_values import anything, named

#: Places, in epochs or steps, and what was measured there.
Series = tuple[list[float], list[float]]
#: What curves may be measured on, and the number of the look that each has wherever it is drawn:
#: validation whole, training dashed, what is held out and scored within epochs dotted.
VALIDATION, TRAINING, HELD_OUT = "validation", "training", "held out"
LOOKS = {VALIDATION: 0, TRAINING: 1, HELD_OUT: 2}


#: Numbers are far apart where the largest is so many times the smallest.
_FAR = 8


def far_apart(values: Iterable[float]) -> bool:
    """Return True for numbers that only a logarithmic scale shows side by side."""
    found = list(values)
    return bool(found) and min(found) > 0 and max(found) > _FAR * min(found)


def looks(kinds: Iterable[str]) -> dict[str, int]:
    """Return the number of the look of each kind of curve that a drawing has.

    If there is one kind only, nothing has to be told apart, and its line is whole.
    """
    given = set(kinds)
    there = [kind for kind in LOOKS if kind in given]
    return {kind: LOOKS[kind] for kind in there} if len(there) > 1 else dict.fromkeys(there, 0)


@dataclass(frozen=True)
class Curves:
    """The history of one run.

    Parameters
    ----------
    records : list of dict
        One per epoch, as ``history.jsonl`` has them. What was not measured, as in histories of
        older versions, is missing.
    name : str
        What to call the run.
    layers : sequence of str
        Names of the layers whose densities the records list.
    score : str
        What scores are: ``"accuracy"``, ``"R²"``, or just ``"score"``.
    kept : bool
        True if the network of the best epoch was kept.
    of_text : bool
        True if the run was of a language model.
    """

    records: list[dict[str, Any]]
    name: str = ""
    layers: Sequence[str] = ()
    score: str = "score"
    kept: bool = False
    of_text: bool = False

    def series(self, key: str, over: str = "epochs") -> Series:
        """Return the numbers of this name, without those that are not finite."""
        found = [(_place(r, over), r.get(key)) for r in self.records]
        return _numbers(found)

    def held_out(self, keys: Sequence[str], over: str = "epochs") -> Series:
        """Return scores within epochs (``--evaluate-every``): the first of these names there is."""
        found: list[tuple[Any, Any]] = []
        ends = {0.0: 0.0}  # after how many steps each epoch ended
        ends |= {_place(r, "steps"): _place(r, "epochs") for r in self.records}
        steps = sorted(step for step in ends if step is not None)
        for record in self.records:
            rows = record.get("evaluations")
            for row in rows if isinstance(rows, list) else ():
                if isinstance(row, dict):
                    value = next((row[key] for key in keys if key in row), None)
                    found.append((_between(row.get("step"), steps, ends, over), value))
        return _numbers(found)

    def densities(self, over: str = "epochs") -> dict[str, Series]:
        """Return the density of each layer by its name."""
        rows = [r.get("densities") for r in self.records]
        count = max((len(row) for row in rows if isinstance(row, list)), default=0)
        names = list(self.layers) if len(self.layers) == count else []
        names = names or [f"layer {number + 1}" for number in range(count)]
        found = {}
        for number, name in enumerate(names):
            values = [
                row[number] if isinstance(row, list) and number < len(row) else None
                for row in rows
            ]  # fmt: skip
            places = (_place(record, over) for record in self.records)
            found[name] = _numbers(list(zip(places, values, strict=True)))
        return found

    def best(self, over: str = "epochs") -> float | None:
        """Return where the best validation score is, whose network was kept; None if none was."""
        places, values = self.series("validation_score", over)
        return places[values.index(max(values))] if self.kept and values else None


def _place(record: dict[str, Any], over: str) -> Any:
    return record.get("epoch" if over == "epochs" else "step")


def _between(step: Any, steps: list[float], ends: dict[float, float], over: str) -> Any:
    """Return a step as it is, or in epochs."""
    if over == "steps" or not _is_number(step):
        return step
    import numpy as np

    return float(np.interp(step, steps, [ends[s] for s in steps]))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(found: Sequence[tuple[Any, Any]]) -> Series:
    """Return places and values where both are numbers."""
    good = [(float(p), float(v)) for p, v in found if _is_number(p) and _is_number(v)]
    return [p for p, _ in good], [v for _, v in good]


def read_curves(run: str) -> Curves:
    """Read the curves of a run from its folder, or from its ``history.jsonl``.

    Raises ``DataError`` if there is no history, or no epoch in it.
    """
    path = Path(run)
    folder = RunFolder(path if path.is_dir() else path.parent)
    history = folder.history if path.is_dir() else HistoryFile(path)
    if not history.path.is_file():
        expected = "the folder of a run, which has a history.jsonl"
        raise DataError(f"{run} has no history; expected {expected}")
    records = history.read()
    if not records:
        raise DataError(f"{run} has no epoch in its history yet; expected a run of one or more")
    config = _config(folder.config)
    facts: dict[str, Any] = {}
    layers: tuple[str, ...] = ()
    for model in (folder.model, folder.checkpoint):
        if model.is_file():
            facts, layers = _model(model)
            break
    name = str(run).rstrip("/\\") if path.name not in ("", ".", "..") else path.resolve().name
    score = {"classification": "accuracy", "regression": "R²"}.get(facts.get("task", ""), "score")
    return Curves(
        records, name, layers, score, kept=config.get("best") is True,
        of_text=facts.get("task") == "language",
    )  # fmt: skip


def _config(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, named(anything)) if path.is_file() else {}
    except SparseCPUError:
        return {}  # curves do without


def _model(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what a model knows of its data, and the names of its sparse layers."""
    from sparsecpu.files.model import load

    try:
        network, facts = load(path)
    except (SparseCPUError, OSError, json.JSONDecodeError):
        return {}, ()  # damaged, or of a run that is being written: curves do without
    return facts, tuple(n.removesuffix(".weight") for n in network.sparse_parameters())
