"""How many of the dropped weights each layer grows."""

from __future__ import annotations

import numpy as np

from sparsecpu.sparse.apportioning import round_to_total

#: A layer may fill this fraction of its free positions in one update.
FILL = 0.99


def water_fill(shares: np.ndarray, caps: np.ndarray, total: int) -> np.ndarray:
    r"""Return :math:`g_l = \min(\text{cap}_l, q_l Q + c)` with :math:`\sum_l g_l = Q`.

    For shares q, which add up to 1, and a total Q of at most the sum of the caps. What a full layer
    cannot take is spread evenly over the others: the fixed point that the reference code approaches
    in up to 1000 sweeps.

    Dettmers and Zettlemoyer, Sparse networks from scratch (2019), section 3, in closed form.
    """
    amounts = shares * total
    full = np.zeros(len(shares), dtype=bool)
    while True:
        free = ~full
        if not free.any():
            return caps.astype(np.float64)
        level = (total - caps[full].sum() - amounts[free].sum()) / free.sum()
        over = free & (amounts + level > caps)
        if not over.any():
            return np.where(full, caps, amounts + level)
        full |= over


def round_to_units(
    wanted: np.ndarray, total: int, caps: np.ndarray, units: np.ndarray
) -> np.ndarray:
    """Round amounts to multiples of units, powers of two, so that they add up to ``total``.

    ``caps`` are multiples, too. Layers of one unit share a sum; what the larger units leave, the
    smaller ones take. They add up to less only where caps leave no other way.
    """
    counts = np.zeros(len(wanted), dtype=np.int64)
    for unit in sorted({*units.tolist()}, reverse=True):
        own = units == unit
        least = -(-(total - int(caps[units < unit].sum())) // unit) * unit
        most = min(total, int(caps[own].sum())) // unit * unit
        part = min(max(round(wanted[own].sum() / unit) * unit, least), most)
        tops = caps[own] // unit
        counts[own] = unit * round_to_total(wanted[own] / unit, part // unit, 0 * tops, tops)
        total -= part
    return counts


def growth_quotas(
    shares: np.ndarray, free: np.ndarray, total: int, units: np.ndarray | None = None
) -> np.ndarray:
    """Return how many weights each layer grows, by its share; they add up to ``total`` exactly.

    Shares need not add up to 1. A layer takes 99 % of its free positions (those just dropped
    included) at most, or all of them where the layers could not take ``total`` otherwise. All are
    numbers of weights, multiples of ``units`` where positions stand for more than one.
    """
    units = np.ones(len(free), dtype=np.int64) if units is None else units
    weight = shares.sum()
    q = shares / weight if weight > 0 and np.isfinite(weight) else np.full(len(free), 1 / len(free))
    for fill in (FILL, 1.0):
        caps = fill * free
        whole = np.floor(caps / units).astype(np.int64) * units
        if whole.sum() >= total:
            wanted = np.clip(water_fill(q, caps, total), 0, None)
            counts = round_to_units(wanted, total, whole, units)
            if counts.sum() == total:
                break
    return counts


def share_in_rounds(
    weights: np.ndarray, caps: np.ndarray, total: int, units: np.ndarray | None = None
) -> np.ndarray:
    """Divide ``total`` in proportion to weights; what exceeds a cap goes round again.

    The parts are multiples of ``units`` and add up to ``total``, or to less where caps want it.
    """
    total = min(total, int(caps.sum()))
    parts, open_, left = np.zeros(len(caps)), caps > 0, float(total)
    while left > 1e-9 and open_.any():
        weight = np.where(open_, np.maximum(weights, 1e-12), 0.0)
        parts = np.minimum(parts + left * weight / weight.sum(), caps)
        left, open_ = total - parts.sum(), parts < caps
    units = np.ones(len(caps), dtype=np.int64) if units is None else units
    return round_to_units(parts, total, caps, units)


def quotas_in_rounds(
    stay: np.ndarray, free: np.ndarray, gone: np.ndarray, units: np.ndarray | None = None
) -> np.ndarray:
    """Return how many weights each layer grows, in proportion to those that ``stay`` in it.

    They add up to all that are ``gone``. Where no layer has a ``free`` position left (of those that
    were free before anything was dropped), some of the dropped come back. All are numbers of
    weights, multiples of ``units`` where positions stand for more than one.
    """
    units = np.ones(len(free), dtype=np.int64) if units is None else units
    total = int(gone.sum())
    counts = share_in_rounds(stay, free, total, units)
    missing = total - int(counts.sum())
    back = gone * (missing / max(1, total))
    counts = counts + round_to_units(back, missing, gone, units)
    return counts if counts.sum() == total else gone  # units may leave no other way
