"""Checkpoints of training: a model file with all that a resumed run needs beside the model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sparsecpu.callbacks import Callback
from sparsecpu.errors import FileFormatError, ParameterError, ResumeError
from sparsecpu.files.model import load_all, save
from sparsecpu.networks.description import Architecture
from sparsecpu.step.kept_network import KeptNetwork


class Checkpoint(Callback):
    """Keeps a run in a file, and goes on with it, bit for bit.

    The file is written before the first step and after every epoch, always whole. Every run needs a
    file of its own.

    Parameters
    ----------
    path : path
        The file, usually ``….npz``. ``sparsecpu.load`` reads it as a model, too.
    architecture : Architecture, optional
        The network's description; by default ``network.architecture``, or what its layers say.

    Examples
    --------
    Run again after it was ended, this goes on where the last epoch ended::

        checkpoint = Checkpoint("run.npz")
        trainer = Trainer(network, loss=loss, callbacks=[BestModel(), checkpoint])
        checkpoint.resume(trainer, samples=len(x))
        trainer.fit(x, y)
    """

    comes_last = True

    def __init__(self, path: Path | str, architecture: Architecture | None = None) -> None:
        self.path, self.architecture = Path(path), architecture

    def on_fit_start(self, trainer) -> None:
        self._keep(trainer)  # so that a run can be resumed from its first second

    def on_epoch_end(self, trainer, record) -> None:
        self._keep(trainer)

    def _keep(self, trainer: Any) -> None:
        if trainer.ranks.rank == 0:  # all have the same, where several share a run
            self.write(trainer)

    def write(self, trainer: Any) -> None:
        """Write the file as of this moment, which must lie between two steps.

        Parameters
        ----------
        trainer : Trainer
            The trainer of the run.

        Raises
        ------
        ParameterError
            If training has not begun, or if the network has a layer that no description can have.
        """
        if trainer.topology_start is None:
            raise ParameterError("trainer", trainer, "one that has begun to train")
        write_run(trainer, self.path, self._described(trainer), {})

    def resume(self, trainer: Any, samples: int) -> bool:
        """Take up the run that the file holds; return False if there is no file yet.

        A trainer with more epochs, or more steps, than the run was begun with trains it longer.

        Parameters
        ----------
        trainer : Trainer
            A trainer made as the one of the run: with the same arguments and callbacks, and a
            network of the same description, whose values are replaced.
        samples : int
            Samples per epoch.

        Raises
        ------
        ParameterError
            If ``samples`` is no number of them, or if the network has a layer that no description
            can have.
        FileFormatError
            If the file is damaged or no checkpoint. The trainer is as it was before, then.
        ResumeError
            If the run has another network, or was begun with other choices or callbacks.
        """
        if not self.path.exists():
            return False
        run, network = read_run(self.path), trainer.network
        same = run.network.dtype == network.dtype and alike(
            run.network.architecture, self._described(trainer)
        )
        if not same:
            raise ResumeError(f"{self.path} holds another network than the trainer has")
        with _as_before_if_refused(network):
            _replace(network, KeptNetwork.of(run.network), run.network.offset, run.network.scale)
            run.restore(trainer, samples)
        return True

    def _described(self, trainer: Any) -> Architecture:
        return Architecture.of(trainer.network) if self.architecture is None else self.architecture


class SavedRun:
    """What a checkpoint holds: the network, its facts, and the trainer's arrays.

    The trainer's plain values are the fact ``"trainer"``.
    """

    def __init__(self, path: Path, network: Any, facts: dict[str, Any], arrays: dict) -> None:
        self.path, self.network, self.facts, self.arrays = path, network, facts, arrays

    def restore(self, trainer: Any, samples: int) -> None:
        """Put the state into the network's trainer, made as the one that wrote the checkpoint."""
        try:
            trainer.load_state(self.facts["trainer"], self.arrays, samples)
        except (FileFormatError, ResumeError) as error:
            raise type(error)(f"{self.path}: {error}") from error

    def has_arrays_of(self, callback: str) -> bool:
        """Return True if a callback of this class had arrays to keep."""
        return any(name.startswith(f"callback/{callback}/") for name in self.arrays)


def write_run(trainer: Any, path: Path, architecture: Any, facts: dict[str, Any]) -> None:
    """Write a checkpoint; ``facts`` are what the model must remember besides."""
    values, arrays = trainer.state()
    save(trainer.network, path, architecture, facts={**facts, "trainer": values}, extra=arrays)


def read_run(path: Path) -> SavedRun:
    """Read a checkpoint. Raises ``FileFormatError`` if the file is damaged or of another kind."""
    network, header, arrays = load_all(path)
    if "trainer" not in header["facts"]:
        raise FileFormatError(f"{path} is no checkpoint")
    return SavedRun(path, network, header["facts"], arrays)


def alike(one: Architecture, other: Architecture) -> bool:
    """Return True if two descriptions differ at most in how many weights each layer has."""
    described = [architecture.to_dict() for architecture in (one, other)]
    for found in described:
        for layer in found["layers"]:
            layer.pop("nnz", None)
    return described[0] == described[1]


@contextlib.contextmanager
def _as_before_if_refused(network: Any) -> Iterator[None]:
    """Put back what a network was if the block fails."""
    before = KeptNetwork.of(network), network.offset, network.scale
    try:
        yield
    except BaseException:
        _replace(network, *before)
        raise


def _replace(network: Any, kept: KeptNetwork, offset: Any, scale: Any) -> None:
    kept.put_back(network)
    network.offset, network.scale = offset, scale
