"""NumPy archives."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np

from sparsecpu.datasets.base import Dataset, check_finite, split, usual_scaling
from sparsecpu.datasets.labels import given_split, guess_task, matrix_targets, whole_labels
from sparsecpu.errors import DataError
from sparsecpu.reading.archive import Archive
from sparsecpu.step.image_shapes import CHANNELS_FIRST, has_channels_last


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
    with open_archive(path) as archive:
        names = {name.lower() for name in archive.members}
        if {"x", "y"} <= names:
            x, y = read_pair(archive, "x", "y")
            y = matrix_targets(y, f"{path}: y", task)
            shape, kind = archive.header(own_name(archive, "x")).shape[1:], guess_task(y, task)
            y = whole_labels(y) if kind == "classification" else y
            return split(path.stem, x, y, kind, input_shape=shape, scaling=usual_scaling(x))
        wanted = ("x_train", "y_train", "x_test", "y_test")
        if not names.issuperset(wanted):
            raise DataError(f"{path} has {sorted(names)}; expected x and y, or {', '.join(wanted)}")
        x, y = read_pair(archive, "x_train", "y_train")
        x_test, y_test = read_pair(archive, "x_test", "y_test")
        shape, other = (
            archive.header(own_name(archive, name)).shape[1:] for name in ("x_train", "x_test")
        )
        if len(shape) > 1 and len(other) > 1 and shape != other:
            raise DataError(f"{path}: x_test has samples of shape {other}; expected {shape}")
        y = matrix_targets(y, f"{path}: y_train", task)
        if y.ndim == 1:  # otherwise both are numbers, whatever those of the test look like
            y_test = matrix_targets(y_test, f"{path}: y_test", "classification")
        return given_split(path.stem, x, y, x_test, y_test, task, shape)


def open_archive(path: Path) -> Archive:
    """Open an archive in which no two arrays differ in capital letters alone."""
    archive = Archive(path, DataError)
    names = [name.lower() for name in archive.members]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path} has two arrays named {twice!r}")
    return archive


def own_name(archive: Archive, name: str) -> str:
    """Return an array's name as the archive spells it."""
    return next(own for own in archive.members if own.lower() == name)


def read_pair(
    archive: Archive, x_name: str, y_name: str, features: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return samples (see ``read_x``) and their targets, one or a row for each sample."""
    path, own = archive.path, own_name(archive, y_name)
    samples, header = archive.header(own_name(archive, x_name)).shape[:1], archive.header(own)
    if len(header.shape) not in (1, 2) or header.shape[:1] != samples or 0 in header.shape:
        raise DataError(
            f"{path}: {x_name} has {samples} samples and {y_name} has shape {header.shape}"
        )
    x, y = read_x(archive, x_name, features), archive.read(own)
    y = y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
    if y.dtype.kind in "US":
        y = _text(y, f"{path}: {y_name}")
    if y.ndim == 2 and y.dtype.kind not in "fiub":
        raise DataError(f"{path}: {y_name} has {y.shape[1]} columns of {y.dtype}; expected numbers")
    if y.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            y = np.asarray(y, np.float64)
            numbers = y.astype(np.float32)
        check_finite(numbers.reshape(len(y), -1), f"{path}: {y_name}", y.reshape(len(y), -1),
                     column="target")  # fmt: skip
    return x, y


def read_x(archive: Archive, name: str, features: int | None = None) -> np.ndarray:
    """Return samples (float32 or uint8, flattened) of an archive, checked.

    Raises ``DataError`` if they are not finite numbers, ``features`` of them per sample.
    """
    path, own = archive.path, own_name(archive, name)
    header = archive.header(own)
    if len(header.shape) < 2 or header.dtype.kind not in "fiub" or 0 in header.shape:
        raise DataError(
            f"{path}: {name} has shape {header.shape} and type {header.dtype}; expected numbers of "
            "shape (samples, features), or images"
        )
    if has_channels_last(header.shape[1:]):
        expected = f"(samples, channels, height, width): {name}.{CHANNELS_FIRST}"
        raise DataError(
            f"{path}: {name} has shape {header.shape}, with channels last; expected {expected}"
        )
    samples, each = header.shape[0], math.prod(header.shape[1:])
    if features is not None and each != features:
        raise DataError(f"{path} has {each} features; the model expects {features}")
    # Once more as float32, and once more where samples are held out.
    x = archive.read(own, extra=2 * samples * each * (1 if header.dtype == np.uint8 else 4))
    x = np.ascontiguousarray(x.reshape(samples, -1))
    if x.dtype == np.uint8:
        return x
    with np.errstate(over="ignore", invalid="ignore"):  # not finite then, and refused
        numbers = x.astype(np.float32)
    check_finite(numbers, f"{path}: {name}", x)
    return numbers


def _text(labels: np.ndarray, where: str) -> np.ndarray:
    """Return labels as text that can be written; bytes are read as UTF-8."""
    if labels.dtype.kind == "U":
        characters = labels.ravel().view(labels.dtype.str[0] + "u4")
        if characters.size and characters.max() > sys.maxunicode:
            raise DataError(f"{where} has labels that are not text")
    try:
        found = [label.decode() if isinstance(label, bytes) else label
                 for label in labels.ravel().tolist()]  # fmt: skip
        "".join(found).encode()
    except UnicodeError as error:  # half of a character, say
        raise DataError(f"{where} has labels that are not text ({error})") from None
    return np.array(found).reshape(labels.shape)
