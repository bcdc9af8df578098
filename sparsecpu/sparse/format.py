"""Index arrays of others, checked before anything reads through them.

SciPy checks little of a matrix, and its C++ reads and writes wherever the index says. These checks
need NumPy alone, copy nothing, and change nothing.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError, PatternError
from sparsecpu.registries.numbers import whole

#: Columns, and places of nonzeros, are numbers of 32 bits.
INT32_MAX = 2**31 - 1


def check_compressed(
    indptr: Any, indices: Any, data: Any, shape: Any, *, by_column: bool = False,
    name: str = "matrix",
) -> int:  # fmt: skip
    """Check the arrays of a CSR, CSC or BSR matrix in full; return how many entries are in use.

    Parameters
    ----------
    indptr : ndarray of int, shape (rows + 1,)
        Where each row (of blocks) begins in ``indices``; it may end before ``indices`` does.
    indices : ndarray of int, shape (entries,)
        Columns (of blocks), in any order, perhaps more than once.
    data : ndarray or None
        Values, shape (entries,), or (entries, height, width) of blocks; None checks the index
        alone.
    shape : tuple of two ints
        Rows and columns of the matrix.
    by_column : bool
        True for CSC, where rows and columns change places.
    name : str
        What errors call the matrix.

    Returns
    -------
    int
        ``indptr[-1]``: entries behind it are not part of the matrix.

    Raises
    ------
    PatternError
        If an array has another type or length, or points outside of the matrix.
    """
    major, minor = check_shape(shape, name)
    if by_column:
        major, minor = minor, major
    for which, array in (("indptr", indptr), ("indices", indices)):
        _check_index(array, f"{name}: {which}")
    if data is not None:
        height, width = _check_data(data, len(indices), name)
        if major % height or minor % width:
            raise PatternError(f"{name}: blocks of {height} x {width} do not tile {tuple(shape)}")
        major, minor = major // height, minor // width
    if len(indptr) != major + 1:
        raise PatternError(f"{name}: indptr has {len(indptr)} entries; expected {major + 1}")
    first, last = int(indptr[0]), int(indptr[-1])
    if first != 0 or not 0 <= last <= len(indices):
        raise PatternError(
            f"{name}: indptr runs from {first} to {last}; expected from 0 to at most {len(indices)}"
        )
    if (indptr[1:] < indptr[:-1]).any():
        raise PatternError(f"{name}: indptr decreases; each row must begin where the last one ends")
    check_range(indices[:last], minor, f"{name}: indices")
    return last


def matrix_shape(shape: Any) -> tuple[int, int]:
    """Return the shape of a pattern, rows and columns; refuse what is none."""
    try:
        n_out, n_in = shape
    except (TypeError, ValueError):
        raise ParameterError("shape", shape, "two positive integers") from None
    return whole("shape", n_out, 1, INT32_MAX), whole("shape", n_in, 1, INT32_MAX)


def check_index(shape: tuple[int, int], indptr: Any, indices: Any) -> None:
    """Raise ``PatternError`` unless this is CSR with columns in order, each once in a row."""
    n_out, n_in = shape
    indptr, indices = integers(indptr, "indptr"), integers(indices, "indices")
    if len(indptr) != n_out + 1 or indptr[0] != 0 or indptr[-1] != len(indices):
        raise PatternError(
            f"indptr must have {n_out + 1} entries and run from 0 to nnz = {len(indices)}"
        )
    if (indptr[1:] < indptr[:-1]).any():
        raise PatternError("indptr must not decrease")
    check_count(len(indices))
    check_range(indices, n_in, "indices")
    if not in_order(indptr, indices):
        raise PatternError("indices must be sorted and unique within each row")


def check_count(nnz: int) -> None:
    """Raise ``PatternError`` if there are more nonzeros than places have numbers."""
    if nnz > INT32_MAX:
        raise PatternError(f"at most {INT32_MAX} nonzeros fit, got {nnz}")


def check_coordinates(rows: Any, columns: Any, data: Any, shape: Any, name: str = "matrix") -> None:
    """Check the rows, columns and values of a COO matrix; ``PatternError`` if one is bad."""
    for which, array, size in zip(
        ("rows", "columns"), (rows, columns), check_shape(shape, name), strict=True
    ):
        _check_index(array, f"{name}: {which}")
        check_range(array, size, f"{name}: {which}")
    if len(rows) != len(columns):
        raise PatternError(f"{name}: there are {len(rows)} rows and {len(columns)} columns")
    if _check_data(data, len(rows), name) != (1, 1):
        raise PatternError(f"{name}: data has shape {data.shape}; expected ({len(rows)},)")


def in_order(indptr: np.ndarray, indices: np.ndarray) -> bool:
    """Return True if each row of a checked index has its columns in order, and each once."""
    rises = indices[1:] > indices[:-1]
    starts = indptr[1:-1].astype(np.int64)
    rises[starts[(starts > 0) & (starts < len(indices))] - 1] = True  # between rows
    return bool(rises.all())


def check_range(array: np.ndarray, size: int, what: str) -> None:
    """Raise ``PatternError`` if an integer is not in [0, size)."""
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < size:
        wrong = int(array.max()) if int(array.min()) >= 0 else int(array.min())
        raise PatternError(f"{what} must be integers from 0 to {size - 1}, not {wrong}")


def integers(numbers: Any, what: str) -> np.ndarray:
    """Return a vector of integers; raise ``PatternError`` for anything else.

    An empty one may be of any type, for NumPy makes floats of an empty list.
    """
    try:
        array = np.asarray(numbers)
    except (TypeError, ValueError, OverflowError) as error:
        raise PatternError(f"{what} must be integers ({error})") from error
    if array.shape == (0,) and array.dtype.kind in "iuf":
        return array.astype(np.int64)
    _check_index(array, what)
    return array


def check_shape(shape: Any, name: str) -> tuple[int, int]:
    """Return rows and columns; raise ``PatternError`` if a shape has something else."""
    try:
        rows, columns = (operator.index(n) for n in shape)
    except (TypeError, ValueError):
        rows = columns = -1
    if min(rows, columns) < 0:
        raise PatternError(f"{name} has shape {shape}; expected rows and columns")
    return rows, columns


def _check_index(array: Any, what: str) -> None:
    """Raise ``PatternError`` if something is not a vector of integers."""
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in "iu":
        raise PatternError(
            f"{what} must be a one-dimensional array of integers, not {_words(array)}"
        )


def _check_data(data: Any, entries: int, name: str) -> tuple[int, int]:
    """Return height and width of the blocks; refuse what does not hold a number per entry."""
    numbers = isinstance(data, np.ndarray) and data.dtype.kind in "biuf"
    if not numbers or data.ndim not in (1, 3) or len(data) != entries:
        raise PatternError(f"{name}: data must be {entries} real numbers, not {_words(data)}")
    height, width = data.shape[1:] or (1, 1)
    if min(height, width) < 1:
        raise PatternError(f"{name}: blocks of {height} x {width} hold nothing")
    return height, width


def _words(array: Any) -> str:
    if isinstance(array, np.ndarray):
        return f"{array.dtype} of shape {array.shape}"
    return f"a {type(array).__name__}"
