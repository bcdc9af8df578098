"""What a data set is, and how one is cut into training and test samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecpu.datasets.columns import Columns
from sparsecpu.errors import DataError, brief

#: One sample in so many is held out where a data set has no test part of its own.
_TEST_EVERY = 5
#: Not the seed of a run: every run is tested on the same samples.
_SPLIT_SEED = 0
#: What may be learnt from samples with targets.
TASKS = {
    "classification": "Which of several classes a sample belongs to.",
    "regression": "Quantities, one or several for each sample.",
}
#: How inputs may be standardised.
SCALINGS = {
    "feature": "Each feature to mean 0 and variance 1.",
    "channel": "Each channel of images to mean 0 and variance 1.",
    "global": "All inputs by one mean and one variance, as for pixels.",
    "none": "Inputs stay as they are.",
}


@dataclass(frozen=True, repr=False)
class Dataset:
    """Samples with targets, cut into a training and a test part.

    Parameters
    ----------
    name : str
        Its name for people.
    task : {"classification", "regression", "language"}
        What is to be learnt; text is for the last (see ``TextDataset``).
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
    columns : Columns or None
        The columns of the table that it was read from; None for data of other kinds.
    first_feature : int or None
        Number of the first feature in a file in svmlight format: 0 or 1.
    held : ndarray or None
        Which samples of all, in the order of the data, were cut off for testing.
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
    columns: Columns | None = None
    first_feature: int | None = None
    held: np.ndarray | None = None

    @property
    def n_outputs(self) -> int:
        """Number of outputs of a network for it."""
        return len(self.classes) if self.classes is not None else self.y_train.shape[1]

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.input_shape))
        parts = f"{self.x_train.shape[0]:,} + {self.x_test.shape[0]:,} samples of {shape}"
        return f"{type(self).__name__}({self.name}, {self.task}, {parts}, {self._targets()})"

    def _targets(self) -> str:
        """Return in words what is to be predicted."""
        if self.classes is not None:
            return f"{len(self.classes)} classes"
        return f"{self.n_outputs} target{'s' * (self.n_outputs != 1)}"


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
    classes = None
    if task == "classification":
        classes, y = encode(y)
    else:
        y = np.asarray(y, dtype=np.float64).reshape(x.shape[0], -1)
    held = held_out(name, y, task)
    train, test = np.flatnonzero(~held), np.flatnonzero(held)
    x_train, x_test, y_train, y_test = x[train], x[test], y[train], y[test]
    options = {"input_shape": (x.shape[1],), "own_test": False, "held": held, **options}
    return Dataset(name, task, x_train, y_train, x_test, y_test, classes, **options)


def held_out(name: str, y: np.ndarray, task: str) -> np.ndarray:
    """Return which samples are for testing: of each class a fifth, or of all quantities.

    ``y`` are class numbers or quantities. Raises ``DataError`` if there are fewer than five.
    """
    if len(y) < 5:
        raise DataError(f"{name} has {len(y)} sample(s); expected at least 5")
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(y))
    if task == "classification":
        order = order[np.argsort(y[order], kind="stable")]  # class by class, shuffled inside
    held = np.zeros(len(y), dtype=bool)
    held[order[1::_TEST_EVERY]] = True
    return held


def checked_count(samples: int | None, default: int, least: int = 10) -> int:
    """Return how many samples to generate, ``default`` for None, if there are enough."""
    samples = default if samples is None else samples
    if samples < least:
        raise DataError(f"samples is {samples}; expected at least {least}")
    return samples


def usual_scaling(x: Any) -> str:
    """Return the scaling for samples of unknown origin; bytes are taken for pixels."""
    return "global" if x.dtype == np.uint8 else "feature"


def check_finite(
    x: np.ndarray, where: str, given: np.ndarray | None = None, *, column: str = "feature"
) -> None:
    """Raise ``DataError`` that names the first sample and feature that is not finite.

    ``given`` are the numbers as the file has them, which may be too large for ``x``.
    """
    good = np.isfinite(x)
    if not good.all():
        row, at = (int(i[0]) for i in np.nonzero(~good))
        value = (x if given is None else given)[row, at]
        expected = f"finite numbers that {x.dtype} can hold"
        where += f": sample {row + 1}, {column} {at + 1}"
        raise DataError(f"{where} is {value}; expected {expected}")
