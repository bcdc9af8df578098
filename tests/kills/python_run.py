"""A run from Python, with validation and the best network put back: ``python_run.py FOLDER``.

Called again it goes on where it was ended.
"""

import sys
from pathlib import Path

import numpy as np

from sparsecpu import Trainer, save
from sparsecpu.callbacks import BestModel, EarlyStopping, History, Validation
from sparsecpu.datasets import load_digits
from sparsecpu.experiments.run_folder import Checkpoints, RunFolder, read_checkpoint
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import mlp
from sparsecpu.topology import make_topology


def main(place):
    data, folder, facts = load_digits(), RunFolder(place), {"task": "none"}
    x, y = data.x_train[:800], data.y_train[:800]
    held_out = data.x_train[800:1000], data.y_train[800:1000]
    architecture = mlp((64,), (20,), 10, batch_norm=True, dropout=0.1).sparsify(0.3)
    held = None
    if folder.checkpoint.exists():
        held = read_checkpoint(folder, architecture)
    network = held.network if held else architecture.build(np.random.default_rng(3))

    def score(network):
        return np.mean(network.predict(held_out[0]).argmax(axis=1) == held_out[1])

    callbacks = [History(), Validation(score), BestModel(),
                 EarlyStopping("validation_score", patience=2, maximise=True),
                 Checkpoints(folder, architecture, facts)]  # fmt: skip
    trainer = Trainer(network, loss=SoftmaxCrossEntropy(), learning_rate=0.3, batch_size=32,
                      epochs=5, threads=1, topology=make_topology("rigl", update_every=10),
                      callbacks=callbacks)  # fmt: skip
    if held:
        held.restore(trainer, len(x))
        folder.history.write(folder.history.first(trainer.epochs_done))
    trainer.fit(x, y)
    save(network, folder.model, architecture, facts=facts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
