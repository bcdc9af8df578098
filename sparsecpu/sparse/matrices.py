"""SciPy's matrices of any format, read safely and without changing them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.errors import PatternError
from sparsecpu.sparse.format import check_compressed, check_coordinates, check_shape, in_order
from sparsecpu.sparse.groups import SIZES, places_of_rows

if TYPE_CHECKING:
    from scipy.sparse import bsr_array, csr_array

    from sparsecpu.sparse.pattern import Pattern

Coordinates = tuple[np.ndarray, np.ndarray, np.ndarray]


def canonical_csr(matrix: Any, name: str = "matrix") -> csr_array:
    """Return a SciPy matrix as CSR with sorted columns, each once; duplicates are added up.

    Every index is checked before SciPy's C++ sees it. The matrix is not changed, and shares its
    arrays with the result where these are in order already: change neither. Arrays may be
    read-only, and any number of threads may read one matrix.

    Parameters
    ----------
    matrix : scipy.sparse matrix or array
        In any format.
    name : str
        What errors call it.

    Raises
    ------
    PatternError
        If its arrays do not fit together, or it does not hold real numbers.
    """
    from scipy.sparse import coo_array, csr_array, issparse

    if not issparse(matrix):
        matrix = _converted(matrix, name)
    shape = check_shape(matrix.shape, name)
    if matrix.format in ("csr", "csc", "bsr"):
        csr = _from_compressed(matrix, shape, name)
    else:
        rows, columns, data = _coordinates(matrix, shape, name)
        check_coordinates(rows, columns, data, shape, name)
        csr = coo_array((_native(data), (rows, columns)), shape=shape).tocsr()
    if not in_order(csr.indptr, csr.indices):
        csr = csr_array(csr, copy=True)
        csr.has_sorted_indices = csr.has_canonical_format = False  # whatever was said of them
        csr.sum_duplicates()
    csr.has_canonical_format = True
    return csr


def group_of_blocks(matrix: Any) -> int:
    """Return how many rows share their columns in a matrix that ``canonical_csr`` has checked.

    That is the height of the blocks of one in BSR, where they are one column wide; 1 elsewhere.
    """
    if getattr(matrix, "format", "") != "bsr":
        return 1
    height, width = matrix.data.shape[1:]
    return height if width == 1 and height in SIZES else 1


def blocks_of_groups(pattern: Pattern, data: np.ndarray) -> bsr_array:
    """Return values on a pattern as a SciPy BSR array, with a block for each shared column."""
    from scipy.sparse import bsr_array

    (n_out, _), group, groups = pattern.shape, pattern.group, pattern.groups
    if n_out % group:
        raise PatternError(
            f"{n_out} rows do not divide into blocks of {group}, which format='bsr' has; use 'csr'"
        )
    places = places_of_rows(groups, n_out, group, np.arange(groups.nnz))
    index = groups.indices.copy(), groups.indptr.copy()
    return bsr_array((np.asarray(data)[places][..., None], *index), shape=pattern.shape)


def _converted(matrix: Any, name: str) -> Any:
    """Return what some other library's matrix says that it is in SciPy's CSR."""
    from scipy.sparse import issparse

    try:
        converted = matrix.tocsr()
    except Exception as error:
        raise PatternError(f"{name}: its tocsr() failed ({error})") from error
    if not issparse(converted) or converted.format != "csr":
        raise PatternError(f"{name}: its tocsr() returned a {type(converted).__name__}")
    return converted


def _from_compressed(matrix: Any, shape: tuple[int, int], name: str) -> csr_array:
    """Return a CSR, CSC or BSR matrix as CSR; one in CSR shares its arrays."""
    from scipy import sparse

    kind = matrix.format
    parts = (getattr(matrix, part, None) for part in ("indptr", "indices", "data"))
    indptr, indices, data = (np.asarray(0) if part is None else part for part in parts)
    used = check_compressed(indptr, indices, data, shape, by_column=kind == "csc", name=name)
    if (kind == "bsr") != (data.ndim == 3):
        raise PatternError(f"{name}: {kind.upper()} data has {data.ndim} axes")
    indices, data = _native(indices[:used]), _native(data[:used])
    made = getattr(sparse, f"{kind}_array")((data, indices, _native(indptr)), shape=shape)
    return made.tocsr()


def _coordinates(matrix: Any, shape: tuple[int, int], name: str) -> Coordinates:
    """Return rows, columns and values of a matrix in one of the other formats."""
    read = _READERS.get(matrix.format)
    if read is None:
        raise PatternError(f"{name} is in the unknown format {matrix.format!r}; use CSR")
    try:
        return read(matrix, shape)
    except (AttributeError, IndexError, OverflowError, TypeError, ValueError) as error:
        words = f"{name}: its {matrix.format.upper()} arrays do not fit together ({error})"
        raise PatternError(words) from error


def _read_coo(matrix: Any, shape: tuple[int, int]) -> Coordinates:
    rows, columns = matrix.coords
    return rows, columns, matrix.data


def _read_dok(matrix: Any, shape: tuple[int, int]) -> Coordinates:
    keys = _integers(itertools.chain.from_iterable(matrix.keys()))
    rows, columns = keys.reshape(-1, 2).T
    return rows, columns, np.array(list(matrix.values()), dtype=matrix.dtype)


def _read_lil(matrix: Any, shape: tuple[int, int]) -> Coordinates:
    if len(matrix.rows) != shape[0] or len(matrix.data) != shape[0]:
        raise ValueError(f"{len(matrix.rows)} rows, {len(matrix.data)} rows of values")
    counts = [len(row) for row in matrix.rows]
    if counts != [len(row) for row in matrix.data]:
        raise ValueError("a row has more columns than values, or fewer")
    values = list(itertools.chain.from_iterable(matrix.data))
    columns = _integers(itertools.chain.from_iterable(matrix.rows))
    rows = np.repeat(np.arange(shape[0], dtype=np.int64), counts)
    return rows, columns, np.array(values, dtype=matrix.dtype)


def _integers(numbers: Iterator[Any]) -> np.ndarray:
    """Return what should be integers as an array; of another type where they are not."""
    found = list(numbers)
    return np.array(found) if found else np.empty(0, dtype=np.int64)


def _read_dia(matrix: Any, shape: tuple[int, int]) -> Coordinates:
    """Read diagonal by diagonal; as in SciPy, what is 0 on one is not stored."""
    data, offsets = matrix.data, np.asarray(matrix.offsets)
    if data.ndim != 2 or offsets.shape != data.shape[:1] or offsets.dtype.kind not in "iu":
        raise ValueError(f"data of shape {data.shape} and offsets of shape {offsets.shape}")
    rows, columns = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    values = [data[:0].reshape(-1)]
    for diagonal, offset in zip(data, offsets.tolist(), strict=True):
        first, stop = max(0, offset), min(shape[1], shape[0] + offset, data.shape[1])
        there = np.flatnonzero(diagonal[first : max(first, stop)]) + first
        rows.append(there - offset)
        columns.append(there)
        values.append(diagonal[there])
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(values)


#: How rows, columns and values are read, by the name of a format.
_READERS: dict[str, Callable[[Any, tuple[int, int]], Coordinates]] = {
    "coo": _read_coo, "dok": _read_dok, "lil": _read_lil, "dia": _read_dia,
}  # fmt: skip


def _native(array: np.ndarray) -> np.ndarray:
    """Return an array as SciPy's C++ reads it: contiguous, aligned, of a type that it knows."""
    dtype = array.dtype.newbyteorder("=")
    if dtype.kind == "f" and dtype.itemsize == 2:
        dtype = np.dtype(np.float32)
    return np.require(np.asarray(array), dtype, ["C", "A"])
