"""The same nonzeros, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparsecpu.sparse.row_blocks import RowIndex, sealed

if TYPE_CHECKING:
    from sparsecpu.sparse.pattern import Pattern


class TransposedPattern(RowIndex):
    """The same nonzeros, column by column; ``perm`` has the place of each in the pattern.

    ``transposed_data = data[perm]``; ``perm`` is int32, shape (nnz,).
    """

    perm: np.ndarray

    def __init__(self, pattern: Pattern) -> None:
        from scipy.sparse import csr_array

        order = np.arange(pattern.nnz, dtype=np.int32)
        rows = csr_array((order, pattern.indices, pattern.indptr), shape=pattern.shape)
        columns = rows.tocsc()
        indices = columns.indices.astype(np.int32, copy=False)
        super().__init__(
            columns.indptr.astype(np.int64), indices, pattern.shape[0], perm=sealed(columns.data)
        )
