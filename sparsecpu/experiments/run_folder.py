"""The folder of a run: configuration, history, checkpoint, model."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from sparsecpu.callbacks import Callback
from sparsecpu.datasets.base import SCALINGS
from sparsecpu.datasets.formats import FORMATS
from sparsecpu.errors import FileFormatError, ParameterError, ResumeError
from sparsecpu.experiments.history_file import HistoryFile
from sparsecpu.experiments.output_folder import check_empty, opened
from sparsecpu.files.checkpoint import SavedRun, alike, read_run, write_run
from sparsecpu.files.documents import finite, read_json
from sparsecpu.files.locks import FolderLock
from sparsecpu.files.writing import make_folder, write_text
from sparsecpu.step.plain_values import (
    Kind,
    anything,
    listed,
    maybe,
    named,
    one_of,
    real,
    table,
    text,
    truth,
    whole,
)

#: How data are read.
READING = table(
    {
        "samples": maybe(whole(1)), "target": maybe(text),
        "task": one_of(("auto", "classification", "regression")),
    },
    {
        "format": one_of(FORMATS), "zero_based": maybe(truth), "scaling": one_of(SCALINGS),
        "missing": listed(text), "drop_missing": truth, "header": maybe(truth),
        "categorical": maybe(text),
    },
)  # fmt: skip
#: What the configuration of a run says, beside its recipe; the second came later.
_CONFIG: dict[str, Kind] = {"data": text, "reading": READING, "fingerprint": text}
#: What a resumed run may do otherwise than it was begun: how long it is, and how fast it learns.
CHANGEABLE = ("epochs", "steps", "learning_rate", "schedule")
_NEWER: dict[str, Kind] = {
    "changed": listed(
        table(
            {"epoch": whole(0), "step": whole(0)},
            {
                "epochs": whole(1),
                "steps": whole(1),
                "learning_rate": real(0.0),
                "schedule": text,
            },
        )
    ),
    "forms": named(one_of(("sparse", "dense"))),
    "spectrum": truth,
    "versions": named(text),
    "evaluate_every": maybe(whole(1)),
    "validation": maybe(text),
    "early_stopping": maybe(whole(1)),
    "best": truth,
    "validation_mark": text,
    "text": table({"files": listed(text), "bytes": whole(1), "sha256": text}),
}
#: What the result of a run says, as far as anything is made of it; the rest is for people.
_RESULT = table(
    {},
    {
        "step_ms": maybe(real(0.0)), "dense_step_ms": maybe(real(0.0)),
        "dense_bf16_step_ms": maybe(real(0.0)), "dense_library": maybe(text),
        "dense_bf16_library": maybe(text), "seconds": maybe(real(0.0)),
        "seconds_per_epoch": maybe(real(0.0)), "compile_seconds": maybe(real(0.0)),
        "weight_bytes": whole(0), "dense_weight_bytes": whole(0), "batch_size": whole(1),
        "threads": whole(1), "dense_threads": whole(1), "ranks": whole(1), "cpu": text,
        "versions": named(text), "precision": text, "timed_epochs": whole(0), "ended": text,
    },
    anything,
)  # fmt: skip


class RunFolder:
    """Files of one run; each is replaced whole, so a crash leaves the one before."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.model = self.path / "model.npz"
        self.checkpoint = self.path / "checkpoint.npz"
        self.config = self.path / "config.json"
        self.result = self.path / "result.json"
        self.history = HistoryFile(self.path / "history.jsonl")
        self.lock = FolderLock(self.path)

    def create(self, config: dict[str, Any]) -> None:
        """Make the folder for a new run, with what a resumed one needs to know, and lock it."""
        with opened(self.lock) as held:
            if {self.config.name, self.checkpoint.name} & held:
                expected = f"a new folder: this one holds a run (--resume {self.path} goes on)"
                raise ParameterError("out", str(self.path), expected)
            check_empty(self.path, held)
            self._write(config)

    def change(
        self, config: dict[str, Any], changes: dict[str, Any], epoch: int, step: int
    ) -> None:
        """Note what the run of ``config`` does otherwise after so many epochs and steps."""
        noted = [*config.get("changed", []), {"epoch": epoch, "step": step, **changes}]
        self._write({**config, "recipe": {**config["recipe"], **changes}, "changed": noted})

    def _write(self, config: dict[str, Any]) -> None:
        write_text(self.config, json.dumps(config, indent=2, sort_keys=True) + "\n")

    def read_config(self) -> dict[str, Any]:
        """Return what ``create`` was given, checked."""
        from sparsecpu.experiments.recipe import LATER

        if not self.config.is_file():
            raise ResumeError(f"{self.path} is not the folder of a run: it has no config.json")
        config = read_json(self.config, table({**_CONFIG, "recipe": recipe_kind()}, _NEWER))
        return {**config, "recipe": {**LATER, **config["recipe"]}}

    def keep_result(self, result: dict[str, Any]) -> None:
        """Write down what the run came to, and when it ended.

        If nothing was left to train, what was measured when something was stays.
        """
        if result.get("step_ms") is None and self.result.exists():
            return
        ended = datetime.now().astimezone().isoformat(timespec="seconds")
        write_text(self.result, json.dumps(finite({**result, "ended": ended}), indent=2) + "\n")

    def read_result(self) -> dict[str, Any] | None:
        """Return what ``keep_result`` was given; None where the run has not ended, or is old."""
        return read_json(self.result, _RESULT) if self.result.is_file() else None

    def spent_before(self, epoch: int) -> tuple[float, float]:
        """Return the seconds until the end of an epoch, and those of compiling among them.

        They are of all parts of the run: what the last one that ended had taken by then, and what
        the history says of the epochs behind it.
        """
        found: dict[str, Any] = {}
        with contextlib.suppress(FileFormatError):  # it is about to be written anew
            found = self.read_result() or {}
        until = found.get("epochs")
        if not isinstance(until, int) or until > epoch:
            found, until = {}, 0
        seconds, compiling = _number(found, "seconds"), _number(found, "compile_seconds")
        for record in self.history.read():
            if until < record["epoch"] <= epoch:
                compiled = _number(record, "compile_seconds")
                seconds += _number(record, "seconds") + compiled
                compiling += compiled
        return seconds, compiling


def _number(found: dict[str, Any], name: str) -> float:
    """Return a number of a record, 0 where it has none."""
    value = found.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0


def recipe_kind() -> Kind:
    """Return what a recipe is in a file."""
    from sparsecpu.experiments.recipe import LATER, Recipe

    kinds = {name: _kind_of(hint) for name, hint in get_type_hints(Recipe).items()}
    newer = {name: kinds.pop(name) for name in LATER}
    return table(kinds, newer)


def _kind_of(hint: Any) -> Kind:
    """Return what a field of this type may be in a file."""
    kinds = {int: whole(), float: real(), str: text, bool: truth}
    allowed = get_args(hint) or (hint,)
    kind = next(kinds[one] for one in allowed if one in kinds)
    return maybe(kind) if NoneType in allowed else kind


class Checkpoints(Callback):
    """Writes a checkpoint after every epoch, and the history along with it.

    ``facts`` are what the model must remember of its data and recipe. The folder is locked while
    training lasts.
    """

    comes_last = True

    def __init__(self, folder: RunFolder, architecture: Any, facts: dict[str, Any]) -> None:
        self.folder, self.architecture, self.facts = folder, architecture, facts
        self._locked = False

    def on_fit_start(self, trainer) -> None:
        make_folder(self.folder.path)
        self._locked = not self.folder.lock.is_taken  # a command has it, and for longer
        self.folder.lock.take()
        self.write(trainer)  # so that a run can be resumed from its first second

    def on_epoch_end(self, trainer, record) -> None:
        self.folder.history.append(record)
        self.write(trainer)

    def on_fit_end(self, trainer) -> None:
        if self._locked:
            self.folder.lock.release()

    def write(self, trainer: Any) -> None:
        """Write a checkpoint of this moment, which must lie between two steps."""
        write_run(trainer, self.folder.checkpoint, self.architecture, self.facts)


def read_checkpoint(
    folder: RunFolder, architecture: Any, config: dict[str, Any] | None = None
) -> SavedRun:
    """Read the checkpoint of a run, whose network must have this architecture.

    Where the run's configuration is given, its recipe must be the one that wrote the checkpoint.
    """
    run = read_run(folder.checkpoint)
    if not alike(run.network.architecture, architecture):
        raise ResumeError(
            f"{folder.checkpoint} holds another network than {folder.config} describes"
        )
    changed = {name for note in (config or {}).get("changed", ()) for name in note}
    if config is not None and _begun_with(run.facts, changed) != _begun_with(config, changed):
        raise ResumeError(f"{folder.checkpoint} was not written by the run of {folder.config}")
    return run


def _begun_with(known: dict[str, Any], changed: set[str]) -> Any:
    """Return data and recipe of a run, without what was changed since; its model may have moved."""
    from sparsecpu.experiments.recipe import LATER

    recipe = known.get("recipe")
    if isinstance(recipe, dict):
        recipe = {**LATER, **recipe, "init": ""} | dict.fromkeys(changed & set(CHANGEABLE))
    return known.get("data"), recipe
