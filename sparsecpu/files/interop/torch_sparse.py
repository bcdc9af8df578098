"""PyTorch's sparse tensors as matrices, through whose indices nothing has read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, PatternError
from sparsecpu.reading.files import refusing
from sparsecpu.sparse.format import check_range
from sparsecpu.sparse.matrices import canonical_csr

#: SciPy's formats of PyTorch's layouts; BSC, which SciPy has not, is BSR of the transposed matrix.
_FORMATS = {"sparse_csr": "csr", "sparse_csc": "csc", "sparse_bsr": "bsr", "sparse_bsc": "bsr"}


def load_sparse(torch: Any, name: str, value: Any) -> Any:
    """Return a sparse tensor as a CSR matrix: a row for each of its first axis.

    PyTorch's own conversions read through indices that nobody has checked; SciPy's are given them
    once they are.
    """
    layout, rows = str(value.layout).removeprefix("torch."), value.shape[0] if value.dim() else 1
    shape = (rows, math.prod(value.shape[1:]))
    coordinates = layout == "sparse_coo"
    if not coordinates and (layout not in _FORMATS or value.dim() != 2):
        found = f"{layout} in {value.dim()} dimensions"
        expected = "COO, or CSR, CSC, BSR or BSC in 2"
        raise FileFormatError(f"{name} is a tensor of layout {found}; expected {expected}")
    try:
        with refusing(name, FileFormatError, "a sparse tensor"):
            if coordinates:
                return canonical_csr(_coordinates(torch, name, value, shape), name)
            return _compressed(torch, name, value, layout)
    except PatternError as error:
        raise FileFormatError(str(error)) from error


def _compressed(torch: Any, name: str, value: Any, layout: str) -> Any:
    from scipy import sparse

    by_row = layout in ("sparse_csr", "sparse_bsr")
    starts = value.crow_indices() if by_row else value.ccol_indices()
    places = value.col_indices() if by_row else value.row_indices()
    data, shape = numbers(torch, name, value.values()), tuple(value.shape)
    turned = layout == "sparse_bsc" and data.ndim == 3
    if turned:
        data, shape = data.transpose(0, 2, 1), shape[::-1]
    make = getattr(sparse, f"{_FORMATS[layout]}_array")
    matrix = canonical_csr(make((data, places.numpy(), starts.numpy()), shape=shape), name)
    return canonical_csr(matrix.T, name) if turned else matrix


def _coordinates(torch: Any, name: str, value: Any, shape: tuple[int, int]) -> Any:
    """Return a COO tensor of any number of axes, some of which may be dense, as a COO matrix."""
    from scipy.sparse import coo_array

    index, data = value._indices(), numbers(torch, name, value._values())
    axes = [axis.contiguous().numpy() for axis in index]
    count = data.shape[0] if data.ndim else 0
    if not axes or len(axes) > value.dim() or any(len(axis) != count for axis in axes):
        raise ValueError(f"an index of shape {tuple(index.shape)} for values {data.shape}")
    for i, (axis, size) in enumerate(zip(axes, value.shape, strict=False)):
        check_range(axis, size, f"{name}: axis {i}")  # or one place would stand for another
    inner = math.prod(value.shape[len(axes) :])
    columns = np.zeros(count, dtype=np.int64)
    for axis, size in zip(axes[1:], value.shape[1:], strict=False):
        columns = columns * size + axis
    columns = (columns[:, None] * inner + np.arange(inner)).ravel()
    return coo_array((data.reshape(-1), (np.repeat(axes[0], inner), columns)), shape=shape)


def numbers(torch: Any, name: str, values: Any) -> np.ndarray:
    """Return a strided tensor as NumPy's, of a type that it has."""
    if repeats(values):
        raise FileFormatError(f"{name} of shape {tuple(values.shape)} repeats the same few numbers")
    wide = values.dtype in (torch.float32, torch.float64)
    return (values if wide else values.float()).numpy()


def repeats(values: Any) -> bool:
    """Return True if a large tensor claims more bytes than it has."""
    size = values.numel() * values.element_size()
    return size > max(values.untyped_storage().nbytes(), 1 << 20)
