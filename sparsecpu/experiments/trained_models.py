"""Models that a run has left, and what they know of their data."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.datasets import class_numbers
from sparsecpu.datasets.columns import Columns, few
from sparsecpu.datasets.labels import matrix_targets
from sparsecpu.datasets.matching import Layout
from sparsecpu.datasets.tables import is_number
from sparsecpu.datasets.text import LANGUAGE
from sparsecpu.errors import DataError, FileFormatError
from sparsecpu.experiments.language import check_vocabulary
from sparsecpu.step.plain_values import (
    Kind,
    anything,
    listed,
    one_of,
    real,
    refuse,
    table,
    text,
    whole,
)

#: What a model must know, by its task; each has an entry per output.
_NEEDED: dict[str, dict[str, Kind]] = {
    "classification": {"classes": anything},
    "multilabel": {"classes": anything},
    "regression": {"target_mean": real(), "target_scale": real(sys.float_info.min)},
    LANGUAGE: {},  # what it needs is no entry per output; see ``check_vocabulary``
}

#: What it may know besides; older files and those of other libraries know less.
_NOTED: dict[str, Kind] = {
    "columns": anything,  # checked as they are read
    "first_feature": whole(0, 1),
    "data": text,
    "training_data": table({"samples": whole(1), "mark": text}),
}


def read_model(
    path: Path, task: str | None = None, say: Callable[[str], None] | None = None
) -> tuple[Any, dict[str, Any]]:
    """Read a network and what it knows of its data, which one saved from Python need not.

    That is ``task``, and ``classes``, or ``target_mean`` and ``target_scale``, or ``tokenizer``.
    Where a file does not say it, it has this ``task`` ("auto": its number of outputs tells), and
    ``say`` is told what was taken for granted.
    """
    from sparsecpu.files.model import load

    network, facts = load(path)
    if "task" not in facts and (task is None or network.output_length is not None):
        raise FileFormatError(f"{path} does not say its task, as models of sparsecpu train do")
    if "task" not in facts:
        facts = {**facts, **_usual_meaning(network, str(task))}
        if say is not None:
            say(_taken_for_granted(path, facts))
    task = one_of(_NEEDED)(facts["task"], f"{path}: the task")
    needed = {name: listed(kind, network.n_outputs) for name, kind in _NEEDED[task].items()}
    table(needed, _NOTED, anything)(facts, f"{path}: the header")
    if task == LANGUAGE:
        check_vocabulary(facts, network, str(path))
    if "classes" in needed:
        _check_classes(facts["classes"], path)
    try:
        layout_of(network, facts)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from None
    return network, facts


def _usual_meaning(network: Any, task: str) -> dict[str, Any]:
    """Return what the outputs of a network stand for if nobody has said it."""
    outputs = network.n_outputs
    if task == "regression" or (task == "auto" and outputs == 1):
        plain = {"target_mean": [0.0] * outputs, "target_scale": [1.0] * outputs}
        return {"task": "regression", **plain}
    return {"task": "classification", "classes": list(range(outputs))}


def _taken_for_granted(path: Path, facts: dict[str, Any]) -> str:
    taken = "quantities in their own units"
    if facts["task"] == "classification":
        taken = f"classes 0 to {len(facts['classes']) - 1}; --task regression takes quantities"
    return f"{path} does not say what its outputs stand for: taken for {taken}"


def _check_classes(classes: list[Any], path: Path) -> None:
    """Refuse labels that are not distinct, or not all text or all numbers of one kind."""
    kinds = {str if isinstance(label, str) else type(label) for label in classes}
    good = kinds in ({str}, {bool}) or kinds <= {int, float}
    good = good and all(isinstance(label, str) or math.isfinite(label) for label in classes)
    if not good or len(set(classes)) < len(classes):
        expected = "different labels, all texts or all numbers"
        refuse(f"{path}: classes", classes, expected)


def layout_of(network: Any, facts: dict[str, Any]) -> Layout:
    """Return how a model's samples are laid out; what one has not noted is None."""
    columns = facts.get("columns")
    known = None if columns is None else Columns.from_dict(columns)
    features = math.prod(network.input_shape)
    if known is not None and known.n_features != features:
        raise FileFormatError(f"the columns have {known.n_features} features, not {features}")
    return Layout(features, known, facts.get("first_feature"), facts["task"])


def check_same_columns(path: str, columns: Columns | None) -> None:
    """Refuse to train a model further on a table in which its columns stand elsewhere."""
    from sparsecpu.files.model import load

    noted = load(path)[1].get("columns")
    if noted is None or columns is None:
        return
    known = Columns.from_dict(noted)
    if not (known.header and columns.header):
        return
    for at, name in enumerate(columns.feature_names):
        if name in known.feature_names and known.feature_names.index(name) != at:
            raise DataError(
                f"feature {at + 1} is {name!r}, which is feature "
                f"{known.feature_names.index(name) + 1} of {path}; bring the columns into its "
                f"order: {few(known.names)}"
            )


def matched_targets(y: np.ndarray, network: Any, facts: dict[str, Any], where: str) -> np.ndarray:
    """Return targets as the model counts them: class numbers, or float64 (samples, outputs).

    Raises ``DataError``, which says ``where`` they are from, if they do not match the model.
    """
    if facts["task"] == "multilabel":
        return _labels_of_samples(y, network, where)
    if facts["task"] == "classification":
        y = matrix_targets(y, where, "classification")
        try:
            return class_numbers(np.array(facts["classes"]), y)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
    if y.dtype.kind not in "fiub":
        try:
            y = y.astype(np.float64)
        except ValueError:
            wrong = next(text for text in y.ravel().tolist() if not is_number(text))
            expected = "numbers, as the model was trained on"
            raise DataError(f"{where}: the target is {wrong!r}; expected {expected}") from None
    y = np.asarray(y, np.float64).reshape(len(y), -1)
    if y.shape[1] != network.n_outputs:
        raise DataError(
            f"{where} has {y.shape[1]} targets per sample; the model predicts {network.n_outputs}"
        )
    return y


def _labels_of_samples(y: np.ndarray, network: Any, where: str) -> np.ndarray:
    """Return a matrix of 0 and 1, a column for each label that a sample may have."""
    shape = (len(y), network.n_outputs)
    if y.dtype.kind not in "fiub" or y.shape != shape or not ((y == 0) | (y == 1)).all():
        expected = f"0 and 1 of shape {shape}, a column for each label that the model knows"
        raise DataError(f"{where} has targets of shape {y.shape}; expected {expected}")
    return y.astype(np.int64)
