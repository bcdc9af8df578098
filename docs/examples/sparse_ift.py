"""Sparse-IFT beside dense: the same FLOPs, spent on a wider and sparser network."""

import numpy as np

from sparsecpu.datasets import open_data
from sparsecpu.isoflop import compare_costs, sparse_wide
from sparsecpu.layers import Sequential
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.models import lenet_300_100
from sparsecpu.schedules import cosine
from sparsecpu.step.standardising import standardise
from sparsecpu.topology import RigL
from sparsecpu.trainer import Trainer

EPOCHS, BATCH, SEEDS = 10, 32, 3

data = open_data("digits28", samples=1500)
dense = lenet_300_100((784,), 10)
networks = {"dense": dense} | {f"wide, sparsity {s}": sparse_wide(dense, s) for s in (0.5, 0.9)}


def accuracy(described, seed: int) -> float:
    """Train one network and return its score on the held-out digits."""
    network: Sequential = described.build(np.random.default_rng(seed))
    standardise(network, data.x_train, data.scaling)
    steps = -(-len(data.y_train) // BATCH) * EPOCHS
    Trainer(network, loss=SoftmaxCrossEntropy(0.1), topology=RigL(update_every=100),
            learning_rate=cosine(0.05, steps), batch_size=BATCH, epochs=EPOCHS, seed=seed,
            threads=1).fit(data.x_train, data.y_train)  # fmt: skip
    return float((network.predict(data.x_test).argmax(axis=1) == data.y_test).mean())


print(f"{'network':<20}{'hidden':>12}{'weights':>9}{'MFLOPs':>8}{'ms/step':>9}"
      f"{'MB act.':>9}{'accuracy %':>16}")  # fmt: skip
for name, described in networks.items():
    scores = 100 * np.array([accuracy(described, seed) for seed in range(SEEDS)])
    cost = compare_costs(dense, described, batch_size=BATCH)[0][1]
    hidden = "-".join(str(shape[0]) for shape in described.weight_shapes()[:-1])
    error = scores.std(ddof=1) / np.sqrt(SEEDS)
    print(f"{name:<20}{hidden:>12}{cost['weights']:>9,}{cost['flops'] / 1e6:>8.3f}"
          f"{cost['step_ms']:>9.3f}{cost['activation_bytes'] / 1e6:>9.2f}"
          f"{f'{scores.mean():.2f} +- {error:.2f}':>16}")  # fmt: skip
print("\nEqual FLOPs are not equal time: a sparse FLOP costs more, and activations grow.")
