"""Your own files: CSV, NumPy archives, svmlight, and folders of IDX files."""

from __future__ import annotations

import csv
import gzip
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from sparsecpu.datasets.base import Dataset, check_finite, encode, split

from sparsecpu.errors import DataError

#: Integers with at most this many different values are taken for classes.
_MOST_CLASSES = 100
_IDX_PARTS = (
    ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


def guess_task(y: np.ndarray, task: str = "auto") -> str:
    """Return whether targets are classes or quantities.

    Parameters
    ----------
    y : ndarray
        Targets.
    task : {"auto", "classification", "regression"}
        What the user says.

    Returns
    -------
    {"classification", "regression"}
        What it is.

    Raises
    ------
    DataError
        If text is to be regressed on.
    """
    text = y.dtype.kind in "OUSb"
    if task == "regression" and text:
        raise DataError(f"the targets are text ({y.flat[0]!r}); expected numbers for regression")
    if task != "auto":
        return task
    if text:
        return "classification"
    whole = y.ndim == 1 and bool(np.all(y == np.rint(y)))
    return "classification" if whole and len(np.unique(y)) <= _MOST_CLASSES else "regression"


def read_csv(path: Path | str, *, target: str | None = None, task: str = "auto") -> Dataset:
    """Read a table of comma-separated values.

    Parameters
    ----------
    path : path
        The file; a first row with any text among the features is taken for names.
    target : str, optional
        Name of the column to predict; the last one by default.
    task : {"auto", "classification", "regression"}
        What is to be learnt.

    Returns
    -------
    Dataset
        With a fifth of the rows held out.

    Raises
    ------
    DataError
        Naming the line, where the file cannot be used.
    """
    path = Path(path)
    names, rows, width = _table(path)
    column = width - 1
    if target is not None:
        if names is None or target not in names:
            raise DataError(f"{path} has no column {target!r}; expected one of {names}")
        column = names.index(target)
    x = _numbers(path, rows, width, column)
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


def _table(path: Path) -> tuple[list[str] | None, list[tuple[int, list[str]]], int]:
    """Return names (or None), rows with their line numbers, and the number of columns."""
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


def _numbers(
    path: Path, rows: list[tuple[int, list[str]]], width: int, without: int | None
) -> np.ndarray:
    """Return the features as numbers, leaving out a column."""
    x = np.empty((len(rows), width - (without is not None)), dtype=np.float64)
    for i, (line, row) in enumerate(rows):
        try:
            x[i] = [float(cell) for j, cell in enumerate(row) if j != without]
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}; expected numbers") from None
        if not np.isfinite(x[i]).all():
            raise DataError(f"{path}, line {line}: a value is not finite; expected numbers")
    return x


def read_samples(path: Path | str, features: int, *, target: str | None = None) -> np.ndarray:
    """Read samples to predict for, from a CSV or a NumPy archive.

    Parameters
    ----------
    path : path
        A ``.csv`` with as many columns as features, or one more that is left out; or a ``.npz``
        with ``x`` (or ``x_test``).
    features : int
        Numbers per sample that the model expects.
    target : str, optional
        Name of the column to leave out; the last one by default.

    Returns
    -------
    ndarray, shape (samples, features)
        The samples.

    Raises
    ------
    DataError
        If the file cannot be used.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz":
        found = _archive(path)
        x = found.get("x", found.get("x_test"))
        if x is None:
            raise DataError(f"{path} has {sorted(found)}; expected x")
        x, _ = _samples(path, x, np.zeros(len(x)))
    else:
        names, rows, width = _table(path)
        without = width - 1 if width == features + 1 else None
        if without is not None and target is not None:
            if names is None or target not in names:
                raise DataError(f"{path} has no column {target!r}; expected one of {names}")
            without = names.index(target)
        x = _numbers(path, rows, width, without)
    if x.shape[1] != features:
        raise DataError(f"{path} has {x.shape[1]} features; the model expects {features}")
    return x


def _archive(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a NumPy archive, by lower-case name."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name.lower(): archive[name] for name in archive.files}
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds on damaged bytes
        raise DataError(f"{path} cannot be read: {error}") from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_npz(path: Path | str, *, task: str = "auto") -> Dataset:
    """Read a NumPy archive with ``x`` and ``y``, or ``x_train, y_train, x_test, y_test``.

    Parameters
    ----------
    path : path
        The file. Pickled objects are never loaded.
    task : {"auto", "classification", "regression"}
        What is to be learnt.

    Returns
    -------
    Dataset
        With the file's own test part, or a fifth of the samples held out.

    Raises
    ------
    DataError
        If the file cannot be used.
    """
    path = Path(path)
    found = _archive(path)
    if {"x", "y"} <= found.keys():
        x, y = _samples(path, found["x"], found["y"])
        shape = found["x"].shape[1:]
        kind = guess_task(y, task)
        scaling = "global" if x.dtype == np.uint8 else "feature"
        return split(path.stem, x, y, kind, input_shape=shape, scaling=scaling)
    wanted = ("x_train", "y_train", "x_test", "y_test")
    if not set(wanted) <= found.keys():
        raise DataError(f"{path} has {sorted(found)}; expected x and y, or {', '.join(wanted)}")
    x, y = _samples(path, found["x_train"], found["y_train"])
    x_test, y_test = _samples(path, found["x_test"], found["y_test"])
    return given_split(path.stem, x, y, x_test, y_test, task, found["x_train"].shape[1:])


def _samples(path: Path, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def given_split(
    name: str, x: Any, y: Any, x_test: Any, y_test: Any, task: str, shape: tuple[int, ...]
) -> Dataset:
    """Return a data set whose test part was given.

    Parameters
    ----------
    name : str
        Name of the data set.
    x, y, x_test, y_test : ndarray
        Samples and targets.
    task : {"auto", "classification", "regression"}
        What is to be learnt.
    shape : tuple of ints
        Of one sample.

    Returns
    -------
    Dataset
        The data set.

    Raises
    ------
    DataError
        If test and training part do not fit.
    """
    if x_test.shape[1] != x.shape[1]:
        raise DataError(f"test samples have {x_test.shape[1]} features; expected {x.shape[1]}")
    kind, classes = guess_task(y, task), None
    if kind == "classification":
        classes, y = encode(y)
        y_test = class_numbers(classes, y_test)
    else:
        y = np.asarray(y, np.float64).reshape(len(y), -1)
        y_test = np.asarray(y_test, np.float64).reshape(len(y_test), -1)
    scaling = "global" if x.dtype == np.uint8 else "feature"
    return Dataset(name, kind, x, y, x_test, y_test, classes, tuple(shape), scaling)


def class_numbers(classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the number of each label.

    Parameters
    ----------
    classes : ndarray
        Sorted labels.
    labels : ndarray
        Some of them.

    Returns
    -------
    ndarray of int64
        Numbers.

    Raises
    ------
    DataError
        If a label is none of the classes.
    """
    labels = np.asarray(labels)
    if (labels.dtype.kind in "US") != (classes.dtype.kind in "US"):
        labels = labels.astype(str)
        classes = classes.astype(str)
    order = np.argsort(classes)
    at = np.searchsorted(classes[order], labels)
    numbers = order[np.minimum(at, len(classes) - 1)]
    wrong = classes[numbers] != labels
    if wrong.any():
        raise DataError(
            f"label {labels[wrong][0]!s} is none of the classes {', '.join(map(str, classes[:10]))}"
        )
    return numbers.astype(np.int64)


def read_svmlight(path: Path | str, *, task: str = "auto") -> Dataset:
    """Read a file in svmlight format; its samples stay sparse.

    Parameters
    ----------
    path : path
        The file.
    task : {"auto", "classification", "regression"}
        What is to be learnt.

    Returns
    -------
    Dataset
        With a fifth of the samples held out, inputs as they are.

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


def read_idx(folder: Path | str) -> Dataset:
    """Read a folder with the four IDX files of MNIST or Fashion-MNIST, plain or gzipped.

    Parameters
    ----------
    folder : path
        Holds ``train-images-idx3-ubyte[.gz]`` and its three companions.

    Returns
    -------
    Dataset
        With the folder's own test part.

    Raises
    ------
    DataError
        If a file is missing, truncated or of another format.
    """
    folder = Path(folder)
    parts = []
    for images_name, labels_name in _IDX_PARTS:
        images, labels = _idx(folder, images_name, 3), _idx(folder, labels_name, 1)
        if len(images) != len(labels) or len(images) == 0:
            raise DataError(f"{folder}: {len(images)} images and {len(labels)} labels")
        parts.append((images.reshape(len(images), -1), labels.astype(np.int64), images.shape[1:]))
    (x, y, shape), (x_test, y_test, _) = parts
    side = (math.prod(shape),)
    return given_split(folder.name, x, y, x_test, y_test, "classification", side)


def _idx(folder: Path, name: str, dimensions: int) -> np.ndarray:
    """Read one IDX file of bytes, after checking that its header tells the truth."""
    for path in (folder / name, folder / name.replace("-idx", ".idx"), folder / f"{name}.gz"):
        if path.is_file():
            break
    else:
        raise DataError(f"{folder} has no {name} or {name}.gz")
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            head = file.read(4 + 4 * dimensions)
            if len(head) < 4 + 4 * dimensions or head[:4] != bytes((0, 0, 8, dimensions)):
                raise DataError(f"{path} is not an IDX file of bytes in {dimensions} dimension(s)")
            shape = struct.unpack(f">{dimensions}I", head[4:])
            size = math.prod(shape)
            # Read in pieces: memory follows the bytes that are there, not those that are claimed.
            pieces, missing = [], size
            while missing and (piece := file.read(min(missing, 1 << 24))):
                pieces.append(piece)
                missing -= len(piece)
            if missing or file.read(1):
                raise DataError(f"{path} does not hold the {size} bytes that its header claims")
    except (OSError, EOFError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise DataError(f"{path} cannot be read: {error}") from error
    return np.frombuffer(b"".join(pieces), dtype=np.uint8).reshape(shape)
