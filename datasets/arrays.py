"""NumPy archives, and files in svmlight format."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from sparsecpu.datasets.base import Dataset, check_finite, split, usual_scaling
from sparsecpu.datasets.labels import given_split, guess_task
from sparsecpu.errors import DataError


def read_npz(path: Path | str, *, task: str = "auto") -> Dataset:
    """Read a NumPy archive with ``x`` and ``y``, or ``x_train, y_train, x_test, y_test``.

    With the former, a fifth of the samples is held out for testing.

    Parameters
    ----------
    path : path
        The file. Pickled objects are never loaded.
    task : {"auto", "classification", "regression"}
        What is to be learnt; guessed from the targets by default.

    Raises
    ------
    DataError
        If the file cannot be used.
    """
    path = Path(path)
    found = read_archive(path)
    if {"x", "y"} <= found.keys():
        x, y = checked_samples(path, found["x"], found["y"])
        shape, scaling = found["x"].shape[1:], usual_scaling(x)
        return split(path.stem, x, y, guess_task(y, task), input_shape=shape, scaling=scaling)
    wanted = ("x_train", "y_train", "x_test", "y_test")
    if not set(wanted) <= found.keys():
        raise DataError(f"{path} has {sorted(found)}; expected x and y, or {', '.join(wanted)}")
    x, y = checked_samples(path, found["x_train"], found["y_train"])
    x_test, y_test = checked_samples(path, found["x_test"], found["y_test"])
    return given_split(path.stem, x, y, x_test, y_test, task, found["x_train"].shape[1:])


def read_archive(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a NumPy archive by lower-case name."""
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is damaged or not an .npz file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name.lower(): archive[name] for name in archive.files}
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds on damaged bytes
        raise DataError(f"{path} cannot be read: {error}") from error


def checked_samples(path: Path, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return samples (float32 or uint8, flattened) and targets of an archive, checked.

    Raises ``DataError`` if they are not finite numbers, or do not fit.
    """
    if x.ndim < 2 or x.dtype.kind not in "fiub":
        raise DataError(f"{path}: x has shape {x.shape} and type {x.dtype}; expected numbers")
    if len(x) != len(y) or y.ndim not in (1, 2) or len(x) == 0:
        raise DataError(f"{path}: x has {len(x)} samples and y has shape {y.shape}")
    x = np.ascontiguousarray(x.reshape(len(x), -1))
    if x.dtype != np.uint8:
        x = x.astype(np.float32)
        check_finite(x, f"{path}: x")
    if y.dtype.kind == "f":
        check_finite(y.reshape(len(y), -1), f"{path}: y")
    y = y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
    return x, y


def read_svmlight(path: Path | str, *, task: str = "auto") -> Dataset:
    """Read a file in svmlight format; its samples stay sparse and are not scaled.

    A fifth of them is held out for testing.

    Parameters
    ----------
    path : path
        The file.
    task : {"auto", "classification", "regression"}
        What is to be learnt; guessed from the targets by default.

    Raises
    ------
    DataError
        If the file cannot be used.
    """
    from sklearn.datasets import load_svmlight_file

    path = Path(path)
    try:
        x, y = load_svmlight_file(str(path))
    except Exception as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if x.shape[0] == 0 or x.shape[1] == 0:
        raise DataError(f"{path} is empty; expected samples in svmlight format")
    check_finite(x.data[None], f"{path}: x")
    check_finite(y[None], f"{path}: y")
    kind = guess_task(y, task)
    y = y.astype(np.int64) if kind == "classification" and np.all(y == np.rint(y)) else y
    return split(path.stem, x, y, kind, scaling="none")
