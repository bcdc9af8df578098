"""Tables of comma-separated values."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from sparsecpu.datasets.base import Dataset, split
from sparsecpu.datasets.labels import guess_task
from sparsecpu.errors import DataError


def read_csv(path: Path | str, *, target: str | None = None, task: str = "auto") -> Dataset:
    """Read a table of comma-separated values; a fifth of the rows is held out for testing.

    Parameters
    ----------
    path : path
        The file; a first row without any number among the features is taken for names.
    target : str, optional
        Name of the column to predict; the last one by default.
    task : {"auto", "classification", "regression"}
        What is to be learnt; guessed from the targets by default.

    Raises
    ------
    DataError
        If the file cannot be used; the message names the line.
    """
    path = Path(path)
    names, rows, width = read_table(path)
    column = target_column(path, names, width, target)
    x = read_numbers(path, rows, width, column)
    labels = [row[column].strip() for _, row in rows]
    y = np.array(labels)
    if all(_is_number(label) for label in labels):
        y = np.array([float(label) for label in labels])
        if not np.isfinite(y).all():
            line = rows[int(np.flatnonzero(~np.isfinite(y))[0])][0]
            raise DataError(f"{path}, line {line}: the target is not finite")
        if guess_task(y, task) == "classification" and np.all(y == np.rint(y)):
            y = y.astype(np.int64)
    return split(path.stem, x, y, guess_task(y, task))


def read_table(path: Path) -> tuple[list[str] | None, list[tuple[int, list[str]]], int]:
    """Return the names of columns (or None), the line number and cells of each row, and the width.

    Raises ``DataError`` if the file is empty, ragged or not text.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader if any(c.strip() for c in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if not rows:
        raise DataError(f"{path} is empty; expected rows of numbers")
    width = len(rows[0][1])
    if width < 2:
        raise DataError(f"{path} has one column; expected features and a target")
    for line, row in rows:
        if len(row) != width:
            raise DataError(f"{path}, line {line}: {len(row)} values; expected {width}")
    names: list[str] | None = None
    if not any(_is_number(cell) for cell in rows[0][1][:-1]):
        names = [cell.strip() for cell in rows[0][1]]
        rows = rows[1:]
    if not rows:
        raise DataError(f"{path} has names but no rows")
    return names, rows, width


def target_column(path: Path, names: list[str] | None, width: int, target: str | None) -> int:
    """Return the number of the column that has the targets, the last one by default."""
    if target is None:
        return width - 1
    if names is None or target not in names:
        raise DataError(f"{path} has no column {target!r}; expected one of {names}")
    return names.index(target)


def read_numbers(
    path: Path, rows: list[tuple[int, list[str]]], width: int, without: int | None
) -> np.ndarray:
    """Return the features as float64, with one column left out unless ``without`` is None.

    Raises ``DataError`` at the first cell that is not a finite number.
    """
    x = np.empty((len(rows), width - (without is not None)), dtype=np.float64)
    for i, (line, row) in enumerate(rows):
        try:
            x[i] = [float(cell) for j, cell in enumerate(row) if j != without]
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}; expected numbers") from None
        if not np.isfinite(x[i]).all():
            raise DataError(f"{path}, line {line}: a value is not finite; expected numbers")
    return x


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
