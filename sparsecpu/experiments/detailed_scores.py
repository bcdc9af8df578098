"""What a network gets right and wrong: scores by class, by quantity or by label.

scikit-learn computes them. All of them are plain values, as JSON has them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.experiments.scoring import quantities

#: Up to so many classes there is a matrix of confusions.
MOST_IN_MATRIX = 100
#: So many pairs of classes are named of those that are taken for each other.
_PAIRS = 20
#: A quantity from 0 to 1 that stands for a label says yes from here on.
_YES = 0.5


def detailed_scores(z: np.ndarray, y: np.ndarray, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the scores in detail of a network whose raw outputs are ``z`` where ``y`` are right.

    ``facts`` are as ``scoring.score`` takes them. For classes these are ``scores_of_classes``, for
    quantities ``scores_of_quantities``, with ``labels`` where all targets are 0 or 1, and for
    several labels per sample ``labels`` alone.
    """
    if facts["task"] == "classification":
        return scores_of_classes(y, z.argmax(axis=1), facts["classes"])
    if facts["task"] == "multilabel":
        return {"labels": scores_of_labels(y > 0, z > 0, facts["classes"])}
    names = target_names(facts, z.shape[1])
    found = quantities(z, facts)
    scores = scores_of_quantities(y, found, names)
    if z.shape[1] > 1 and np.isin(y, (0.0, 1.0)).all():
        scores["labels"] = scores_of_labels(y > _YES, found >= _YES, names)
    return scores


def target_names(facts: dict[str, Any], outputs: int) -> list[str]:
    """Return what the quantities that a model predicts are called: a table's target has a name."""
    columns = facts.get("columns")
    name = columns.get("target") if isinstance(columns, dict) else None
    if outputs == 1:
        return [name if isinstance(name, str) else "target"]
    return [f"target {number}" for number in range(1, outputs + 1)]


def scores_of_classes(y: np.ndarray, found: np.ndarray, classes: list[Any]) -> dict[str, Any]:
    """Return what numbers of classes ``found`` are worth where ``y`` are right.

    That is the ``accuracy``; for each of the ``classes`` precision, recall, F1 and support; their
    ``macro`` and ``weighted`` means; the pairs that are ``confused`` most, and the matrix of all
    (rows are right, columns found), None where there are too many classes. A precision of nothing
    found, and a recall of nothing there, are 0.
    """
    from sklearn.metrics import accuracy_score, confusion_matrix

    numbers = np.arange(len(classes))
    rows = _rows(y, found, numbers, classes)
    small = len(classes) <= MOST_IN_MATRIX
    matrix = confusion_matrix(y, found, labels=numbers).tolist() if small else None
    return {
        "accuracy": float(accuracy_score(y, found)),
        "classes": rows,
        **{name: _mean(y, found, numbers, name) for name in ("macro", "weighted")},
        "confused": _confused(y, found, classes),
        "confusion": matrix,
    }


def _rows(y: Any, found: Any, numbers: np.ndarray, names: list[Any]) -> list[dict[str, Any]]:
    from sklearn.metrics import precision_recall_fscore_support as measured

    columns = measured(y, found, labels=numbers, zero_division=0.0)
    keys = ("precision", "recall", "f1", "support")
    values = zip(*(column.tolist() for column in columns), strict=True)
    return [
        {"label": name, **dict(zip(keys, row, strict=True))}
        for name, row in zip(names, values, strict=True)
    ]


def _mean(y: Any, found: Any, numbers: np.ndarray, how: str) -> dict[str, float]:
    from sklearn.metrics import precision_recall_fscore_support as measured

    p, r, f, _ = measured(y, found, labels=numbers, average=how, zero_division=0.0)
    return {"precision": float(p), "recall": float(r), "f1": float(f)}


def _confused(y: np.ndarray, found: np.ndarray, classes: list[Any]) -> list[dict[str, Any]]:
    """Return the pairs of classes that are confused most, the most frequent first."""
    wrong = np.flatnonzero(y != found)
    pairs, counts = np.unique(y[wrong] * len(classes) + found[wrong], return_counts=True)
    most = np.argsort(-counts, kind="stable")[:_PAIRS]
    return [
        {"right": classes[pair // len(classes)], "found": classes[pair % len(classes)], "count": n}
        for pair, n in zip(pairs[most].tolist(), counts[most].tolist(), strict=True)
    ]


def scores_of_quantities(y: np.ndarray, found: np.ndarray, names: list[str]) -> dict[str, Any]:
    """Return the errors of predictions, shape (samples, outputs), by the ``names`` of the targets.

    For each of the ``targets``: ``r2`` (None for a single sample), the mean absolute error ``mae``,
    the root of the mean square ``rmse``, the ``median`` and the ``largest`` absolute error, and the
    ``bias``, the mean of prediction less target. ``r2``, ``mae`` and ``rmse`` are means over them.
    """
    from sklearn import metrics

    raw = {"multioutput": "raw_values"}
    columns = {
        "r2": metrics.r2_score(y, found, **raw) if len(y) > 1 else np.full(len(names), np.nan),
        "mae": metrics.mean_absolute_error(y, found, **raw),
        "rmse": metrics.root_mean_squared_error(y, found, **raw),
        "median": metrics.median_absolute_error(y, found, **raw),
        "largest": np.abs(found - y).max(axis=0),
        "bias": (found - y).mean(axis=0),
    }
    targets = [
        {"label": name, **{key: _finite(values[at]) for key, values in columns.items()}}
        for at, name in enumerate(names)
    ]
    means = {key: _finite(columns[key].mean()) for key in ("r2", "mae", "rmse")}
    return {**means, "targets": targets}


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def scores_of_labels(y: np.ndarray, found: np.ndarray, names: list[Any]) -> dict[str, Any]:
    """Return what is right where a sample has several labels: matrices of True and False.

    ``subset_accuracy`` counts samples whose labels are all right, ``hamming_loss`` wrong labels;
    each of the ``classes`` has precision, recall, F1 and support, and ``macro``, ``micro`` and
    ``weighted`` are means.
    """
    from sklearn.metrics import accuracy_score, hamming_loss

    y, found = y.astype(np.int64), found.astype(np.int64)
    numbers = np.arange(len(names))
    means = {how: _mean(y, found, numbers, how) for how in ("macro", "micro", "weighted")}
    return {
        "subset_accuracy": float(accuracy_score(y, found)),
        "hamming_loss": float(hamming_loss(y, found)),
        "classes": _rows(y, found, numbers, names),
        **means,
    }
