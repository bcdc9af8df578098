"""Checkpoints: a run that goes on from one trains to its end, or the trainer is as it was."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from sparsecpu.callbacks import BestModel, Callback, EarlyStopping, History, Validation
from sparsecpu.files.model import load_all, save
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import mlp
from sparsecpu.optimizers import SGD, Adam
from sparsecpu.topology import DSR, SET, DeepR, GradualPruning, SparseMomentum, Static
from sparsecpu.topology import GuidedStochasticExploration as GSE
from sparsecpu.trainer import Trainer
from sparsecpu.training.pattern_history import Tracker
from tests.fuzz.alter_saved import Saved
from tests.fuzz.target import Target

_SAMPLES, _STEPS = 36, 14
_RNG = np.random.default_rng(0)
_X, _Y = _RNG.standard_normal((_SAMPLES, 6)).astype(np.float32), _RNG.integers(0, 3, _SAMPLES)
_ARCHITECTURE = mlp(6, (10, 7), 3, batch_norm=True, dropout=0.1).sparsify(0.3)


def _momentum(source, **options):
    return lambda: SparseMomentum(source=source, window=3, growth_memory=8_000, **options)


#: By the name of a case: the optimizer, the topology, and whether the best epoch is kept.
_RUNS = {
    "window": (SGD, _momentum("window"), True),
    "tiles": (SGD, _momentum("tiles"), False),
    "lowrank": (Adam, _momentum("lowrank", rank=2), False),
    "candidates": (Adam, _momentum("candidates", proposal="lowrank", rank=2), True),
    "set": (Adam, lambda: SET(update_every=3, revive=True), False),
    "gse": (lambda: SGD(0.0), lambda: GSE(update_every=4), True),
    "deep-r": (SGD, lambda: DeepR(update_every=2), False),
    "dsr": (SGD, lambda: DSR(update_every=3), False),
    "gradual": (SGD, lambda: GradualPruning(density=0.1, update_every=3), False),
    "grouped": (SGD, Static, True),
}


class _Stop(Callback):
    def on_step(self, trainer, loss):
        trainer.interrupted = trainer.steps_done == _STEPS


def _score(network):
    found = network.predict(_X[:9])
    return float(found[np.isfinite(found)].sum())


def _trainer(name, network, *more):
    optimizer, topology, best = _RUNS[name]
    callbacks = [Tracker(), History(), *more]
    if best:
        last = EarlyStopping("validation_score", patience=5, maximise=True)
        callbacks += [Validation(_score), BestModel(), EarlyStopping(patience=4), last]
    return Trainer(network, loss=SoftmaxCrossEntropy(), optimizer=optimizer(), topology=topology(),
                   batch_size=8, epochs=4, seed=2, threads=1, callbacks=callbacks)  # fmt: skip


@cache
def _saved():
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in _RUNS:
            described = _ARCHITECTURE.in_groups(4 if name == "grouped" else 1)
            trainer = _trainer(name, described.build(np.random.default_rng(1)), _Stop())
            trainer.fit(_X, _Y)
            values, arrays = trainer.state()
            save(trainer.network, Path(folder, "c.npz"), facts={"trainer": values}, extra=arrays)
            found[name] = Saved(Path(folder, "c.npz").read_bytes())
    return found


class Checkpoints(Target):
    """``Trainer.load_state``, and the rest of the run."""

    name = "checkpoints"
    seconds = 15.0  # beside other work on a busy machine

    def valid(self):
        return [{f"{name}.npz": saved.content} for name, saved in _saved().items()]

    def case(self, rng):
        name = rng.choice(sorted(_saved()))
        return {f"{name}.npz": _saved()[name].altered(rng)}

    def read(self, folder):
        path = next(folder.glob("*.npz"))
        network, header, extra = load_all(path)
        if header["architecture"] != _saved_architecture(path.stem) or network.dtype != np.float32:
            return  # another network, which whoever goes on refuses
        trainer = _trainer(path.stem, network)
        before = _everything(trainer)
        try:
            trainer.load_state(header["facts"].get("trainer"), extra, _SAMPLES)
        except BaseException:
            assert _everything(trainer) == before, "a refused checkpoint has changed the trainer"
            raise
        with np.errstate(all="ignore"):  # weights may be as large as they like
            trainer.fit(_X, _Y)
        assert trainer.epochs_done == trainer.epochs or trainer.stop
        # One that says that training is to stop may lie within an epoch; it stays there.
        assert trainer.steps_done == 5 * trainer.epochs_done + -(-trainer.position // 8)
        for parameter in network.parameters().values():
            assert np.isfinite(parameter.data).all()


@cache
def _saved_architecture(name):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "c.npz").write_bytes(_saved()[name].content)
        return load_all(Path(folder, "c.npz"))[1]["architecture"]


def _everything(trainer):
    """Return what may not change in a trainer where a checkpoint is refused."""
    owners = (trainer, trainer.topology, *trainer.callbacks)
    held = [{name: id(value) for name, value in vars(owner).items()} for owner in owners]
    slots = {n: list(p.slots) for n, p in trainer.network.parameters().items()}
    return held, slots, {name: rng.bit_generator.state for name, rng in trainer.rngs.items()}


TARGET = Checkpoints()
