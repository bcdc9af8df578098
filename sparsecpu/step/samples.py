"""Where minibatches come from: arrays, sparse matrices, or samples that are made on demand."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from sparsecpu.errors import DataError, PatternError, brief
from sparsecpu.sparse.matrices import canonical_csr
from sparsecpu.step.ranges import refuse_beyond

#: Types that batches may come in, as kernels read them.
_TYPES = (np.float32, np.float64, np.uint8)


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
        _check_array(array, np.shape(array)[-1] if np.ndim(array) else 0, "the array")
        self._array = array

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """``(samples, features)``; not to be set, for rows are checked against it."""
        return self._array.shape

    def take_samples(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._array, rows


class SparseSamples(Samples):
    """Samples in a SciPy sparse matrix, made dense one minibatch at a time.

    The matrix is checked in full and never changed; see ``canonical_csr``.
    """

    def __init__(self, matrix: Any, dtype: Any) -> None:
        self._matrix = canonical_csr(matrix, "x")
        refuse_beyond("x", self._matrix, dtype)
        self.shape = self._matrix.shape
        self._dtype = np.dtype(dtype)

    def take_samples(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        part = self._matrix[rows]
        dense = np.zeros(part.shape, dtype=self._dtype)
        here = np.arange(len(rows), dtype=np.int64)
        dense[np.repeat(here, np.diff(part.indptr)), part.indices] = part.data
        return dense, here


class OthersSamples(Samples):
    """Samples that somebody else's object makes; every batch is checked before a kernel reads it.

    Raises ``DataError`` where it is not what ``Samples`` promises.
    """

    def __init__(self, samples: Any) -> None:
        self.samples = samples

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """``(samples, features)``, as it is now."""
        return checked_shape(getattr(self.samples, "shape", None))

    def take_samples(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        taken = self.samples.take_samples(rows)
        if not isinstance(taken, tuple) or len(taken) != 2:
            raise DataError(f"take_samples returned a {type(taken).__name__}; expected two arrays")
        array, here = taken
        _check_array(array, self.shape[1], "what take_samples returned")
        here = checked_rows(here, len(array), "row numbers of take_samples")
        if len(here) != len(rows):
            raise DataError(f"take_samples returned {len(here)} samples; expected {len(rows)}")
        return array, here


def checked_shape(shape: Any) -> tuple[int, int]:
    """Return the shape of samples; ``DataError`` if it is not that of a matrix."""
    try:
        samples, features = shape
        if samples >= 0 and features >= 0:
            return int(samples), int(features)
    except (TypeError, ValueError):
        pass
    raise DataError(f"the samples have shape {brief(shape)}; expected (samples, features)")


def _check_array(array: Any, features: int, what: str) -> None:
    """Raise ``DataError`` if an array is not as kernels read it."""
    if not isinstance(array, np.ndarray) or array.dtype not in _TYPES:
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise DataError(f"{what} has elements of type {kind}; expected float32, float64 or uint8")
    if array.ndim != 2 or array.shape[1] != features:
        expected = f"(samples, {features or 'features'})"
        raise DataError(f"{what} has shape {array.shape}; expected {expected}")
    if not (array.flags.c_contiguous and array.flags.aligned):
        raise DataError(f"{what} is not C-contiguous and aligned; np.ascontiguousarray makes it so")


def checked_rows(rows: Any, samples: int, what: str = "rows") -> np.ndarray:
    """Return row numbers as kernels read them; ``DataError`` unless each is one of ``samples``."""
    try:
        array = np.asarray(rows)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{what} must be a vector of integers ({error})") from error
    if array.ndim != 1 or array.dtype.kind not in "iu":
        words = f"{array.dtype} of shape {array.shape}"
        raise DataError(f"{what} must be a vector of integers, not {words}")
    if len(array) and not (np.minimum.reduce(array) >= 0 and np.maximum.reduce(array) < samples):
        wrong = next(row for row in array.tolist() if not 0 <= row < samples)
        raise DataError(f"{what} must be integers from 0 to {samples - 1}, not {wrong}")
    if array.dtype == np.int64 and array.flags.c_contiguous and array.flags.aligned:
        return array
    return np.require(array, np.int64, ["C", "A"])


def checked_weights(weights: Any, samples: int) -> np.ndarray | None:
    """Return weights of samples as kernels read them; ``DataError`` unless each has one."""
    if weights is None:
        return None
    try:
        array = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"sample_weight must be numbers ({error})") from error
    if array.shape != (samples,):
        raise DataError(f"sample_weight has shape {array.shape}; expected ({samples},)")
    good = (array >= 0) & np.isfinite(array)
    if not good.all():
        i = int(np.flatnonzero(~good)[0])
        raise DataError(f"sample_weight[{i}] is {array[i]}; expected finite numbers of at least 0")
    return np.require(array, requirements=["C", "A"])


#: What this project makes batches with; everything else is checked at each one.
OURS: set[type] = {ArraySamples, SparseSamples, OthersSamples}


def as_samples(x: Any, features: int, dtype: Any) -> Samples:
    """Return samples in the users' order as something to fetch batches from.

    ``x`` is ``(samples, features)`` or ``(samples, channels, height, width)``: an array, a sparse
    matrix, or samples already. ``DataError`` if the number of features differs, or if it does not
    hold numbers.
    """
    samples: Samples
    if hasattr(x, "take_samples"):
        samples = x if type(x) in OURS else OthersSamples(x)
    elif hasattr(x, "tocsr"):
        try:
            samples = SparseSamples(x, dtype)
        except PatternError as error:
            raise DataError(str(error)) from error
    else:
        array = _as_array(x, dtype)
        if array.ndim == 2 and array.shape[1] == features:
            return ArraySamples(array)
        raise DataError(f"x has shape {np.shape(x)}; expected {features} features per sample")
    if samples.shape[1] != features:
        raise DataError(f"x has shape {samples.shape}; expected {features} features per sample")
    return samples


def _as_array(x: Any, dtype: Any) -> np.ndarray:
    """Return samples as an array that kernels read, of the network's type or uint8."""
    try:
        array = np.asarray(x)
        if array.dtype.kind == "O":  # numbers of Python, perhaps of different types
            if any(value is None or isinstance(value, (str, bytes)) for value in array.flat):
                raise TypeError("it holds text or None")
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"x is not an array of numbers ({error})") from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"x has elements of type {array.dtype}; expected numbers")
    if array.ndim > 2:
        array = array.reshape(len(array), math.prod(array.shape[1:]))
    wanted = array.dtype if array.dtype == np.uint8 else dtype
    if array.dtype == wanted and array.flags.c_contiguous and array.flags.aligned:
        return array
    refuse_beyond("x", array, dtype)
    return np.require(array, wanted, ["C", "A"])
