"""Bytes per connection where rows stand in groups: what training and prediction really hold."""

import gc
import tracemalloc

import numpy as np
import pytest

from sparsecpu.experiments.memory import need_of
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.files.model import load, save
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import mlp
from sparsecpu.networks.memory_estimate import bytes_per_connection, estimate
from sparsecpu.optimizers import SGD, Adam
from sparsecpu.topology import make_topology
from sparsecpu.trainer import Trainer

INPUTS, WIDTH, BATCH = 64, 3000, 16
#: Weights of two networks, whose difference is that of their weights alone.
FEW, MANY = 150_000, 450_000


def described(nnz, group=4):
    dense = mlp((INPUTS,), (WIDTH, WIDTH), 5)
    size = sum(a * b for a, b in dense.weight_shapes())
    return dense.sparsify(nnz / size, "uniform").in_groups(group)


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((4 * BATCH, INPUTS), dtype=np.float32), np.arange(4 * BATCH) % 5


def held_per_connection(make):
    """How much more memory a larger network holds, for each weight more."""
    make(FEW)  # imports and compiles outside of the trace
    counts, held = [], []
    for nnz in (FEW, MANY):
        gc.collect()
        tracemalloc.start()
        kept = make(nnz)
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        counts.append(kept[0].nnz)
    return (held[1] - held[0]) / (counts[1] - counts[0])


@pytest.mark.filterwarnings("ignore::sparsecpu.errors.DivergenceWarning")  # nothing can be learnt
@pytest.mark.parametrize("topology", ["static", "set", "rigl", "gse"])
@pytest.mark.parametrize(("lean", "optimizer", "expected"), [
    (False, SGD(0.9), 13), (False, Adam(), 17), (True, SGD(0.9), 9),
])  # fmt: skip
def test_training_holds_a_column_once_per_group(topology, lean, optimizer, expected, monkeypatch):
    monkeypatch.setattr("sparsecpu.layers.linear_ways.lean_groups.SLAB", 10_000)
    if topology != "static" and (lean or expected == 17):
        return  # one topology with each will do
    x, y = data()
    assert bytes_per_connection(optimizer.slots_per_weight, lean=lean, group=4) == expected

    def trained(nnz):
        network = described(nnz).build(np.random.default_rng(0))
        options = {} if topology == "static" else {"update_every": 2}
        trainer = Trainer(
            network, loss=SoftmaxCrossEntropy(), optimizer=optimizer, epochs=1, batch_size=BATCH,
            topology=make_topology(topology, **options), learning_rate=1e-3, lean=lean, threads=1,
        )  # fmt: skip
        return network, trainer.fit(x, y)

    assert held_per_connection(trained) == pytest.approx(expected, abs=0.3)


def test_prediction_holds_five_bytes(tmp_path):
    x = data()[0][:BATCH]
    for nnz in (FEW, MANY):
        save(described(nnz).build(np.random.default_rng(0)), tmp_path / f"{nnz}.npz")

    def predicted(nnz):
        network = load(tmp_path / f"{nnz}.npz")[0]
        network.predict(x, batch_size=BATCH)
        return network, None

    assert held_per_connection(predicted) == pytest.approx(5, abs=0.3)


def test_the_estimate_knows_groups():
    for group, each in ((1, 28), (2, 14), (4, 13), (8, 12.5)):
        assert estimate(described(FEW, group), BATCH).connections == pytest.approx(
            each * FEW, rel=1e-3
        )
        lean = estimate(described(FEW, group), BATCH, lean=True).connections
        assert lean == pytest.approx((8 + 4 / group) * FEW, rel=1e-3)
    mixed = described(FEW, [1, 8, 1])  # most weights are in the middle
    assert 12.5 * FEW < estimate(mixed, BATCH).connections < 14 * FEW
    full = mlp(30, (20,), 5, group=4)  # which has none
    assert estimate(full, BATCH) == estimate(full.in_groups(1), BATCH)
    needs = [need_of(Recipe(topology="static"), described(MANY, g), 100).total for g in (1, 4)]
    assert needs[0] - needs[1] > 14 * MANY
