"""What a data set is, and how one is cut into training and test samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecpu.errors import DataError, brief

#: One sample in so many is held out where a data set has no test part of its own.
_TEST_EVERY = 5
#: Not the seed of a run: every run is tested on the same samples.
_SPLIT_SEED = 0


@dataclass(frozen=True)
class Dataset:
    """Samples with targets, cut into a training and a test part.

    Parameters
    ----------
    name : str
        Its name for people.
    task : {"classification", "regression"}
        What is to be learnt.
    x_train, x_test : array_like, sparse matrix or Samples
        Shape (samples, features); ``Samples`` have ``shape`` and ``take_samples(rows)``.
    y_train, y_test : ndarray
        Class numbers (int64), or float64 of shape (samples, outputs).
    classes : ndarray or None
        Label of each class number.
    input_shape : tuple of ints
        Shape of one sample.
    scaling : {"feature", "channel", "global", "none"}
        How to standardise the inputs: each feature, each channel, all alike (pixels), or not at
        all.
    own_test : bool
        True if the test part came with the data, False if it was cut off here.
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
        """Number of outputs of a network for it."""
        return len(self.classes) if self.classes is not None else self.y_train.shape[1]


def encode(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted labels, and each sample's label as a number (int64).

    Raises ``DataError`` if there is only one label.
    """
    classes, numbers = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise DataError(
            f"the targets have one class only ({brief(classes[0])}); expected two or more"
        )
    return classes, numbers.astype(np.int64)


def split(name: str, x: Any, y: np.ndarray, task: str, **options: Any) -> Dataset:
    """Hold out a fifth of the samples for testing, always the same ones.

    Classification is cut class by class; ``options`` are further fields of ``Dataset``. Raises
    ``DataError`` if there are fewer than five samples.
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


def checked_count(samples: int | None, default: int, least: int = 10) -> int:
    """Return how many samples to generate, ``default`` for None, if there are enough."""
    samples = default if samples is None else samples
    if samples < least:
        raise DataError(f"samples is {samples}; expected at least {least}")
    return samples


def usual_scaling(x: Any) -> str:
    """Return the scaling for samples of unknown origin; bytes are taken for pixels."""
    return "global" if x.dtype == np.uint8 else "feature"


def check_finite(x: np.ndarray, where: str) -> None:
    """Raise ``DataError`` that names the first sample and feature that is not finite."""
    good = np.isfinite(x)
    if not good.all():
        row, column = (int(i[0]) for i in np.nonzero(~good))
        raise DataError(f"{where}: sample {row + 1}, feature {column + 1} is {x[row, column]}")
