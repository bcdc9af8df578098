"""How a network reads its inputs: standardised over the training samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import DataError

#: Numbers that are looked at in one go, which bounds the memory for it.
_AT_ONCE = 1 << 21
#: The same where they are soon read again.
_IN_CACHE = 1 << 16
#: A deviation below this part of the mean is nothing but rounding: the feature is constant.
_ROUNDING = 1e-13


def standardise(network: Any, x: Any, scaling: str) -> None:
    """Let a network read its inputs with mean 0 and variance 1 over the training samples.

    Of many samples, the first 10,000 count. ``scaling`` is ``feature``, ``channel``, ``global``
    (all numbers alike) or ``none``. ``DataError`` for sparse samples, which would not stay so.
    """
    if scaling == "none":
        return
    if hasattr(x, "tocsr"):
        raise DataError("sparse samples cannot be standardised; use scaling 'none'")
    samples, count = network.samples(x), min(x.shape[0], 10_000)
    features = samples.shape[1]
    alike = {"feature": 1, "channel": features // network.input_shape[0]}.get(scaling, features)
    mean = _means(samples, count, alike)
    deviation = np.sqrt(_means(samples, count, alike, mean))
    read_with(network, mean, of_constants(mean, deviation))


def _means(samples: Any, count: int, alike: int, less: np.ndarray | None = None) -> np.ndarray:
    """Return the mean of each feature, or of its square after ``less`` was taken away.

    It is that of so many neighbours ``alike``, of the first ``count`` samples, of which only some
    at a time are made numbers of 64 bits.
    """
    features = samples.shape[1]
    total, step = np.zeros(features), max(1, _IN_CACHE // max(1, features))
    for first in range(0, count, step):
        rows = np.arange(first, min(first + step, count), dtype=np.int64)
        array, at = samples.take_samples(rows)
        part = np.asarray(array[at], dtype=np.float64)
        total += part.sum(axis=0) if less is None else np.square(part - less).sum(axis=0)
    return np.repeat((total / count).reshape(-1, alike).mean(axis=1), alike)


def read_with(network: Any, mean: np.ndarray, deviation: np.ndarray) -> None:
    """Let a network read its inputs less a mean, over a deviation, one of each for a feature."""
    network.offset = mean.astype(network.dtype)
    network.scale = (1.0 / deviation).astype(network.dtype)


def of_constants(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return deviations with 1 for what is constant, up to the rounding of its mean."""
    return np.where(deviation <= _ROUNDING * np.abs(mean), 1.0, deviation)


def mean_and_deviation(
    x: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of each column over all rows; 1 for the deviation of a constant.

    Rows count by their ``weights``: one of weight 2 as much as two of the same.
    """
    rows = max(1, _AT_ONCE // max(1, x.shape[1]))
    parts = [slice(at, at + rows) for at in range(0, len(x), rows)]
    each = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=np.float64)
    share = each / each.sum()
    mean = sum((share[part] @ np.asarray(x[part], np.float64) for part in parts), np.zeros(1))
    spread = (share[part] @ (np.asarray(x[part], np.float64) - mean) ** 2 for part in parts)
    return mean, of_constants(mean, np.sqrt(sum(spread, np.zeros(1))))


def largest_sizes(matrix: Any) -> np.ndarray:
    """Return the largest absolute value of each column of a CSR matrix; 1 where all are 0."""
    found = np.zeros(matrix.shape[1])
    np.maximum.at(found, matrix.indices, np.abs(matrix.data))
    return np.where(found == 0, 1.0, found)
