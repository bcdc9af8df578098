"""A growth rule of one's own: inputs that have many weights get more. Beside SET and RigL."""

import sys
from pathlib import Path

import numpy as np

from sparsecpu.datasets import open_data
from sparsecpu.experiments.plots.figures import figure, keep
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import mlp
from sparsecpu.schedules import cosine
from sparsecpu.step.standardising import standardise
from sparsecpu.topology import Growth, Topology, make_topology
from sparsecpu.topology.free_positions import random_free
from sparsecpu.topology.selection import smallest
from sparsecpu.trainer import Trainer

EPOCHS, BATCH, DENSITY = 12, 32, 0.02


class RichGetRicher(Topology):
    """Drop the weights nearest zero; grow at inputs in proportion to the weights they have left."""

    name = "rich"  # by this line, recipes, estimators and compare know it

    def drop(self, name, parameter, rate):
        """Return the places of the weights to drop."""
        return smallest(np.abs(parameter.data), min(int(rate * parameter.nnz), parameter.nnz - 1))

    def grow(self, name, parameter, dropped, count):
        """Return ``count`` free positions."""
        pattern, rng = parameter.pattern, self.run.rng
        left = np.delete(pattern.indices, dropped)
        share = np.bincount(left, minlength=pattern.shape[1]) + 0.1
        columns = rng.choice(pattern.shape[1], 4 * count, p=share / share.sum())
        keys = rng.integers(pattern.shape[0], size=4 * count) * pattern.shape[1] + columns
        keys = np.setdiff1d(keys, pattern.keys())  # distinct, free
        keys = rng.permutation(keys)[:count]
        missing = count - len(keys)  # in small layers
        return Growth(np.concatenate([keys, random_free(pattern, missing, rng, keys)]))


data = open_data("digits28", samples=2000)
rules = ("rich", "set", "rigl", "static")
kept = {}
print(f"{'rule':<10}{'accuracy %':>12}{'largest fan-out of a pixel':>30}{'pixels unused':>16}")
for rule in rules:
    network = mlp(784, (300, 100), 10).sparsify(DENSITY).build(np.random.default_rng(0))
    standardise(network, data.x_train, data.scaling)
    steps = -(-len(data.y_train) // BATCH) * EPOCHS
    Trainer(network, loss=SoftmaxCrossEntropy(0.1), topology=make_topology(rule),
            learning_rate=cosine(0.05, steps), batch_size=BATCH, epochs=EPOCHS, seed=0,
            threads=1).fit(data.x_train, data.y_train)  # fmt: skip
    right = network.predict(data.x_test).argmax(axis=1) == data.y_test
    kept[rule] = np.bincount(network.layers[0].weight.pattern.indices, minlength=784)
    print(
        f"{rule:<10}{100 * right.mean():>12.2f}{kept[rule].max():>30}{(kept[rule] == 0).sum():>16}"
    )

out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
fig, axes = figure(1, len(rules), figsize=(10, 3))
top = max(counts.max() for counts in kept.values())
for ax, (rule, counts) in zip(axes, kept.items(), strict=True):
    shown = ax.imshow(counts.reshape(28, 28), cmap="Blues", vmin=0, vmax=top)
    ax.set_title(rule, fontsize=11)
    ax.axis("off")
fig.colorbar(shown, ax=axes, label="weights that read the pixel", shrink=0.8)
keep(fig, out / "own_growth_rule.png")
print(f"drawn: {out / 'own_growth_rule.png'}")
