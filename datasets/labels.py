"""Targets: classes or quantities, and the numbers of classes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from sparsecpu.datasets.base import Dataset, encode, usual_scaling
from sparsecpu.errors import DataError, DataWarning, brief

#: Integers with at most this many different values are taken for classes.
_MOST_CLASSES = 100
#: More of them may be quantities as well, such as years; and where most samples have one of their
#: own they are.
_DOUBTFUL = 20
#: Every integer below this size is a float of its own.
_EXACT = 2.0**53


def guess_task(y: np.ndarray, task: str = "auto") -> str:
    """Return "classification" or "regression": what ``task`` says, or what the targets look like.

    Raises ``DataError`` if ``task`` is regression and the targets are text.
    """
    text = y.dtype.kind in "OUSb"
    if task == "regression" and text:
        raise DataError(
            f"the targets are text ({brief(y.flat[0])}); expected numbers for regression"
        )
    if task != "auto":
        return task
    if text:
        return "classification"
    if y.ndim != 1 or not np.all(y == np.rint(y)):
        return "regression"
    different = np.unique(y)
    many = len(different) > _MOST_CLASSES
    if many or (len(different) > _DOUBTFUL and 2 * len(different) > len(y)):
        chosen, other, kind = "regression", "classification", "quantities"
    else:
        chosen, other, kind = "classification", "regression", "classes"
    if len(different) > _DOUBTFUL:
        warnings.warn(
            f"the targets are {len(different)} different whole numbers from {different[0]:.0f} to "
            f"{different[-1]:.0f}, taken for {kind}: {chosen}; --task {other} chooses the other",
            DataWarning,
            stacklevel=3,
        )
    return chosen


def matrix_targets(y: np.ndarray, where: str, task: str = "auto") -> np.ndarray:
    """Return targets in columns: numbers, or the numbers of the classes that one-hot rows name.

    Raises ``DataError`` for rows of 0 and 1 that name several classes, unless ``task`` says that
    they are numbers. ``where`` is what errors and the word on one-hot rows call the targets.
    """
    if y.ndim == 1:
        return y
    if task == "regression":
        return y.astype(np.float64) if y.dtype.kind == "b" else y
    columns = y.shape[1]
    if not ((y == 0) | (y == 1)).all():
        if task == "auto":
            return y
        raise DataError(f"{where} has {columns} columns; expected one label per sample")
    if not (np.count_nonzero(y, axis=1) == 1).all():
        raise DataError(
            f"{where} has {columns} columns of 0 and 1, so several labels per sample, which "
            "SparseMLPClassifier learns; --task regression takes them for numbers"
        )
    warnings.warn(
        f"{where} has a single 1 in each row: taken for classes 0 to {columns - 1}: "
        "classification; --task regression takes them for numbers",
        DataWarning,
        stacklevel=3,
    )
    return y.argmax(axis=1)


def is_exact(y: np.ndarray) -> bool:
    """Return True if all targets are integers that no float stands for together with another."""
    return bool(np.all((y == np.rint(y)) & (np.abs(y) < _EXACT)))


def whole_labels(y: np.ndarray) -> np.ndarray:
    """Return labels as integers if they are floats that stand for integers, else as they are.

    Other formats have the same labels without a point, and predictions are printed as labels are.
    """
    return y.astype(np.int64) if y.dtype.kind == "f" and is_exact(y) else y


def given_split(
    name: str, x: Any, y: Any, x_test: Any, y_test: Any, task: str, shape: tuple[int, ...]
) -> Dataset:
    """Return a data set whose test part was given; ``shape`` is that of one sample.

    Raises ``DataError`` if the test and the training part do not fit.
    """
    if x_test.shape[1] != x.shape[1]:
        raise DataError(f"test samples have {x_test.shape[1]} features; expected {x.shape[1]}")
    kind, classes = guess_task(y, task), None
    if kind == "classification":
        classes, y = encode(whole_labels(y))
        y_test = class_numbers(classes, y_test)
    else:
        y = _numbers(y)
        y_test = _numbers(y_test)
        if y_test.shape[1] != y.shape[1]:
            raise DataError(f"test targets have {y_test.shape[1]} columns; expected {y.shape[1]}")
    shape = tuple(shape)
    return Dataset(name, kind, x, y, x_test, y_test, classes, shape, usual_scaling(x))


def _numbers(y: np.ndarray) -> np.ndarray:
    """Return quantities as float64, shape (samples, outputs)."""
    if y.dtype.kind not in "fiub":
        raise DataError(
            f"the targets are text ({brief(y.flat[0])}); expected numbers for regression"
        )
    return np.asarray(y, np.float64).reshape(len(y), -1)


def class_numbers(classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the number of each label, int64.

    Parameters
    ----------
    classes : ndarray
        All labels, sorted.
    labels : ndarray
        The labels of some samples.

    Raises
    ------
    DataError
        If a label is none of the classes.
    """
    labels = np.asarray(labels)
    if classes.dtype.kind == "f" and is_exact(classes):  # an older model's, from an archive
        classes = classes.astype(np.int64)
    if (labels.dtype.kind in "US") != (classes.dtype.kind in "US"):
        labels = whole_labels(labels).astype(str)
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
