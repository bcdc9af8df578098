"""Samples to predict for, with or without targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sparsecpu.datasets.arrays import checked_samples, read_archive
from sparsecpu.datasets.tables import read_numbers, read_table, target_column
from sparsecpu.errors import DataError


def read_samples(path: Path | str, features: int, *, target: str | None = None) -> np.ndarray:
    """Read samples to predict for, shape (samples, features), from a CSV or a NumPy archive.

    Parameters
    ----------
    path : path
        A ``.csv`` with a column per feature, or one more, which is left out; or a ``.npz`` with
        ``x`` (or ``x_test``).
    features : int
        Numbers per sample that the model expects.
    target : str, optional
        Name of the column to leave out; the last one by default.

    Raises
    ------
    DataError
        If the file cannot be used.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz":
        found = read_archive(path)
        x = found.get("x", found.get("x_test"))
        if x is None:
            raise DataError(f"{path} has {sorted(found)}; expected x")
        x, _ = checked_samples(path, x, np.zeros(len(x)))
    else:
        names, rows, width = read_table(path)
        with_target = width == features + 1
        without = target_column(path, names, width, target) if with_target else None
        x = read_numbers(path, rows, width, without)
    if x.shape[1] != features:
        raise DataError(f"{path} has {x.shape[1]} features; the model expects {features}")
    return x
