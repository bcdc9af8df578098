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


def _values(x: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the values of samples that are not 0, their features, and how many each has."""
    if hasattr(x, "tocsr"):
        part = x[rows]
        part.sort_indices()
        values, columns = part.data.astype("<f4"), part.indices.astype("<i8")
        there = values != 0
        counts = np.add.reduceat(np.append(there, False), part.indptr[:-1], dtype=np.int64)
        counts[part.indptr[:-1] == part.indptr[1:]] = 0
        return values[there], columns[there], counts.astype("<i8")
    if hasattr(x, "take_samples"):
        array, at = x.take_samples(rows)
        part = array[at]
    else:
        part = x[rows]
    part = part.reshape(len(part), -1).astype("<f4")
    there = part != 0
    columns = np.broadcast_to(np.arange(part.shape[1], dtype="<i8"), part.shape)
    return part[there], columns[there], there.sum(axis=1).astype("<i8")
