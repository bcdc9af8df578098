"""How good a network is on samples that it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.datasets.text import LANGUAGE
from sparsecpu.errors import NotFiniteError
from sparsecpu.experiments.language_scores import language_scores


def outputs(network: Any, x: Any, **options: Any) -> np.ndarray:
    """Return a network's raw outputs; ``options`` go to ``predict``.

    Raises
    ------
    NotFiniteError
        If they are not finite: the largest of them would be no prediction.
    """
    z = network.predict(x, **options)
    if not np.isfinite(z).all():
        raise NotFiniteError
    return z


def scores(
    network: Any, x: Any, y: np.ndarray, facts: dict[str, Any], **options: Any
) -> dict[str, float]:
    """Return all scores of a network by name, the one that counts first.

    That is ``accuracy`` or ``r2`` (see ``score``), or of a language model ``loss`` with what
    follows from it; ``options`` are a ``batch_size``.
    """
    if facts["task"] == LANGUAGE:
        return language_scores(network, x, y, facts, **options)
    return {name_of_score(facts): score(network, x, y, facts, **options)}


def name_of_score(facts: dict[str, Any]) -> str:
    """Return what the score is called of a network that predicts classes, labels or quantities."""
    return "r2" if facts["task"] == "regression" else "accuracy"


def score(network: Any, x: Any, y: np.ndarray, facts: dict[str, Any], **options: Any) -> float:
    """Return the accuracy of a classifier, or R² of a regressor; ``options`` go to ``predict``.

    Of several labels per sample it is the share of samples of which all are right.

    A single sample has no R²: that is NaN. Of a language model it is the loss, of which less is
    better.

    ``y`` are class numbers, or numbers of shape (samples, outputs); ``facts`` are ``task`` and, for
    regression, ``target_mean`` and ``target_scale``, for language ``tokenizer``.
    """
    if facts["task"] == LANGUAGE:
        return language_scores(network, x, y, facts, **options)["loss"]
    if facts["task"] == "regression" and len(y) < 2:
        return float("nan")
    return score_of(outputs(network, x, **options), y, facts)


def score_of(z: np.ndarray, y: np.ndarray, facts: dict[str, Any]) -> float:
    """Return the accuracy, or R², of raw outputs; arguments are otherwise as in ``score``."""
    if facts["task"] == "classification":
        return float(np.mean(z.argmax(axis=1) == y))
    if facts["task"] == "multilabel":  # a sample is right if all of its labels are
        return float(np.mean(np.all((z > 0) == (y > 0), axis=1)))
    from sklearn.metrics import r2_score

    return float(r2_score(y, quantities(z, facts)))


def quantities(z: np.ndarray, facts: dict[str, Any]) -> np.ndarray:
    """Return a regressor's raw outputs, shape (samples, outputs), in the units of its targets."""
    return z.astype(np.float64) * facts["target_scale"] + facts["target_mean"]
