"""What the folder of a run says of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.datasets.columns import Columns
from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.experiments.run_folder import RunFolder
from sparsecpu.experiments.trained_models import read_model
from sparsecpu.files.checkpoint import read_run
from sparsecpu.files.places import model_path
from sparsecpu.step.checked_arrays import take_keys


@dataclass(frozen=True)
class RunFacts:
    """A run: its configuration, its network and what that knows of its data, and its history.

    ``result`` is what ``train`` measured, None if it has not ended or is an older one; ``start``
    are the weights of each input of the first layer before the first step, None where nobody knows.
    """

    path: Path
    config: dict[str, Any]
    network: Any
    facts: dict[str, Any]
    records: list[dict[str, Any]]
    result: dict[str, Any] | None
    ended: bool
    start: np.ndarray | None

    @property
    def task(self) -> str:
        """What the network is for."""
        return self.facts["task"]

    @property
    def recipe(self) -> dict[str, Any]:
        """How it was trained."""
        return self.config["recipe"]

    @property
    def updates(self) -> list[dict[str, Any]]:
        """All updates of the topology, in order."""
        return [update for record in self.records for update in record.get("updates", ())]

    @property
    def first_layer(self) -> str:
        """The first layer that has a pattern."""
        return next(iter(self.network.sparse_parameters()), "")

    @property
    def feature_names(self) -> list[str] | None:
        """What the features are called, if they come from a table that says so."""
        noted = self.facts.get("columns")
        columns = None if noted is None else Columns.from_dict(noted)
        return list(columns.feature_names) if columns is not None and columns.header else None


def read_facts(path: Path | str) -> RunFacts:
    """Read the folder of a run. Raises ``SparseCPUError`` if it is none, or is damaged."""
    folder = RunFolder(path)
    if not folder.config.is_file():
        expected = "the folder of a run (sparsecpu train --out) or comparison (sparsecpu compare)"
        raise ParameterError("RUN", str(path), expected)
    config = folder.read_config()
    network, facts = read_model(model_path(str(path)))
    records = folder.history.read()
    _check_history(records, network, folder)
    return RunFacts(
        folder.path, config, network, facts, records, folder.read_result(),
        folder.model.is_file(), _start(folder, network),
    )  # fmt: skip


def _check_history(records: list[dict[str, Any]], network: Any, folder: RunFolder) -> None:
    """Refuse the history of a network whose layers have other names or sizes."""
    shapes = {name: p.shape for name, p in network.sparse_parameters().items()}
    for record in records:
        for update in record.get("updates", ()):
            for name, found in update["layers"].items():
                inputs = found.get("inputs")
                wrong = name not in shapes or found["nnz"] > math.prod(shapes[name])
                if wrong or (inputs is not None and len(inputs) != shapes[name][1]):
                    raise FileFormatError(f"{folder.history.path} is that of another network")


def _start(folder: RunFolder, network: Any) -> np.ndarray | None:
    """Return the weights per input of the first layer at the start, which checkpoints keep."""
    name = next(iter(network.sparse_parameters()), None)
    if name is None or not folder.checkpoint.is_file():
        return None
    pattern = network.sparse_parameters()[name].pattern
    n_out, n_in = pattern.shape
    try:
        arrays = read_run(folder.checkpoint).arrays
        keys = take_keys(arrays, f"callback/Tracker/{name}/start", pattern.groups.size)
    except FileFormatError:  # no history was kept, or it is damaged: the model stands by itself
        return None
    rows, columns = np.divmod(keys, n_in)
    high = np.minimum(pattern.group, n_out - rows * pattern.group)  # of the last group, fewer rows
    return np.bincount(columns, weights=high, minlength=n_in).astype(np.int64)


def versions_of(run: RunFacts) -> dict[str, str]:
    """Return the versions of what trained a run; an older one does not say."""
    found = (run.result or {}).get("versions") or run.config.get("versions") or {}
    return {str(name): str(version) for name, version in found.items()}
