"""The samples that early stopping holds out."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import train_test_split

from sparsecpu.errors import DataError


def held_out(X, targets, weights, fraction: float, seed: int, stratify):
    """Split off the validation samples of early stopping; targets to ``stratify`` by, or None.

    Returns samples, targets and weights to train on, and the same of the samples held out.
    """
    given = np.ones(X.shape[0]) if weights is None else weights
    X, held, targets, held_targets, given, held_weights = train_test_split(
        X, targets, given, test_size=fraction, random_state=seed, stratify=stratify
    )
    if held.shape[0] < 2:
        raise DataError(
            f"The validation set is too small ({held.shape[0]} of the samples): give more "
            "samples, or a larger validation_fraction"
        )
    if weights is None:
        given = held_weights = None
    return X, targets, given, held, held_targets, held_weights
