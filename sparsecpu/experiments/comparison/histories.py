"""How the runs of a comparison went: a line of JSON per run, with a record per epoch."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from sparsecpu.experiments.comparison.comparison import Cell
from sparsecpu.experiments.comparison.methods import DENSE, label_of
from sparsecpu.experiments.curves import Curves
from sparsecpu.files.documents import finite, read_json_lines
from sparsecpu.files.writing import write_text
from sparsecpu.step.plain_values import listed, real, table, text, whole
from sparsecpu.step.update_records import RECORD

#: What is kept of an epoch; numbers of a mean, to so many digits.
_KEPT, _DIGITS = ("epoch", "step", "loss", "learning_rate", "densities"), 6
_LINE = table(
    {
        "method": text, "density": real(0.0, 1.0), "seed": whole(0), "fold": whole(0),
        "history": listed(RECORD),
    },
    {"group": text},
)  # fmt: skip

Records = list[dict[str, Any]]


class MeanCurves(NamedTuple):
    """The curves of one method at one density, means over its runs."""

    method: str
    density: float
    group: str
    curves: Curves

    @property
    def label(self) -> str:
        """What to call them beside others of this density."""
        return label_of(self.method, self.group)


class HistoriesFile:
    """The file of the histories, whose last line may be cut off.

    A run that was broken off between its history and its result stands there twice: the last
    counts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[Cell, Records]:
        """Return the history of each run; none if there is no file, as in older comparisons."""
        found = {}
        for line in read_json_lines(self.path, _LINE):
            records = line.pop("history")
            found[Cell(**line)] = records
        return found

    def mend(self) -> None:
        """Take away a last line that was cut off, behind which none may stand."""
        if self.path.exists():
            lines = (_line(cell, records) for cell, records in self.read().items())
            write_text(self.path, "".join(lines))

    def append(self, cell: Cell, records: Records) -> None:
        """Add the history of a run."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(_line(cell, records))
            file.flush()
            os.fsync(file.fileno())  # before its result, which must not be ahead of it


def _line(cell: Cell, records: Records) -> str:
    return json.dumps(finite({**asdict(cell), "history": records})) + "\n"


def kept_of(records: Sequence[Mapping[str, Any]]) -> Records:
    """Return what is kept of the records of a run, in few digits."""
    return [{key: _short(r[key]) for key in _KEPT if key in r} for r in records]


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return [_short(item) for item in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def mean_curves(histories: Mapping[Cell, Records]) -> list[MeanCurves]:
    """Return the mean curves of each method at each density, in the order of the histories."""
    kinds: dict[tuple[str, float, str], list[Records]] = defaultdict(list)
    for cell, records in histories.items():
        kinds[cell.method, cell.density, cell.group].append(records)
    return [
        MeanCurves(*kind, Curves(_mean(runs), name=label_of(kind[0], kind[2])))
        for kind, runs in kinds.items()
    ]


def _mean(runs: list[Records]) -> Records:
    """Return the mean record of each epoch, over the runs that have it."""
    epochs: dict[int, Records] = defaultdict(list)
    for records in runs:
        for record in records:
            epochs[record["epoch"]].append(record)
    return [
        {"epoch": epoch, **{key: _mean_of(key, found) for key in _KEPT[1:]}}
        for epoch, found in sorted(epochs.items())
    ]


def _mean_of(key: str, records: Records) -> Any:
    """Return the mean of a number, or of each of several; None where not all have it alike."""
    values: list[Any] = [record.get(key) for record in records]
    if all(map(_is_number, values)):
        return sum(values) / len(values)
    lists = [value for value in values if isinstance(value, list) and all(map(_is_number, value))]
    if len(lists) == len(values) and len(set(map(len, lists))) == 1:
        return [sum(column) / len(column) for column in zip(*lists, strict=True)]
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def by_density(found: Sequence[MeanCurves]) -> dict[float, list[MeanCurves]]:
    """Return the curves with losses of each density, smallest first; dense ones stand in all."""
    known = [one for one in found if one.curves.series("loss")[1]]
    dense = [one for one in known if one.method == DENSE]
    sparse = [one for one in known if one.method != DENSE]
    densities = sorted({one.density for one in sparse}) or [1.0] * bool(dense)
    return {
        density: [*dense, *(one for one in sparse if one.density == density)]
        for density in densities
    }
