"""How good a network is on samples that it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np


def score(network: Any, x: Any, y: np.ndarray, facts: dict[str, Any], **options: Any) -> float:
    """Return the accuracy of a classifier, or R² of a regressor; ``options`` go to ``predict``.

    ``y`` are class numbers, or numbers of shape (samples, outputs); ``facts`` are ``task`` and, for
    regression, ``target_mean`` and ``target_scale``.
    """
    if facts["task"] == "classification":
        return float(np.mean(network.predict(x, **options).argmax(axis=1) == y))
    from sklearn.metrics import r2_score

    return float(r2_score(y, quantities(network.predict(x, **options), facts)))


def quantities(z: np.ndarray, facts: dict[str, Any]) -> np.ndarray:
    """Return a regressor's raw outputs, shape (samples, outputs), in the units of its targets."""
    return z.astype(np.float64) * facts["target_scale"] + facts["target_mean"]
