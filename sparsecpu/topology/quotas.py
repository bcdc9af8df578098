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


def growth_quotas(shares: np.ndarray, free: np.ndarray, total: int) -> np.ndarray:
    """Return how many weights each layer grows, by its share; they add up to ``total`` exactly.

    Shares need not add up to 1. A layer takes 99 % of its free positions (those just dropped
    included) at most, or all of them where the layers could not take ``total`` otherwise.
    """
    weight = shares.sum()
    q = shares / weight if weight > 0 and np.isfinite(weight) else np.full(len(free), 1 / len(free))
    caps = FILL * free
    whole = np.floor(caps).astype(np.int64)
    if whole.sum() < total:
        caps, whole = free.astype(np.float64), free.astype(np.int64)
    wanted = np.clip(water_fill(q, caps, total), 0, None)
    return round_to_total(wanted, total, np.zeros_like(whole), whole)


def share_in_rounds(weights: np.ndarray, caps: np.ndarray, total: int) -> np.ndarray:
    """Divide ``total`` in proportion to weights; what exceeds a cap goes round again.

    The parts add up to ``total``, or to the sum of the caps where that is smaller.
    """
    total = min(total, int(caps.sum()))
    parts, open_, left = np.zeros(len(caps)), caps > 0, float(total)
    while left > 1e-9 and open_.any():
        weight = np.where(open_, np.maximum(weights, 1e-12), 0.0)
        parts = np.minimum(parts + left * weight / weight.sum(), caps)
        left, open_ = total - parts.sum(), parts < caps
    return round_to_total(parts, total, np.zeros_like(caps), caps)


def quotas_in_rounds(stay: np.ndarray, free: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Return how many weights each layer grows, in proportion to those that ``stay`` in it.

    They add up to all that are ``gone``. Where no layer has a ``free`` position left (of those that
    were free before anything was dropped), some of the dropped come back.
    """
    total = int(gone.sum())
    counts = share_in_rounds(stay, free, total)
    missing = total - int(counts.sum())
    back = gone * (missing / max(1, total))
    return counts + round_to_total(back, missing, np.zeros_like(gone), gone)
