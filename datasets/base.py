"""What a data set is, and how one is cut into training and test samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecpu.errors import DataError

#: One sample of so many is held out where a data set has no test part of its own.
_TEST_EVERY = 5
#: The cut does not depend on a run's seed: every run is tested on the same samples.
_SPLIT_SEED = 0


@dataclass(frozen=True)
class Dataset:
    """Samples with targets, cut into a training and a test part.

    Parameters
    ----------
    name : str
        What people call it.
    task : {"classification", "regression"}
        What is to be learnt.
    x_train, x_test : array_like, sparse matrix or source of samples
        ``(samples, features)``; a source has ``shape`` and ``take_samples(rows)``.
    y_train, y_test : ndarray
        Class numbers (int64), or float64 of shape (samples, outputs).
    classes : ndarray or None
        Label of each class number.
    input_shape : tuple of ints
        Of one sample.
    scaling : {"feature", "channel", "global", "none"}
        Whether inputs are standardised feature by feature, channel by channel, all alike (pixels),
        or not.
    own_test : bool
        Whether the test part came with the data, rather than being cut off here.
    """

    name: str
    task: str
    x_train: Any
    y_train: np.ndarray
    x_test: Any
    y_test: np.ndarray
    classes: np.ndarray | None
    input_shape: tuple[int, ...]
    scaling: str = "feature"
    own_test: bool = True

    @property
    def n_outputs(self) -> int:
        """Numbers that a network for it puts out."""
        return len(self.classes) if self.classes is not None else self.y_train.shape[1]


def encode(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return labels in order and, for each sample, the number of its label.

    Parameters
    ----------
    y : ndarray, shape (samples,)
        Labels of any sortable kind.

    Returns
    -------
    classes : ndarray
        The labels.
    numbers : ndarray of int64
        Their numbers.

    Raises
    ------
    DataError
        If there is only one label.
    """
    classes, numbers = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"the targets have one class only ({classes[0]!r}); expected two or more")
    return classes, numbers.astype(np.int64)


def split(name: str, x: Any, y: np.ndarray, task: str, **options: Any) -> Dataset:
    """Cut samples into a training and a test part, always the same way.

    Parameters
    ----------
    name : str
        Name of the data set.
    x : ndarray or sparse matrix, shape (samples, features)
        Samples.
    y : ndarray
        Labels, or numbers to predict.
    task : {"classification", "regression"}
        Classification is cut class by class.
    **options : object
        Further fields of ``Dataset``.

    Returns
    -------
    Dataset
        With a fifth of the samples held out.

    Raises
    ------
    DataError
        If there are too few samples.
    """
    if x.shape[0] < 5:
        raise DataError(f"{name} has {x.shape[0]} sample(s); expected at least 5")
    order = np.random.default_rng(_SPLIT_SEED).permutation(x.shape[0])
    classes = None
    if task == "classification":
        classes, y = encode(y)
        order = order[np.argsort(y[order], kind="stable")]  # class by class, shuffled inside
    else:
        y = np.asarray(y, dtype=np.float64).reshape(x.shape[0], -1)
    held = np.zeros(x.shape[0], dtype=bool)
    held[order[1::_TEST_EVERY]] = True
    train, test = np.flatnonzero(~held), np.flatnonzero(held)
    x_train, x_test, y_train, y_test = x[train], x[test], y[train], y[test]
    options = {"input_shape": (x.shape[1],), "own_test": False, **options}
    return Dataset(name, task, x_train, y_train, x_test, y_test, classes, **options)


def check_finite(x: np.ndarray, where: str) -> None:
    """Refuse NaN and infinity.

    Parameters
    ----------
    x : ndarray, shape (samples, features)
        Numbers.
    where : str
        What to call them.

    Raises
    ------
    DataError
        Naming the first sample and feature that is not finite.
    """
    good = np.isfinite(x)
    if not good.all():
        row, column = (int(i[0]) for i in np.nonzero(~good))
        raise DataError(f"{where}: sample {row + 1}, feature {column + 1} is {x[row, column]}")
