"""Tables of OpenML as data sets: columns of numbers and of categories, and targets by name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecpu.datasets.base import Dataset, split
from sparsecpu.datasets.columns import Columns, few
from sparsecpu.datasets.fetching import fetch
from sparsecpu.datasets.labels import guess_task, whole_labels
from sparsecpu.datasets.tables.cells import is_whole
from sparsecpu.errors import DataError, DataWarning
from sparsecpu.reading.memory import check_memory

#: What to do about rows that lack a value.
_ADVICE = "leave such rows out (--drop-missing)"


@dataclass
class _Table:
    """All columns of a data set, dense or sparse; those of categories hold numbers of values."""

    what: str
    x: Any
    names: list[str]
    categories: Mapping[str, list[str]]

    def column(self, name: str) -> np.ndarray:
        """Return a column as float64, shape (samples,)."""
        at = self.names.index(name)
        if not hasattr(self.x, "tocoo"):
            return self.x[:, at]
        values, stored = np.zeros(self.x.shape[0]), self.x[:, [at]].tocoo()
        values[stored.row] = stored.data
        return values

    def without(self, left_out: list[str]) -> _Table:
        """Return the table without some columns."""
        kept = [i for i, name in enumerate(self.names) if name not in left_out]
        names = [self.names[i] for i in kept]
        categories = {name: self.categories[name] for name in names if name in self.categories}
        return _Table(self.what, self.x[:, kept], names, categories)

    def complete(self) -> _Table:
        """Return the table without the rows that lack a value; a warning says how many."""
        rows = np.ones(self.x.shape[0], dtype=bool)
        if hasattr(self.x, "tocoo"):
            stored = self.x.tocoo()
            rows[stored.row[np.isnan(stored.data)]] = False
        else:
            for column in self.x.T:
                rows &= ~np.isnan(column)
        lost = len(rows) - np.count_nonzero(rows)
        if not lost:
            return self
        _say(f"{self.what}: left out {lost} of {len(rows)} rows, which lack a value")
        return _Table(self.what, self.x[np.flatnonzero(rows)], self.names, self.categories)


def fetch_openml(
    name: str, *, target: str | None = None, task: str = "auto", drop_missing: bool = False
) -> Dataset:
    """Fetch a table from OpenML, or from scikit-learn's cache of it.

    A fifth of the rows is held out for testing. A column of categories becomes a feature for each
    value. A table in sparse format stays sparse and is not scaled.

    Parameters
    ----------
    name : str
        OpenML's name (``iris``), name and version (``iris@1``) or number (``61``) of it.
    target : str, optional
        Column to predict; the one that OpenML names by default.
    task : {"auto", "classification", "regression"}
        What is to be learnt; by default categories are classes, and numbers are looked at.
    drop_missing : bool
        Whether to leave out rows that lack a value; they are refused otherwise.

    Raises
    ------
    DataError
        If there is no such table, it cannot be fetched or used, or a value is missing.
    """
    # Without a target, as scikit-learn does not initialise the targets of sparse tables; and by
    # the parser that needs no pandas, keeps labels as they are spelled and tells quotes apart.
    what = f"openml:{name}"
    found = fetch(name, what, target_column=None, parser="liac-arff")
    categories = found.categories or {}
    table = _Table(what, found.data, list(found.feature_names), categories)
    if drop_missing:
        table = table.complete()
    targets = _target_names(table, target, found.details.get("default_target_attribute"))
    y, kind = _targets(table, targets, task)
    features = table.without(targets)
    if not features.names:
        raise DataError(f"{what} has no columns beside the target; expected features")
    _check_present(features)
    title = str(found.details.get("name", name))
    if hasattr(features.x, "tocoo"):
        _check_all_numbers(features)
        return split(title, features.x.astype(np.float32), y, kind, scaling="none")
    columns = Columns(
        tuple(features.names),
        ", ".join(targets),
        "text" if y.dtype.kind == "U" else "integer" if y.dtype.kind == "i" else "number",
        {name: tuple(values) for name, values in features.categories.items()},
    )
    return split(title, _numbers(features, columns), y, kind, columns=columns)


def _target_names(table: _Table, target: str | None, usual: str | None) -> list[str]:
    """Return the columns to predict."""
    known = few(table.names)
    if target is not None:
        if target not in table.names:
            raise DataError(f"{table.what} has no column {target!r}; expected one of {known}")
        return [target]
    if not usual:
        raise DataError(f"{table.what} has no target of its own; choose one of {known} (--target)")
    names = [usual] if usual in table.names else [name.strip() for name in usual.split(",")]
    missing = [name for name in names if name not in table.names]
    if missing:
        raise DataError(
            f"{table.what}: its target {missing[0]!r} is no column that may be used; "
            f"choose one of {known} (--target)"
        )
    return names


def _targets(table: _Table, names: list[str], task: str) -> tuple[np.ndarray, str]:
    """Return the targets, and what is to be learnt from them."""
    columns = [table.column(name) for name in names]
    for name, column in zip(names, columns, strict=True):
        if not np.isfinite(column).all():
            count = int(np.count_nonzero(~np.isfinite(column)))
            raise DataError(f"{table.what}: the target {name!r} lacks {count} value(s); {_ADVICE}")
    labelled = [name for name in names if name in table.categories]
    if len(names) > 1:
        if labelled:
            words = f"{table.what} has {len(names)} targets, and {labelled[0]!r} has categories"
            raise DataError(f"{words}; choose one of {', '.join(names)} (--target)")
        return np.column_stack(columns), guess_task(np.column_stack(columns), task)
    y = columns[0]
    if labelled:
        labels = _labels(table.categories[names[0]])[y.astype(np.int64)]
        return labels, guess_task(labels, "classification" if task == "auto" else task)
    kind = guess_task(y, task)
    if kind == "classification":
        if task == "auto":
            _say_classes(table.what, names[0], y)
        y = whole_labels(y)
    return y, kind


def _say_classes(what: str, name: str, y: np.ndarray) -> None:
    _say(
        f"{what}: OpenML has numbers in {name!r}, of which there are {len(np.unique(y))}, whole "
        "ones: taken for classes; --task regression takes them for quantities"
    )


def _say(note: str) -> None:
    warnings.warn(note, DataWarning, stacklevel=2)


def _labels(values: list[str]) -> np.ndarray:
    """Return labels as integers if each is written as Python would write it, else as text."""
    return np.array([int(value) for value in values] if all(map(is_whole, values)) else values)


def _check_present(table: _Table) -> None:
    """Refuse missing values by the names of their columns."""
    x = table.x.tocsc() if hasattr(table.x, "tocoo") else table.x
    if np.isfinite(x.data if hasattr(x, "tocoo") else x).all():
        return
    lacking = [name for name in table.names if not np.isfinite(table.column(name)).all()]
    raise DataError(
        f"{table.what} has missing values in {few(lacking)}; {_ADVICE}, or fill them in "
        "(scikit-learn's SimpleImputer) and keep the table as a .csv"
    )


def _check_all_numbers(table: _Table) -> None:
    if table.categories:
        raise DataError(
            f"{table.what} is in sparse format and has categories in {few([*table.categories])}; "
            "expected numbers"
        )
    if table.x.nnz and np.abs(table.x.data).max() > np.finfo(np.float32).max:
        raise DataError(f"{table.what}: a value is beyond float32")


def _numbers(table: _Table, columns: Columns) -> np.ndarray:
    """Return the features of dense rows, float32: a column of categories has one for each value."""
    rows, most = table.x.shape[0], np.finfo(np.float32).max
    check_memory(8 * rows * columns.n_features, table.what, DataError)
    found, at = np.zeros((rows, columns.n_features), dtype=np.float32), 0
    for i, name in enumerate(table.names):
        column, values = table.x[:, i], table.categories.get(name)
        if values is not None:
            found[np.arange(rows), at + column.astype(np.int64)] = 1
            at += len(values)
            continue
        if np.abs(column).max() > most:
            raise DataError(f"{table.what}: {name!r} has a value beyond float32")
        found[:, at] = column
        at += 1
    return found
