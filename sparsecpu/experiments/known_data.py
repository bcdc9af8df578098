"""Training samples known again, whatever the format of the file that they come in."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

#: Samples that are looked at in one go, and of those that are made one by one, in all.
_AT_ONCE, _FEW = 4096, 64


def mark_of(x: Any, y: np.ndarray, rows: np.ndarray | None = None) -> str:
    """Return a mark of samples and their targets (class numbers, or quantities) in hexadecimal.

    It depends on values alone: samples have the same mark as bytes, as float64 and as a sparse
    matrix, if they are the same as float32. ``rows`` chooses some of them.
    """
    rows = np.arange(x.shape[0]) if rows is None else rows
    targets = y[rows].astype("<f8")
    digest = hashlib.sha256(f"{(len(rows), x.shape[1], targets.size)}".encode())
    digest.update(targets.tobytes())
    if hasattr(x, "take_samples"):
        rows = rows[:_FEW]
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        for part in _values(x, some):
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()[:32]


def _values(x: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where samples are not 0, counted through all of them, and the values there."""
    if hasattr(x, "tocsr"):
        part = x[rows]
        part.sort_indices()
        values = part.data.astype("<f4")
        there = np.flatnonzero(values)
        row = np.repeat(np.arange(len(rows), dtype="<i8"), np.diff(part.indptr))
        return (row * x.shape[1] + part.indices)[there], values[there]
    if hasattr(x, "take_samples"):
        array, at = x.take_samples(rows)
        part = array[at]
    else:
        part = x[rows]
    part = part.ravel() if part.dtype == np.uint8 else part.ravel().astype("<f4")
    there = np.flatnonzero(part)
    return there.astype("<i8", copy=False), part[there].astype("<f4", copy=False)
