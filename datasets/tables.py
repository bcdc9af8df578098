"""Tables of comma-separated values."""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sparsecpu.datasets.base import Dataset, split
from sparsecpu.datasets.columns import Columns
from sparsecpu.datasets.labels import guess_task, is_exact
from sparsecpu.errors import DataError
from sparsecpu.reading.files import open_regular, refusing

#: Characters of the longest line: much more than this is no table.
_LONGEST_LINE = 1 << 26


@dataclass
class Table:
    """Numbers of a table (float64, a row each), its targets as text, and the line of each row.

    ``names`` are those of all columns, None if the table has none; without a column of targets,
    each target is "".
    """

    path: Path
    names: list[str] | None
    x: np.ndarray
    labels: list[str]
    lines: array


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
    at = 0

    def target_of(names: list[str] | None, width: int) -> int:
        nonlocal at
        at = target_column(path, names, width, target)
        return at

    table = read_table(path, target_of)
    order = table.names or [f"column {i + 1}" for i in range(table.x.shape[1] + 1)]
    columns = Columns(
        tuple(name for i, name in enumerate(order) if i != at),
        order[at],
        header=table.names is not None,
        order=tuple(order),
    )
    y = _targets(table)
    kind = guess_task(y, task)
    if kind == "classification" and y.dtype.kind == "f" and is_exact(y):
        y = y.astype(np.int64)
    return split(path.stem, table.x, y, kind, columns=columns)


def _targets(table: Table) -> np.ndarray:
    """Return the targets as numbers if all of them are, else as text."""
    labels = table.labels
    if "" in labels:
        line = table.lines[labels.index("")]
        raise DataError(f"{table.path}, line {line}: the target is missing")
    if not all(map(is_number, labels)):
        return np.array(labels)
    y = np.array([float(label) for label in labels])
    if not np.isfinite(y).all():
        line = table.lines[int(np.flatnonzero(~np.isfinite(y))[0])]
        raise DataError(f"{table.path}, line {line}: the target is not finite")
    if not is_exact(y) and all(re.fullmatch(r"[+-]?\d+", label) for label in labels):
        whole = [int(label) for label in labels]  # as floats, some of them might be equal
        if max(whole) < 2**63 and min(whole) >= -(2**63):
            return np.array(whole, dtype=np.int64)
    return y


def read_table(path: Path, target_of: Callable[[list[str] | None, int], int | None]) -> Table:
    """Read a table; ``target_of(names, width)`` says which column has targets, or None.

    Raises ``DataError`` if the file is empty, ragged or not text, or at the first cell of a feature
    that is not a finite number.
    """
    names: list[str] | None = None
    width, column = 0, None
    numbers, lines, labels = array("d"), array("q"), list[str]()
    with refusing(path, DataError, "a table of text"), open_regular(path) as raw:
        reader = csv.reader(_lines(io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")))
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            line = reader.line_num
            if not width:
                width = _width(path, row)
                if not any(map(is_number, row[:-1])):
                    names = [cell.strip() for cell in row]
                column = target_of(names, width)
                if names is not None:
                    continue
            if len(row) != width:
                raise DataError(f"{path}, line {line}: {len(row)} values; expected {width}")
            labels.append("" if column is None else row.pop(column).strip())
            numbers.extend(_numbers(path, line, row))
            lines.append(line)
    if not width:
        raise DataError(f"{path} is empty; expected rows of numbers")
    if not lines:
        raise DataError(f"{path} has names but no rows")
    x = np.frombuffer(numbers, dtype=np.float64).reshape(len(lines), -1)
    _check_size(path, x, lines)
    return Table(path, names, x, labels, lines)


def _width(path: Path, row: list[str]) -> int:
    if len(row) < 2:
        raise DataError(f"{path} has one column; expected features and a target")
    return len(row)


def _lines(file: io.TextIOWrapper) -> Iterator[str]:
    """Yield the lines of a file, none of them endless; text has no NUL in it."""
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise csv.Error("a line is too long")
        if "\0" in line:
            raise csv.Error("there is a NUL character in it")
        yield line


def _numbers(path: Path, line: int, cells: list[str]) -> list[float]:
    """Return the features of a row."""
    try:
        if "_" in "".join(cells):  # Python reads 1_000; other readers of tables do not
            raise ValueError
        return [float(cell) for cell in cells]
    except ValueError:
        cell = next(cell for cell in cells if not is_number(cell))
        raise DataError(f"{path}, line {line}: {cell[:50]!r} is not a number") from None


def _check_size(path: Path, x: np.ndarray, lines: array) -> None:
    """Refuse numbers that are not finite, or would not be in a network."""
    most = np.finfo(np.float32).max
    if -most <= x.min() <= x.max() <= most:  # not so where there is a NaN
        return
    good = (np.abs(x) <= most).all(axis=1)
    line = lines[int(np.flatnonzero(~good)[0])]
    raise DataError(
        f"{path}, line {line}: a value is not finite, or beyond float32; expected numbers"
    )


def target_column(path: Path, names: list[str] | None, width: int, target: str | None) -> int:
    """Return the number of the column that has the targets, the last one by default."""
    if target is None:
        return width - 1
    if names is None or target not in names:
        known = "names in the first line" if names is None else f"one of {', '.join(names)}"
        raise DataError(f"{path} has no column {target!r}; expected {known}")
    if names.count(target) > 1:
        raise DataError(f"{path} has {names.count(target)} columns named {target!r}")
    return names.index(target)


def is_number(cell: str) -> bool:
    """Return True if text is a number, NaN and infinity included."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell
