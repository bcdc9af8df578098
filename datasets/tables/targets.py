"""The targets of a table: classes as they are spelled, or quantities."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from sparsecpu.datasets.labels import guess_task
from sparsecpu.datasets.tables.cells import as_number, is_whole
from sparsecpu.datasets.tables.cells_read import CellsRead
from sparsecpu.datasets.tables.sheet import Sheet
from sparsecpu.errors import DataError

#: So many different texts in as few rows are no classes.
_FEW, _ROWS_PER_CLASS = 20, 2
#: No quantity is written so, as a postal code may be.
_PADDED = re.compile(r"[+-]?0[0-9]+")


@dataclass(frozen=True)
class Targets:
    """Quantities (float64), or the number of each row's class and the labels of the classes."""

    task: str
    y: np.ndarray
    classes: np.ndarray | None
    label_kind: str


def spelled_targets(sheet: Sheet, cells: CellsRead, at: int, column: int, task: str) -> Targets:
    """Return the targets in column ``at``, which was read as the text number ``column``.

    Labels are integers if each is written as Python would write it, else they stay as they are:
    ``007`` is not 7, and ``1e5`` not 100000. Raises ``DataError`` at the first cell that is not as
    most others are.
    """
    texts, numbers = cells.text(column)
    values = [as_number(text, sheet.dialect.decimal) for text in texts]
    each = np.array([value is not None for value in values], dtype=bool)[numbers]
    if task == "auto" and not each.all() and 2 * each.sum() > len(each):
        row = int(np.argmin(each))
        line = int(cells.lines[row])
        raise DataError(
            f"{sheet.path}, line {line}, {sheet.column(at)}: {texts[numbers[row]][:50]!r} is not a "
            "number, as most targets are; --task classification takes all of them for labels"
        )
    if all(value is not None for value in values) and task == "auto":
        padded = any(map(_PADDED.fullmatch, texts))
        found = np.array([value for value in values if value is not None])
        task = "classification" if padded else guess_task(found[numbers])
        if task == "regression":
            _check_finite(sheet, cells, at, found[numbers])
            return Targets(task, found[numbers], None, "number")
    elif task == "auto":
        _check_classes(sheet, at, len(texts), len(numbers))
    return _classes(sheet, at, texts, numbers)


def _check_finite(sheet: Sheet, cells: CellsRead, at: int, y: np.ndarray) -> None:
    good = np.isfinite(y)
    if not good.all():
        line = int(cells.lines[int(np.argmin(good))])
        raise DataError(f"{sheet.path}, line {line}, {sheet.column(at)}: the target is not finite")


def _check_classes(sheet: Sheet, at: int, classes: int, rows: int) -> None:
    """Refuse text that is different in most rows: prices with a currency, names, dates."""
    if classes > _FEW and classes * _ROWS_PER_CLASS > rows:
        raise DataError(
            f"{sheet.path}: the target, {sheet.column(at)}, has {classes} different texts in {rows}"
            " rows; if it holds labels, say --task classification, and if quantities, write them "
            "as numbers"
        )


def _classes(sheet: Sheet, at: int, texts: list[str], numbers: np.ndarray) -> Targets:
    """Return the classes, in order."""
    if len(texts) < 2:
        what = f"has one class only ({texts[0][:50]!r})"
        raise DataError(
            f"{sheet.path}: the target, {sheet.column(at)}, {what}; expected two or more"
        )
    whole = all(map(is_whole, texts))
    order = sorted(range(len(texts)), key=lambda i: int(texts[i]) if whole else texts[i])
    rank = np.empty(len(texts), dtype=np.int64)
    rank[order] = np.arange(len(texts))
    labels = [int(texts[i]) if whole else texts[i] for i in order]
    classes = np.array(labels, dtype=np.int64 if whole else np.str_)
    return Targets("classification", rank[numbers], classes, "integer" if whole else "text")
