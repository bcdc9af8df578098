"""What a soak does over and over: train, update patterns, save, load, predict, fit estimators."""

import io
import itertools
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sparsecpu import SparseMLPClassifier, SparseMLPRegressor, Trainer, load, save
from sparsecpu.callbacks import BestModel, History, Validation
from sparsecpu.cli import main
from sparsecpu.errors import FileFormatError, SparseCPUError
from sparsecpu.experiments.run_folder import Checkpoints, RunFolder, read_checkpoint
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import mlp
from sparsecpu.networks.models import MODELS
from sparsecpu.optimizers import SGD, Adam
from sparsecpu.topology import make_topology
from sparsecpu.training.pattern_history import Tracker

TOPOLOGIES = ("sparse-momentum", "rigl", "set", "gse", "dsr", "deep-r", "static")
IMAGE = (1, 8, 8)


class Rounds:
    """Does one thing after another; each leaves nothing but the files in ``folder``."""

    def __init__(self, folder):
        self.folder = Path(folder)
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((192, 64)).astype(np.float32)
        self.y = rng.integers(0, 5, 192)
        self.topologies = itertools.cycle(TOPOLOGIES)
        self.said = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        self.number = 0

    def once(self):
        """Do all of it once."""
        self.number += 1
        topology = next(self.topologies)
        network = self.train(topology)
        self.images("set" if topology == "static" else topology)
        self.files(network)
        self.estimators()
        self.mistakes()

    def train(self, topology):
        """Train with a checkpoint after each epoch, and go on from the last but one."""
        architecture = mlp((64,), (32,), 5, batch_norm=True, dropout=0.1).sparsify(0.3)
        folder = RunFolder(self.folder / "run")
        folder.checkpoint.unlink(missing_ok=True)
        folder.history.path.unlink(missing_ok=True)
        lean = topology in ("static", "gse") and self.number % 2 == 0
        for epochs in (2, 3):
            held = read_checkpoint(folder, architecture) if folder.checkpoint.exists() else None
            network = held.network if held else architecture.build(np.random.default_rng(1))
            callbacks = [Tracker(spectrum=True), Validation(self.score), BestModel(), History(),
                         Checkpoints(folder, architecture, {})]  # fmt: skip
            update = {} if topology == "static" else {"update_every": 3}
            trainer = Trainer(
                network, loss=SoftmaxCrossEntropy(), epochs=epochs, batch_size=32, lean=lean,
                optimizer=Adam() if self.number % 3 == 0 and not lean else SGD(),
                learning_rate=0.01, topology=make_topology(topology, **update),
                callbacks=callbacks, threads=1 + self.number % 2,
            )  # fmt: skip
            if held:
                held.restore(trainer, len(self.x))
            trainer.fit(self.x, self.y)
        return network

    def score(self, network):
        return np.mean(network.predict(self.x[:50]).argmax(axis=1) == self.y[:50])

    def images(self, topology):
        """Train a convolutional network for an epoch."""
        described = MODELS["lenet-5-caffe"]((1, 28, 28), 5, width=0.3).sparsify(0.3)
        network = described.build(np.random.default_rng(2))
        x = np.resize(self.x, (64, 784))
        Trainer(network, loss=SoftmaxCrossEntropy(), epochs=1, batch_size=32,
                learning_rate=0.01, topology=make_topology(topology, update_every=1)
                ).fit(x, self.y[:64])  # fmt: skip
        network.predict(x)

    def files(self, network):
        """Write and read a model, as ours and as others', and look at it."""
        path = self.folder / "model.npz"
        save(network, path, facts={"task": "classification", "classes": list(range(5))})
        again, _ = load(path)
        assert np.array_equal(again.predict(self.x), network.predict(self.x))
        for to in ("safetensors", "scipy"):
            out = self.folder / f"out.{to}"
            self.command("export", str(path), "--to", to, "--out", str(out), "--json")
            self.command("import", str(out), "--out", str(self.folder / "again.npz"), "--json")

    def estimators(self):
        """Fit, predict, and fit further."""
        options = {"density": 0.3, "max_iter": 2, "batch_size": 32, "random_state": 0}
        classifier = SparseMLPClassifier((16,), early_stopping=True, n_iter_no_change=9, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            classifier.fit(self.x, self.y).predict_proba(self.x)
            SparseMLPRegressor((16,), **options).fit(self.x, self.x[:, 0]).predict(self.x)
        further = SparseMLPClassifier((16,), **options)
        for _ in range(2):
            further.partial_fit(self.x, self.y, classes=range(5))

    def mistakes(self):
        """Meet errors, which hold on to nothing either."""
        (self.folder / "bad.npz").write_bytes(b"PK no model")
        for mistake in (lambda: load(self.folder / "bad.npz"),
                        lambda: SparseMLPClassifier(density=7).fit(self.x, self.y)):  # fmt: skip
            try:
                mistake()
            except (FileFormatError, SparseCPUError):
                continue
            raise AssertionError("a mistake was not noticed")

    def command(self, *words):
        """Call the command line in this process, always with the same output: click keeps each."""
        ends = pytest.raises(SystemExit)
        with redirect_stdout(self.said), redirect_stderr(self.said), ends as ended:
            main(list(words))
        assert ended.value.code == 0, self.said.buffer.getvalue()
        self.said.seek(0)
        self.said.truncate()
