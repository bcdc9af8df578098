"""Small runs with every callback, to break off and to go on with; in other processes, too."""

import hashlib

import numpy as np

from sparsecpu.callbacks import (
    AdaptiveLearningRate,
    BestModel,
    Callback,
    EarlyStopping,
    History,
    Validation,
)
from sparsecpu.files.model import load_all
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import mlp
from sparsecpu.optimizers import SGD, Adam
from sparsecpu.topology import SparseMomentum
from sparsecpu.trainer import Trainer
from sparsecpu.training.pattern_history import Tracker

SAMPLES, BATCH, EPOCHS = 60, 8, 9
PER_EPOCH = -(-SAMPLES // BATCH)
_RNG = np.random.default_rng(0)
Y = _RNG.integers(0, 3, SAMPLES)
X = (_RNG.standard_normal((SAMPLES, 8)) + 1.5 * _RNG.standard_normal((3, 8))[Y]).astype(np.float32)
_HELD_OUT = _RNG.permutation(SAMPLES)[:20]
TOPOLOGIES = {
    "window": lambda: SparseMomentum(source="window", window=5),
    "lowrank": lambda: SparseMomentum(source="lowrank", rank=2, window=5),
}


class Stop(Callback):
    """Breaks a run off after some steps."""

    def __init__(self, steps):
        self.steps = steps

    def on_step(self, trainer, loss):
        trainer.interrupted = trainer.steps_done == self.steps


def _score(network):
    return float((network.predict(X[_HELD_OUT]).argmax(axis=1) == Y[_HELD_OUT]).mean())


def make_trainer(kind, network=None, more=(), **options):
    """Return the trainer of a run; its network is new unless one is given."""
    if network is None:
        described = mlp(8, (24, 12), 3, batch_norm=True, dropout=0.1).sparsify(0.3)
        network = described.build(np.random.default_rng(1))
    callbacks = [
        Tracker(spectrum=True), Validation(_score, "score"), BestModel("score"),
        EarlyStopping("score", patience=2, maximise=True), EarlyStopping(patience=50),
        AdaptiveLearningRate(patience=0, tol=0.3), History(), *more,
    ]  # fmt: skip
    options.setdefault("optimizer", SGD() if kind == "window" else Adam())
    options.setdefault("topology", TOPOLOGIES[kind]())
    return Trainer(network, loss=SoftmaxCrossEntropy(), batch_size=BATCH, epochs=EPOCHS, seed=3,
                   threads=1, callbacks=callbacks, **options)  # fmt: skip


def network_of(trainer):
    """Return a mark of all that training changes in a network."""
    digest = hashlib.sha256()
    for name, parameter in trainer.network.parameters().items():
        vectors = {"data": parameter.data, **parameter.slots}
        if hasattr(parameter, "pattern"):
            vectors["keys"] = parameter.pattern.keys()
        for key in sorted(vectors):
            digest.update(f"{name} {key}".encode() + vectors[key].tobytes())
    for buffer in trainer.network.buffers().values():
        digest.update(buffer.tobytes())
    return digest.hexdigest()


def summary(trainer):
    """Return the network's mark, and all that callbacks say at the end."""
    values, arrays = trainer.state()
    marks = {
        name: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        for name, array in arrays.items()
        if name.startswith("callback/")
    }
    history = next(c for c in trainer.callbacks if isinstance(c, History))
    said = [history.records, values["callbacks"], values["learning_rate_factor"]]
    return [network_of(trainer), marks, said, trainer.epochs_done]


def resumed(kind, path):
    """Go on from a checkpoint; return the summary."""
    network, header, extra = load_all(path)
    trainer = make_trainer(kind, network)
    trainer.load_state(header["facts"]["trainer"], extra, SAMPLES)
    return summary(trainer.fit(X, Y))
