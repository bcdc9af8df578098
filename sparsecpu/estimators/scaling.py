"""How an estimator scales: what ``scale`` stands for, for samples and for targets."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.step.standardising import (
    largest_sizes,
    mean_and_deviation,
    read_with,
    standardise,
)

#: What ``scale`` may be; None is "none".
SCALES = ("auto", "feature", "global", "none")


def check_scale(name: str, value: Any) -> None:
    """Refuse what is no way to scale."""
    if value is not None and not (isinstance(value, str) and value in SCALES):
        raise ParameterError(name, value, f"None, or one of {', '.join(SCALES)}")


def scale_samples(estimator: Any, X: Any, weights: np.ndarray | None) -> None:
    """Let the new network of an estimator read its inputs as ``scale`` says; note how.

    Features of an array have mean 0 and variance 1 over the samples. Those of a sparse matrix are
    divided by their largest absolute value, so that zeros stay zeros.
    """
    network, scale = estimator.network_, estimator.scale or "none"
    scale = "feature" if scale == "auto" else scale
    estimator.scaling_ = scale
    if scale == "none":
        return
    if hasattr(X, "tocsr"):
        sizes = largest_sizes(X)
        if scale == "global":
            sizes[:] = sizes.max()
        estimator.scaling_ = "largest"
        read_with(network, np.zeros(X.shape[1]), sizes)
    elif scale == "global":
        standardise(network, X, scale)
    else:
        read_with(network, *mean_and_deviation(X, weights))


def learn_targets(estimator: Any, targets: np.ndarray, weights: np.ndarray | None) -> None:
    """Note mean and deviation of quantities, 0 and 1 where ``scale`` turns scaling off."""
    outputs = targets.shape[1]
    estimator.target_mean_, estimator.target_scale_ = np.zeros(outputs), np.ones(outputs)
    if estimator.scale not in (None, "none"):
        found = mean_and_deviation(targets, weights)
        estimator.target_mean_, estimator.target_scale_ = found
