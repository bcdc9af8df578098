"""What ``y`` of an estimator may be, and the plain array that is made of it."""

from __future__ import annotations

import warnings
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np

from sparsecpu.errors import DataError, brief
from sparsecpu.sparse.matrices import canonical_csr

#: What no estimator learns, by the kind of its type.
_REFUSED = {
    "S": "bytes; expected text, as np.char.decode(y) makes of them",
    "c": "complex numbers. Complex data not supported; expected real ones",
    "V": "records; expected one of their fields, as y['name'] is",
}
_NUMBERS = "expected numbers, one (or a row) per sample"


def read_targets(y: Any) -> Any:
    """Return targets as an array of numbers, truth values, text or dates: an entry or row a sample.

    None stays None: scikit-learn refuses it, in words that its own checks ask for. Raises
    ``DataError`` for what nobody can mean.
    """
    if y is None:
        return None
    array = _with_zeros(y) if hasattr(y, "tocsr") else _as_array(y)
    if array.ndim not in (1, 2):
        given = brief(y) if array.ndim == 0 else f"an array of shape {array.shape}"
        raise DataError(f"y is {given}; expected one entry per sample, or one row")
    if array.dtype.kind in "OT":
        array = _typed(array)
    if words := _REFUSED.get(array.dtype.kind):
        raise DataError(f"y holds {words}")
    return array


def _as_array(y: Any) -> np.ndarray:
    try:
        return np.asarray(y)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            "y is no array: its rows differ in length, perhaps; expected one entry per sample, or "
            "a matrix of 0 and 1 as sklearn.preprocessing.MultiLabelBinarizer makes of lists"
        ) from error


def _with_zeros(y: Any) -> np.ndarray:
    """Return a sparse matrix as an array: all entries are learnt, those that are 0 as well."""
    matrix = canonical_csr(y, "y")
    array = np.zeros(matrix.shape, matrix.dtype)
    array[np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices] = (
        matrix.data
    )
    return array


def _typed(array: np.ndarray) -> np.ndarray:
    """Return an array of Python's objects as one of the type that all of them have."""
    values = array.astype(object).ravel().tolist()
    kinds = set(map(type, values))
    if any(_may_be_missing(kind) for kind in kinds):
        for i, value in enumerate(values):
            if _is_missing(value):
                where = _place(i, array.shape)
                raise DataError(f"Input y contains NaN or None ({where}); expected a value for all")
    if all(issubclass(kind, str) for kind in kinds):
        return array.astype(object)
    if all(issubclass(kind, (bool, np.bool_)) for kind in kinds):
        return array.astype(bool)
    if any(issubclass(kind, (bool, np.bool_)) for kind in kinds) or not all(
        issubclass(kind, (Real, Decimal)) for kind in kinds
    ):
        words = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise DataError(f"y holds objects of type {words}; expected numbers, or text, in all of it")
    try:
        whole = all(issubclass(kind, Integral) for kind in kinds)
        return array.astype(np.int64 if whole else np.float64)
    except (OverflowError, ValueError) as error:
        largest = max(values, key=abs)
        raise DataError(f"y holds {brief(largest)}; expected numbers of 64 bits") from error


def _may_be_missing(kind: type) -> bool:
    return issubclass(kind, (float, np.floating, type(None))) or kind.__name__.endswith("Type")


def _is_missing(value: Any) -> bool:
    if isinstance(value, (float, np.floating)):
        return bool(value != value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _place(i: int, shape: tuple[int, ...]) -> str:
    """Return where the i-th entry of all is, as Python counts."""
    return f"y[{', '.join(str(int(n)) for n in np.unravel_index(i, shape))}]"


def check_numbers(y: np.ndarray) -> None:
    """Refuse targets of a regressor that are no numbers, or are missing."""
    if y.dtype.kind not in "biuf":
        kind = "dates" if y.dtype.kind in "Mm" else "text"
        raise DataError(f"y holds {kind} ({brief(y.flat[0])} first); {_NUMBERS}")


def check_labels(y: np.ndarray) -> bool:
    """Refuse a matrix that is not of labels, and return True for one that is.

    Each column of such a matrix is a label, which a sample has (1, True) or has not.
    """
    if y.ndim == 1 or y.shape[1] == 1:
        return False
    if y.dtype.kind not in "biuf":
        raise DataError(f"y has {y.shape[1]} columns of {y.dtype}; expected one label per sample")
    wrong = ~((y == 0) | (y == 1))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"y has {y.shape[1]} columns, and {_place(first, y.shape)} is {brief(y.flat[first])}; "
            "y should be a 1d array of one label per sample, or a matrix of 0 and 1"
        )
    return True


def tell_one_hot(y: np.ndarray) -> None:
    """Say how a matrix of labels is learnt where it may be meant as classes."""
    if len(y) > 1 and (np.count_nonzero(y, axis=1) == 1).all():
        warnings.warn(
            "every row of y has exactly one 1, as one-hot labels do: it is learnt as labels that "
            "do not exclude each other, as in scikit-learn; for classes give y.argmax(axis=1)",
            stacklevel=6,
        )
