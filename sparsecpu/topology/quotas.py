"""How layers share out the weights that were dropped."""

from __future__ import annotations

import numpy as np

from sparsecpu.sparse.apportioning import round_to_total

#: A layer may fill this fraction of its free positions in one update.
FILL = 0.99


def water_fill(shares: np.ndarray, caps: np.ndarray, total: int) -> np.ndarray:
    r"""Return :math:`g_l = \min(\text{cap}_l, q_l Q + c)` with :math:`\sum_l g_l = Q`.

    What a full layer cannot take is spread evenly over the others. This is the fixed point that
    the reference code approaches in up to 1000 sweeps.

    Parameters
    ----------
    shares : ndarray
        ``q``, at least 0, with sum 1.
    caps : ndarray
        Most that each layer can take.
    total : int
        ``Q``, at most the sum of the caps.

    Returns
    -------
    ndarray of float
        The amounts.

    Notes
    -----
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
    """Return how many weights each layer grows; they add up to ``total`` exactly.

    Parameters
    ----------
    shares : ndarray
        Each layer's share, at least 0; they need not add up to 1.
    free : ndarray of int
        Inactive positions of each layer, those just dropped included.
    total : int
        Weights to grow.

    Returns
    -------
    ndarray of int64
        At most ``0.99 free`` each, or ``free`` where the layers could not take ``total`` else.
    """
    weight = shares.sum()
    q = shares / weight if weight > 0 and np.isfinite(weight) else np.full(len(free), 1 / len(free))
    caps = FILL * free
    whole = np.floor(caps).astype(np.int64)
    if whole.sum() < total:
        caps, whole = free.astype(np.float64), free.astype(np.int64)
    wanted = np.clip(water_fill(q, caps, total), 0, None)
    return round_to_total(wanted, total, np.zeros_like(whole), whole)
