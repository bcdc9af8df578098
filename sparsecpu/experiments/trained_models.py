"""Models that a run has left: where they are, and what they know of their data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import DataError, FileFormatError

#: What a model must know, by its task; each has an entry per output.
_NEEDED = {"classification": ["classes"], "regression": ["target_mean", "target_scale"]}


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
    task = facts.get("task") if isinstance(facts, dict) else None
    if not isinstance(task, str) or task not in _NEEDED:
        raise FileFormatError(f"{path} does not say its task, as models of sparsecpu train do")
    for name in _NEEDED[task]:
        found = facts.get(name)
        if not isinstance(found, list) or len(found) != network.n_outputs:
            raise FileFormatError(f"{path}: {name} must have {network.n_outputs} entries")
    return network, facts


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
