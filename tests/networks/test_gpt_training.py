"""Language models whose patterns change: weights stay as many, and bits depend on nothing else."""

import numpy as np
import pytest

from sparsecpu import Trainer
from sparsecpu.callbacks import Callback
from sparsecpu.files.checkpoint import Checkpoint
from sparsecpu.losses import TokenCrossEntropy
from sparsecpu.models import gpt
from sparsecpu.optimizers import Adam
from sparsecpu.topology import make_topology

WORDS, BLOCK, BATCH, SEQUENCES = 9, 12, 4, 24
RULES = [
    "rigl:update_every=4",
    "set:update_every=3",
    "gse:update_every=4",
    "sparse-momentum:update_every=3",
]
_RNG = np.random.default_rng(4)
X = (_RNG.integers(0, WORDS, (SEQUENCES, 1)) + np.arange(BLOCK)) % WORDS
Y = (X + 1) % WORDS


class Stop(Callback):
    def __init__(self, steps):
        self.steps = steps

    def on_step(self, trainer, loss):
        trainer.interrupted = trainer.steps_done == self.steps


def make_trainer(rule, *more, threads=1):
    described = gpt((BLOCK,), WORDS, layers=2, heads=2, width=16, dropout=0.1)
    network = described.sparsify(0.3).build(np.random.default_rng(0))
    return Trainer(network, loss=TokenCrossEntropy(), optimizer=Adam(weight_decay=0.1),
                   topology=make_topology(rule), learning_rate=5e-3, batch_size=BATCH, epochs=4,
                   seed=2, threads=threads, callbacks=list(more))  # fmt: skip


def all_of(network):
    found = {}
    for name, p in network.parameters().items():
        found |= {name: p.data, **{f"{name} {slot}": value for slot, value in p.slots.items()}}
        if hasattr(p, "pattern"):
            found[f"{name} keys"] = p.pattern.keys()
    return found


def assert_same_bits(one, other):
    one, other = all_of(one), all_of(other)
    assert one.keys() == other.keys()
    assert all(np.array_equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("rule", RULES)
def test_weights_stay_as_many_and_bits_the_same(rule, tmp_path):
    trainer = make_trainer(rule)
    before, weights = all_of(trainer.network), trainer.network.nnz
    first = trainer.network.loss_and_gradients(X, Y, trainer.loss, train=False)[0]
    trainer.fit(X, Y)
    assert trainer.network.nnz == weights
    moved = [k for k, v in all_of(trainer.network).items() if k.endswith("keys")
             and not np.array_equal(v, before[k])]  # fmt: skip
    assert len(moved) > 3
    assert trainer.network.loss_and_gradients(X, Y, trainer.loss, train=False)[0] < first

    together = make_trainer(rule, threads=2).fit(X, Y)
    assert_same_bits(trainer.network, together.network)

    path = tmp_path / "run.npz"
    checkpoint = Checkpoint(path)
    checkpoint.write(make_trainer(rule, Stop(7)).fit(X, Y))
    resumed = make_trainer(rule)
    checkpoint.resume(resumed, samples=SEQUENCES)
    assert_same_bits(trainer.network, resumed.fit(X, Y).network)
