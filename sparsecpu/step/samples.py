"""Where minibatches come from: arrays, sparse matrices, or samples that are made on demand."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from sparsecpu.errors import DataError


class Samples(Protocol):
    """Samples that can be fetched by their row numbers; ``shape`` is ``(samples, features)``."""

    shape: tuple[int, ...]

    def take_samples(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return an array and the row numbers in it (int64) at which the samples are.

        The array is C-contiguous float32, float64 or uint8, shape (any, features).
        """
        ...


class ArraySamples(Samples):
    """Samples in an array; a batch is gathered from it without a copy in between."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape = array, array.shape

    def take_samples(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.array, rows


class SparseSamples(Samples):
    """Samples in a SciPy sparse matrix, made dense one minibatch at a time."""

    def __init__(self, matrix: Any, dtype: Any) -> None:
        self._matrix = matrix.tocsr()
        self._matrix.sum_duplicates()
        self.shape = self._matrix.shape
        self._dtype = np.dtype(dtype)

    def take_samples(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        part = self._matrix[rows]
        dense = np.zeros(part.shape, dtype=self._dtype)
        here = np.arange(len(rows), dtype=np.int64)
        dense[np.repeat(here, np.diff(part.indptr)), part.indices] = part.data
        return dense, here


def as_samples(x: Any, features: int, dtype: Any) -> Samples:
    """Return samples in the users' order as something to fetch batches from.

    ``x`` is ``(samples, features)`` or ``(samples, channels, height, width)``: an array, a sparse
    matrix, or samples already. ``DataError`` if the number of features differs.
    """
    samples: Samples
    if hasattr(x, "take_samples"):
        samples = x
    elif hasattr(x, "tocsr"):
        samples = SparseSamples(x, dtype)
    else:
        array = np.asarray(x)
        array = array.reshape(len(array), -1) if array.ndim > 1 and len(array) else array
        if array.dtype != np.uint8:
            array = array.astype(dtype, copy=False)
        samples = ArraySamples(np.ascontiguousarray(array))
    if len(samples.shape) != 2 or samples.shape[1] != features:
        raise DataError(f"x has shape {np.shape(x)}; expected {features} features per sample")
    return samples
