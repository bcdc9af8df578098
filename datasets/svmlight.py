"""Files in svmlight format: a target, and the features of a sample that are not 0."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.datasets.base import Dataset, split
from sparsecpu.datasets.labels import guess_task, is_exact
from sparsecpu.errors import DataError
from sparsecpu.reading.files import refusing
from sparsecpu.reading.packed import open_unpacked


@dataclass(frozen=True)
class SparseRows:
    """Samples of a file (CSR), their targets, and whether it counts features from 0 or from 1."""

    x: Any
    y: np.ndarray
    first: int


def read_svmlight(
    path: Path | str, *, task: str = "auto", zero_based: bool | None = None
) -> Dataset:
    """Read a file in svmlight format; its samples stay sparse and are not scaled.

    A fifth of them is held out for testing.

    Parameters
    ----------
    path : path
        The file, plain or packed by gzip.
    task : {"auto", "classification", "regression"}
        What is to be learnt; guessed from the targets by default.
    zero_based : bool, optional
        Whether the first feature is number 0 or 1; by default it is 0 if there is a feature 0.

    Raises
    ------
    DataError
        If the file cannot be used.
    """
    path = Path(path)
    x, y = _load(path)
    if not x.nnz:
        raise DataError(f"{path} has targets alone; expected samples in svmlight format")
    first = _first(path, x, zero_based, 0 if _lowest(x) == 0 else 1)
    kind = guess_task(y, task)
    if kind == "classification":
        y = whole_numbers(path, y)
    rows = _counted(x, first, _highest(x) + 1 - first)
    return split(_stem(path), rows, y, kind, scaling="none", first_feature=first)


def read_sparse_rows(
    path: Path | str, features: int, first: int | None, *, zero_based: bool | None = None
) -> SparseRows:
    """Return all samples of a file for a model; features that it lacks are 0.

    ``first`` is the number of the first feature where the model was trained, None if that was no
    file in svmlight format. Raises ``DataError`` if the file has more features than the model, or
    could be read in two ways.
    """
    path = Path(path)
    x, y = _load(path)
    low, high = _lowest(x), _highest(x)
    if zero_based is None:
        first = _first_by_model(path, low, high, features, first)
    else:
        first = _first(path, x, zero_based, 0)
    if high - first >= features:
        raise DataError(
            f"{path} has {high + 1 - first} features; the model expects {features}"
        )  # fmt: skip
    return SparseRows(_counted(x, first, features), y, first)


def _first_by_model(path: Path, low: int, high: int, features: int, first: int | None) -> int:
    """Return the number of a file's first feature, as its numbers and the model tell."""
    if high < 0:
        return 0  # no features at all
    if first is None:
        if low == 0 or high == features:
            return 0 if low == 0 else 1
        if high > features:
            raise DataError(f"{path} has {high} features; the model expects {features}")
        raise DataError(
            f"{path} has features {low} to {high} of the {features} that the model expects, and "
            "may count them from 0 or from 1; say --zero-based or --one-based"
        )
    if first == 1 and low == 0:
        raise DataError(
            f"{path} counts features from 0, and the file that the model was trained on from 1; "
            "say --zero-based if feature 0 here is feature 1 there"
        )
    if first == 0 and low > 0 and high == features:
        raise DataError(
            f"{path} has features {low} to {high}; the model was trained on features 0 to "
            f"{features - 1}; say --one-based if feature 1 here is feature 0 there"
        )
    return first


def _first(path: Path, x: Any, zero_based: bool | None, otherwise: int) -> int:
    """Return the number of the first feature, as the user says."""
    if zero_based is None:
        return otherwise
    if not zero_based and _lowest(x) == 0:
        raise DataError(f"{path} has a feature 0; it does not count from 1 (--one-based)")
    return 0 if zero_based else 1


def _lowest(x: Any) -> int:
    return int(x.indices.min()) if x.nnz else 1


def _highest(x: Any) -> int:
    return int(x.indices.max()) if x.nnz else -1


def _counted(x: Any, first: int, features: int) -> Any:
    """Return samples whose features are numbered from 0, so many."""
    if first:
        x.indices -= first
    x.resize((x.shape[0], features))
    return x


def _load(path: Path) -> tuple[Any, np.ndarray]:
    """Return samples and targets, checked; feature numbers are those of the file."""
    from sklearn.datasets import load_svmlight_file

    with refusing(path, DataError, "a file in svmlight format"), open_unpacked(path) as file:
        x, y = load_svmlight_file(file, zero_based=True)
    if x.shape[0] == 0:
        raise DataError(f"{path} is empty; expected samples in svmlight format")
    good = np.abs(x.data) <= np.finfo(np.float32).max  # not so where there is a NaN
    if not good.all():
        at = int(np.argmin(good))
        row = int(np.searchsorted(x.indptr, at, side="right"))
        raise DataError(
            f"{path}: sample {row}, feature {x.indices[at]} is {x.data[at]}; expected finite "
            "numbers that float32 can hold"
        )
    if not np.isfinite(y).all():
        row = int(np.argmin(np.isfinite(y)))
        raise DataError(f"{path}: sample {row + 1}: the target is {y[row]}")
    return x, y


def whole_numbers(path: Path, y: np.ndarray) -> np.ndarray:
    """Return labels as integers if all of them are."""
    if not np.all(y == np.rint(y)):
        return y
    if not is_exact(y):
        raise DataError(f"{path}: classes beyond 2**53 cannot be told apart in this format")
    return y.astype(np.int64)


def _stem(path: Path) -> str:
    name = path.name
    return Path(name.removesuffix(".gz")).stem
