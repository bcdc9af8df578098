"""Samples to predict for, with or without targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sparsecpu.datasets.arrays import open_archive, read_x
from sparsecpu.datasets.tables import read_table, target_column
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
        with open_archive(path) as archive:
            names = sorted(name.lower() for name in archive.members)
            if "x" not in names and "x_test" not in names:
                raise DataError(f"{path} has {names}; expected x")
            return read_x(archive, "x" if "x" in names else "x_test", features)

    def target_of(names: list[str] | None, width: int) -> int | None:
        return target_column(path, names, width, target) if width == features + 1 else None

    x = read_table(path, target_of).x
    if x.shape[1] != features:
        raise DataError(f"{path} has {x.shape[1]} features; the model expects {features}")
    return x
