"""Models that a run has left: where they are, and what they know of their data."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import DataError, FileFormatError
from sparsecpu.step.plain_values import Kind, anything, listed, one_of, real, refuse, table

#: What a model must know, by its task; each has an entry per output.
_NEEDED: dict[str, dict[str, Kind]] = {
    "classification": {"classes": anything},
    "regression": {"target_mean": real(), "target_scale": real(sys.float_info.min)},
}


def model_path(path: str) -> Path:
    """Return the model file of a run's folder (its checkpoint if it has not ended), or the file."""
    given = Path(path)
    if not given.is_dir():
        return given
    for name in ("model.npz", "checkpoint.npz"):
        if (given / name).is_file():
            return given / name
    raise FileFormatError(f"{given} holds no model.npz and no checkpoint.npz")


def read_model(path: Path) -> tuple[Any, dict[str, Any]]:
    """Read a network and what it knows of its data, which one saved from Python need not.

    That is ``task``, and ``classes`` or ``target_mean`` and ``target_scale``.
    """
    from sparsecpu.files.model import load

    network, facts = load(path)
    if "task" not in facts:
        raise FileFormatError(f"{path} does not say its task, as models of sparsecpu train do")
    task = one_of(_NEEDED)(facts["task"], f"{path}: the task")
    needed = {name: listed(kind, network.n_outputs) for name, kind in _NEEDED[task].items()}
    table(needed, {}, anything)(facts, f"{path}: the header")
    if "classes" in needed:
        _check_classes(facts["classes"], path)
    return network, facts


def _check_classes(classes: list[Any], path: Path) -> None:
    """Refuse labels that are not distinct, or not all text or all numbers of one kind."""
    kinds = {str if isinstance(label, str) else type(label) for label in classes}
    good = kinds in ({str}, {bool}) or kinds <= {int, float}
    good = good and all(isinstance(label, str) or math.isfinite(label) for label in classes)
    if not good or len(set(classes)) < len(classes):
        expected = "different labels, all texts or all numbers"
        refuse(f"{path}: classes", classes, expected)


def matched_targets(dataset: Any, network: Any, facts: dict[str, Any]) -> np.ndarray:
    """Return a data set's test targets as the model counts them; refuse what does not match it."""
    from sparsecpu.datasets import class_numbers

    if dataset.task != facts.get("task"):
        raise DataError(f"{dataset.name} is for {dataset.task}; the model is for {facts['task']}")
    features = int(np.prod(network.input_shape))
    if dataset.x_test.shape[1] != features:
        raise DataError(
            f"{dataset.name} has {dataset.x_test.shape[1]} features; the model expects {features}"
        )
    if dataset.task == "classification":
        return class_numbers(np.array(facts["classes"]), dataset.classes[dataset.y_test])
    if dataset.y_test.shape[1] != network.n_outputs:
        raise DataError(
            f"{dataset.name} has {dataset.y_test.shape[1]} targets per sample; "
            f"the model predicts {network.n_outputs}"
        )
    return dataset.y_test
