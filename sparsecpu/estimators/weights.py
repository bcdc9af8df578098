"""Weights of samples and of classes, as the loss of an estimator takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from sparsecpu.errors import DataError, ParameterError, brief
from sparsecpu.registries.numbers import is_number

#: Weights divide and multiply in float32; what is beyond these has no gradient, or an infinite one.
_LEAST, _MOST = 1e-30, 1e30


def read_weights(weights: Any, samples: int) -> np.ndarray | None:
    """Return weights of so many samples, float64, or None if there are none.

    One number stands for all of them. Raises ``DataError`` unless all are numbers of at least 0,
    and one is above: a sample of weight 2 counts twice, and nothing counts less than not at all.
    """
    if weights is None:
        return None
    try:
        array = np.asarray(weights)
        array = array.astype(np.float64) if array.dtype.kind in "biufO" else array
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0, dtype=object)
    if array.dtype.kind != "f":
        raise DataError("sample_weight does not hold numbers; expected one of at least 0 a sample")
    array = np.full(samples, array) if array.ndim == 0 else array
    if array.shape != (samples,):
        raise DataError(f"sample_weight has shape {array.shape}; expected ({samples},)")
    good = (array == 0) | ((array >= _LEAST) & (array <= _MOST))
    if not good.all():
        first = int(np.flatnonzero(~good)[0])
        raise DataError(
            f"sample_weight[{first}] is {brief(array[first])}; expected 0, or a number from "
            f"{_LEAST:g} to {_MOST:g}"
        )
    check_some(array, "sample_weight")
    return array


def check_some(weights: np.ndarray, name: str) -> None:
    """Refuse weights of samples that are all 0; ``name`` is the argument that made them so."""
    if len(weights) and not weights.any():
        raise DataError(f"{name} is zero for every sample; expected a weight above 0 for some")


def check_class_weight(name: str, value: Any) -> None:
    """Refuse what gives classes no weights of at least 0."""
    if value is None or (isinstance(value, str) and value == "balanced"):
        return
    if not isinstance(value, dict):
        raise ParameterError(name, value, "None, 'balanced', or a dict of a weight for each label")
    for label, weight in value.items():
        if not (is_number(weight) and (weight == 0 or _LEAST <= weight <= _MOST)):
            expected = f"0, or a number from {_LEAST:g} to {_MOST:g}"
            raise ParameterError(f"{name}[{brief(label)}]", weight, expected)


def by_class(class_weight: Any, classes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return the weight of each sample by its class: ``numbers`` are their places in ``classes``.

    Classes that a dict does not name have weight 1.
    """
    try:
        known = compute_class_weight(class_weight, classes=classes, y=classes[numbers])
    except ValueError:
        expected = f"weights of the classes {brief(classes)}"
        raise ParameterError("class_weight", class_weight, expected) from None
    return known[numbers]
