"""The folder of a run: configuration, history, checkpoint, model."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from sparsecpu.callbacks import Callback
from sparsecpu.errors import FileFormatError, ParameterError, ResumeError
from sparsecpu.experiments.output_folder import check_empty, opened
from sparsecpu.files.locks import FolderLock
from sparsecpu.files.model import load_all, save
from sparsecpu.files.writing import make_folder, write_text


class RunFolder:
    """Files of one run; each is replaced whole, so a crash leaves the one before."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.model = self.path / "model.npz"
        self.checkpoint = self.path / "checkpoint.npz"
        self.config = self.path / "config.json"
        self.history = self.path / "history.jsonl"
        self.lock = FolderLock(self.path)

    def create(self, config: dict[str, Any]) -> None:
        """Make the folder for a new run, with what a resumed one needs to know, and lock it."""
        with opened(self.lock) as held:
            if {self.config.name, self.checkpoint.name} & held:
                expected = f"a new folder: this one holds a run (--resume {self.path} goes on)"
                raise ParameterError("out", str(self.path), expected)
            check_empty(self.path, held)
            write_text(self.config, json.dumps(config, indent=2, sort_keys=True) + "\n")

    def read_config(self) -> dict[str, Any]:
        """Return what ``create`` was given, checked."""
        from sparsecpu.experiments.recipe import Recipe

        try:
            found = json.loads(self.config.read_text(encoding="utf-8"))
        except OSError as error:
            problem = f"{self.config} cannot be read ({error.strerror})"
            raise ResumeError(f"{self.path} is not the folder of a run: {problem}") from None
        except ValueError as error:
            raise ResumeError(f"{self.config} is damaged: {error}") from None
        known = {field.name for field in fields(Recipe)}
        try:
            good = known == found["recipe"].keys() and "fingerprint" in found
            good = good and {"samples", "target", "task"} == found["reading"].keys()
            good = good and isinstance(found["data"], str)
        except (KeyError, TypeError, AttributeError):
            good = False
        if not good:
            raise ResumeError(f"{self.config} is not the configuration of a run")
        return found

    def read_history(self, epochs: int) -> list[dict[str, Any]]:
        """Return the records of the first so many epochs; the last line may be cut off."""
        records: list[dict[str, Any]] = []
        if self.history.is_file():
            for line in self.history.read_text(encoding="utf-8").splitlines():
                try:
                    record = json.loads(line)
                except ValueError:
                    break
                if record.get("epoch", 0) > epochs:
                    break
                records.append(record)
        return records

    def write_history(self, records: list[dict[str, Any]]) -> None:
        """Replace the history by these records, one per epoch."""
        write_text(self.history, "".join(json.dumps(r) + "\n" for r in records))

    def append_history(self, record: dict[str, Any]) -> None:
        """Add the record of an epoch to the history."""
        with open(self.history, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())  # before the checkpoint, which must not be ahead of it


class Checkpoints(Callback):
    """Writes a checkpoint after every epoch, and the history along with it.

    ``facts`` are what the model must remember of its data and recipe. The folder is locked while
    training lasts.
    """

    def __init__(self, folder: RunFolder, architecture: Any, facts: dict[str, Any]) -> None:
        self.folder, self.architecture, self.facts = folder, architecture, facts
        self._lock = FolderLock(folder.path)  # a command has one of its own, which lasts longer

    def on_fit_start(self, trainer) -> None:
        make_folder(self.folder.path)
        self._lock.take()
        self.write(trainer)  # so that a run can be resumed from its first second

    def on_epoch_end(self, trainer, record) -> None:
        self.folder.append_history(record)
        self.write(trainer)

    def on_fit_end(self, trainer) -> None:
        self._lock.release()

    def write(self, trainer: Any) -> None:
        """Write a checkpoint of this moment, which must lie between two steps."""
        values, arrays = trainer.state()
        facts = {**self.facts, "trainer": values}
        save(trainer.network, self.folder.checkpoint, self.architecture, facts=facts, extra=arrays)


class Checkpoint:
    """What a checkpoint file holds: the network, and the trainer's plain values and arrays."""

    def __init__(self, path: Path, network: Any, values: Any, arrays: dict) -> None:
        self.path, self.network, self.values, self.arrays = path, network, values, arrays

    def restore(self, trainer: Any, samples: int) -> None:
        """Put the state into the network's trainer, made as the one that wrote the checkpoint."""
        try:
            trainer.load_state(self.values, self.arrays, samples)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise FileFormatError(f"{self.path} is incomplete: {error!r}") from error


def read_checkpoint(folder: RunFolder, architecture: Any) -> Checkpoint:
    """Read the checkpoint of a run, whose network must have this architecture."""
    network, header, extra = load_all(folder.checkpoint)
    found, wanted = header["architecture"].to_dict(), architecture.to_dict()
    for described in (found, wanted):
        for layer in described["layers"]:
            layer.pop("nnz", None)
    if found != wanted:
        raise ResumeError(
            f"{folder.checkpoint} holds another network than {folder.config} describes"
        )
    if "trainer" not in header["facts"]:
        raise FileFormatError(f"{folder.checkpoint} is no checkpoint")
    return Checkpoint(folder.checkpoint, network, header["facts"]["trainer"], extra)
