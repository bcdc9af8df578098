"""Rounding amounts to integers that add up."""

from __future__ import annotations

import numpy as np

from sparsecpu.errors import ParameterError


def round_to_total(
    wanted: np.ndarray, total: int, lower: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """Round amounts to integers that add up to ``total``, by largest remainders, within bounds."""
    counts = np.clip(np.floor(wanted + 1e-9).astype(np.int64), lower, upper)
    while (missing := total - int(counts.sum())) != 0:
        step = 1 if missing > 0 else -1
        room = (counts < upper) if step > 0 else (counts > lower)
        order = np.argsort(-step * (wanted - counts), kind="stable")
        order = order[room[order]][: abs(missing)]
        if not len(order):
            raise ParameterError("total", total, f"between {lower.sum()} and {upper.sum()}")
        counts[order] += step
    return counts
