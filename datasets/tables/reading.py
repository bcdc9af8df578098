"""A table as a data set, and as samples for a model that was trained on another one."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.datasets.base import Dataset, split
from sparsecpu.datasets.columns import Columns, few
from sparsecpu.datasets.tables.cells_read import CellsRead
from sparsecpu.datasets.tables.plan import plan_training
from sparsecpu.datasets.tables.rows import Reader
from sparsecpu.datasets.tables.sheet import Sheet, Style, opened
from sparsecpu.datasets.tables.targets import Targets, spelled_targets
from sparsecpu.errors import DataError, DataWarning, brief
from sparsecpu.kernels.column_roles import GOAL, NUMBER, SKIPPED, TEXT
from sparsecpu.reading.memory import check_memory

#: Features that one column of categories may become.
_MOST_VALUES = 1000


def read_csv(
    path: Path | str,
    *,
    target: str | None = None,
    task: str = "auto",
    missing: Sequence[str] | None = None,
    drop_missing: bool = False,
    header: bool | None = None,
    categorical: str | Sequence[str] | None = None,
) -> Dataset:
    """Read a table; a fifth of the rows is held out for testing.

    Commas, semicolons, tabs, vertical bars or blanks stand between cells, and points or commas
    before decimals; that is found out. The file may be packed by gzip.

    Parameters
    ----------
    path : path
        The file, in UTF-8.
    target : str, optional
        Name of the column to predict; the last one by default.
    task : {"auto", "classification", "regression"}
        What is to be learnt; guessed from the targets by default.
    missing : sequence of str, optional
        What stands in a cell without a value; ``NA``, ``?``, ``null`` and their like by default.
        An empty cell never has one.
    drop_missing : bool
        Leave out rows that lack a value, instead of refusing them.
    header : bool, optional
        Whether the first row has names; by default it has if it differs from what is below it, or
        counts 0, 1, 2 and so on.
    categorical : "auto" or sequence of str, optional
        Columns of categories, of which each value becomes a feature: all columns of text, or those
        with these names. Other text is refused.

    Raises
    ------
    DataError
        If the file cannot be used; the message names line and column.
    """
    path, style = Path(path), make_style(missing, drop_missing, header, categorical)
    with opened(path, style) as sheet:
        plan = plan_training(sheet, target, task)
        cells = _read(sheet, plan.roles)
        _say(*sheet.notes, plan.note, _left_out(sheet, cells))
        goal = _targets(sheet, cells, plan.roles, plan.target, task)
        places = _places(plan.roles, plan.features)
        categories = {
            sheet.names[at]: _values(sheet, at, cells, place)
            for at, (role, place) in places.items() if role == TEXT
        }  # fmt: skip
        names = tuple(sheet.names[at] for at in plan.features)
        columns = Columns(
            names, sheet.names[plan.target], goal.label_kind, categories,
            tuple(sorted(style.marks)), tuple(sheet.names[at] for at in plan.dropped),
            sheet.header, tuple(sheet.names), style.drop_missing,
        )  # fmt: skip
        x = _samples(sheet, cells, places, columns)
    _say(_constant(path, x, columns))
    dataset = split(path.stem, x, goal.y, goal.task, columns=columns)
    return replace(dataset, classes=goal.classes) if goal.classes is not None else dataset


def make_style(
    missing: Sequence[str] | None,
    drop_missing: bool,
    header: bool | None,
    categorical: str | Sequence[str] | None,
) -> Style:
    """Return how the user says that a table is to be read."""
    if isinstance(missing, str):
        missing = (missing,)
    if header not in (None, True, False):
        raise DataError(f"header is {brief(header)}; expected True, False or None")
    for name, words in (("missing", missing), ("categorical", categorical)):
        if words is None:
            continue
        if not (isinstance(words, Collection) and all(isinstance(word, str) for word in words)):
            raise DataError(f"{name} is {brief(words)}; expected texts in a list")
    if isinstance(categorical, str) and categorical != "auto":
        categorical = [name.strip() for name in categorical.split(",")]
    if categorical is not None and not isinstance(categorical, str):
        categorical = tuple(categorical)
    marks = None if missing is None else tuple(mark.strip() for mark in missing)
    return Style(marks, drop_missing, header, categorical)


def read_features(
    path: Path | str,
    columns: Columns | None,
    match: Callable[[list[str] | None, int], Any],
    *,
    task: str | None = None,
    missing: Sequence[str] | None = None,
    drop_missing: bool = False,
    header: bool | None = None,
) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Return the samples of a table as a model expects them, their targets, and notes.

    Parameters
    ----------
    path : path
        The file.
    columns : Columns or None
        The columns of the table that the model was trained on; None if it was none.
    match : callable
        Takes the names of the columns (None if the table has none) and how many there are; returns
        an object that says in ``features`` which of them are the model's, in its order, and in
        ``target`` which has the targets, if one does.
    task : {"classification", "regression"}, optional
        What targets are needed: labels, as text, or quantities; they are None otherwise.
    missing, drop_missing, header : list of str, bool, bool
        As ``read_csv`` takes them; the marks are those of the training table by default.

    Raises
    ------
    DataError
        If the file cannot be used, or has a category that the training table had not.
    """
    if missing is None and columns is not None and columns.missing:
        missing = columns.missing
    style = replace(make_style(missing, drop_missing, header, None), every_row=task is None)
    if columns is not None and columns.header:
        style = replace(style, known=columns.names)
    with opened(Path(path), style) as sheet:
        try:
            found = match(sheet.names if sheet.header else None, sheet.width)
        except DataError as error:
            known = set(sheet.names) & set(() if columns is None else columns.names)
            raise DataError(f"{error}{'' if known else sheet.unless_sample}") from None
        categories = {} if columns is None else columns.categories
        names = [f"column {at + 1}" for at in found.features] if columns is None else columns.names
        roles = [SKIPPED] * sheet.width
        for at, name in zip(found.features, names, strict=True):
            roles[at] = TEXT if name in categories else NUMBER
        if task is not None:
            roles[found.target] = TEXT if task == "classification" else GOAL
        cells = _read(sheet, roles)
        places = _places(roles, found.features)
        x = _samples(sheet, cells, places, Columns(tuple(names), categories=categories))
        y = None if task is None else _spelled(cells, roles, found.target)
    by_name = columns is not None and columns.header and sheet.header
    notes = [] if by_name else sheet.notes  # else there is no doubt what the first row is
    return x, y, [note for note in (*notes, _left_out(sheet, cells)) if note]


def _read(sheet: Sheet, roles: Sequence[int]) -> CellsRead:
    cells = Reader(sheet, roles).read()
    if not cells.rows:
        lost = f"; {cells.left_out} lack a value" if cells.left_out else ""
        raise DataError(f"{sheet.path} has names but no rows{lost or sheet.unless_sample}")
    return cells


def _places(roles: Sequence[int], chosen: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return for each of the columns its role, and the how manieth of that role it is."""
    seen: Counter[int] = Counter()
    places = []
    for role in roles:
        places.append((role, seen[role]))
        seen[role] += 1
    return {at: places[at] for at in chosen}


def _targets(sheet: Sheet, cells: CellsRead, roles: Sequence[int], at: int, task: str) -> Targets:
    if roles[at] == GOAL:
        return Targets("regression", cells.goal, None, "number")
    return spelled_targets(sheet, cells, at, list(roles[:at]).count(TEXT), task)


def _spelled(cells: CellsRead, roles: Sequence[int], at: int) -> np.ndarray:
    """Return the targets: quantities, or labels as text."""
    if roles[at] == GOAL:
        return cells.goal
    texts, numbers = cells.text(list(roles[:at]).count(TEXT))
    return np.array(texts)[numbers]


def _values(sheet: Sheet, at: int, cells: CellsRead, place: int) -> tuple[str, ...]:
    """Return the values of a column of categories, in order."""
    found, _ = cells.text(place)
    if len(found) > _MOST_VALUES:
        raise DataError(
            f"{sheet.path}: {sheet.column(at)} has {len(found)} different values; expected at most "
            f"{_MOST_VALUES} categories"
        )
    return tuple(sorted(found))


def _samples(
    sheet: Sheet, cells: CellsRead, places: dict[int, tuple[int, int]], columns: Columns
) -> np.ndarray:
    """Return the samples: numbers as they are, and of each category a 1 among 0s."""
    numbers = [place for role, place in places.values() if role == NUMBER]
    if not columns.categories:
        same = numbers == list(range(cells.x.shape[1]))
        return cells.x if same else np.ascontiguousarray(cells.x[:, numbers])
    check_memory(8 * cells.rows * columns.n_features, f"{sheet.path} with categories", DataError)
    x = np.zeros((cells.rows, columns.n_features))
    at = 0
    for (column, (role, place)), name in zip(places.items(), columns.names, strict=True):
        if role == NUMBER:
            x[:, at] = cells.x[:, place]
            at += 1
            continue
        known = columns.categories[name]
        x[np.arange(cells.rows), at + _ranks(sheet, column, cells, place, known)] = 1.0
        at += len(known)
    return x


def _ranks(sheet: Sheet, at: int, cells: CellsRead, place: int, known: Sequence[str]) -> np.ndarray:
    """Return the number of each row's category; refuse one that is not known."""
    rank = {value: i for i, value in enumerate(known)}
    texts, numbers = cells.text(place)
    found = np.array([rank.get(text, -1) for text in texts])[numbers]
    if (found < 0).any():
        row = int(np.argmax(found < 0))
        line = int(cells.lines[row])
        value = texts[numbers[row]]
        raise DataError(
            f"{sheet.path}, line {line}, {sheet.column(at)}: {value[:50]!r} is none of the values "
            f"that the model knows ({few(known)})"
        )
    return found


def _left_out(sheet: Sheet, cells: CellsRead) -> str:
    """Return how many rows are left out; "" if none is."""
    if not cells.left_out:
        return ""
    total, first = cells.rows + cells.left_out, cells.first_left_out
    many = f"left out {cells.left_out} of {total} rows"
    return f"{sheet.path}: {many}, which lack a value (the first in line {first})"


def _constant(path: Path, x: np.ndarray, columns: Columns) -> str:
    """Return which features have one value only; "" if none does."""
    same = np.flatnonzero(x.min(axis=0) == x.max(axis=0))
    names = [columns.feature_names[at] for at in same]
    return f"{path}: of no use, as all rows have the same value: {few(names)}" if names else ""


def _say(*notes: str) -> None:
    """Give notes as warnings."""
    for note in notes:
        if note:
            warnings.warn(note, DataWarning, stacklevel=3)
