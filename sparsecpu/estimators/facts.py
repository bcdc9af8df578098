"""What a model file must know of an estimator beside its network, for others to read it."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.datasets.columns import Columns


def facts_of(estimator: Any) -> dict[str, Any]:
    """Return what the outputs of an estimator stand for, and how its samples are read.

    That is what ``sparsecpu predict`` and ``evaluate`` need. What a file has said of the columns
    of a table that the estimator was trained on before stays.
    """
    facts = {**(estimator._known or {}), **estimator._meaning(), "scaling": estimator.scaling_}
    names = getattr(estimator, "feature_names_in_", None)
    if "columns" not in facts and names is not None and len(set(names)) == len(names):
        facts["columns"] = _columns(estimator, [str(name) for name in names])
    return facts


def _columns(estimator: Any, names: list[str]) -> dict[str, Any]:
    target = estimator._target_name
    target = None if target is None or target in names else target
    classes = getattr(estimator, "classes_", None)
    kind = "number"
    if classes is not None and estimator._label_encoder is not None:
        kind = {"f": "number", "i": "integer", "u": "integer"}.get(classes.dtype.kind, "text")
    order = () if target is None else (*names, target)
    return Columns(tuple(names), target, kind, order=order).to_dict()


def name_of(y: Any) -> str | None:
    """Return the name that targets have in a table, if they are a column of one."""
    name = getattr(y, "name", None)
    return name if isinstance(name, str) and name else None


def labels_of(classes: np.ndarray) -> list[Any]:
    """Return labels as plain values: numbers, truth values or text, of dates too."""
    if classes.dtype.kind in "Mm":
        return classes.astype(str).tolist()
    return [str(label) if isinstance(label, str) else label for label in classes.tolist()]


def labels_from(labels: list[Any], dtype: str | None) -> np.ndarray:
    """Return labels as ``labels_of`` had them; without a type, as NumPy takes them."""
    if dtype is None:
        return np.array(labels)
    kind = np.dtype(dtype)
    if kind.kind not in "biufUOMm":
        raise ValueError(f"labels of type {dtype}")
    return np.array(labels, dtype=kind)
