"""The samples that early stopping holds out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.errors import DataError
from sparsecpu.experiments.epoch_scores import some_rows
from sparsecpu.experiments.held_out import only_ones, split_rows


def held_out(X, targets, weights, fraction: float, seed: int, classes: np.ndarray | None):
    """Split off the validation samples of early stopping; ``classes`` are those of all samples.

    In both parts classes have their proportions, where there are enough samples of each; the only
    sample of a class is trained on. Returns samples, targets and weights to train on, and the same
    of the samples held out.
    """
    count = X.shape[0]
    held = math.ceil(float(fraction) * count)
    if held < 2:
        raise DataError(
            f"The validation set is too small ({held} of {count} samples); expected 2 or more: "
            "give more samples, or a larger validation_fraction"
        )
    rows = np.arange(count)
    alone = rows[:0] if classes is None else only_ones(classes)
    rest = np.setdiff1d(rows, alone)
    if held >= len(rest):
        if held < count:
            raise DataError(
                f"early_stopping cannot hold out {held} samples: {len(alone)} of {count} are the "
                "only ones of their classes; expected more samples of each class"
            )
        raise DataError(
            f"validation_fraction is {fraction}; expected less, as it leaves too few of {count} "
            "samples to train on"
        )
    train, held_rows = split_rows(rest, held, seed, classes)
    parts: list[Any] = []
    for chosen in (np.concatenate([train, alone]), held_rows):
        parts += [X[chosen], targets[chosen], None if weights is None else weights[chosen]]
    return tuple(parts)


def few_of(X, targets, weights, held: int, seed: int):
    """Return some of the samples that are trained on, to score: about as many as are held out."""
    rows = some_rows(X.shape[0], held, seed)
    return X[rows], targets[rows], None if weights is None else weights[rows]
