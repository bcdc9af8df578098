"""Numbers that are finite where they come from, and would not be in the type of the weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import DataError, brief


def refuse_beyond(name: str, array: Any, dtype: Any) -> None:
    """Raise ``DataError`` at the first number that is finite, and infinite in a float ``dtype``.

    ``array``, called ``name``, is an array, or a sparse matrix in CSR.
    """
    sparse = hasattr(array, "indptr")
    values = array.data if sparse else array
    if values.dtype.kind != "f" or not values.size:
        return
    limit = np.finfo(dtype).max
    if np.finfo(values.dtype).max <= limit:
        return
    if values.max() <= limit and values.min() >= -limit:  # False where one of them is NaN
        return
    beyond = np.flatnonzero((np.abs(values) > limit) & np.isfinite(values))
    if not len(beyond):
        return
    first = int(beyond[0])
    if sparse:
        row = int(np.searchsorted(array.indptr, first, side="right")) - 1
        place: tuple[int, ...] = (row, int(array.indices[first]))
    else:
        place = tuple(int(i) for i in np.unravel_index(first, values.shape))
    words = f"sample {place[0]}" + (f", feature {place[1]}" if len(place) > 1 else "")
    raise DataError(
        f"{name}[{', '.join(map(str, place))}] is {brief(values.flat[first])}, beyond what "
        f"{np.dtype(dtype)} holds ({words}, counted from 0); expected at most {limit:.2g} in size"
    )
