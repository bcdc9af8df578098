"""Whole runs: what a deciding batch trains, threads, resuming."""

import json

import numpy as np
import pytest
from rewiring import blobs, make_network, train

from sparsecpu.callbacks import Callback
from sparsecpu.layers import Flatten, ReLU, Sequential, SparseConv2d, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.optimizers import SGD
from sparsecpu.topology import (
    DSR,
    DeepR,
    GuidedStochasticExploration,
    RigL,
    SparseMomentum,
)
from sparsecpu.topology.deep_r import signs
from sparsecpu.trainer import Trainer
from sparsecpu.training.pattern_history import Tracker


def test_a_batch_that_decides_trains_nothing(rng):
    x, y = blobs(rng)

    def biases(skip):
        network = make_network((12, 24, 4), 0.25, np.random.default_rng(0))
        looks = []
        topology = RigL(update_every=3, skip_step=skip)
        seen = train(network, topology, x, y, epochs=1, look=lambda: looks.append(1))
        assert len(seen.reports) == 1
        return [p.data.copy() for n, p in network.parameters().items() if n.endswith("bias")]

    assert not np.array_equal(biases(True)[0], biases(False)[0])


def test_global_gse_moves_weights_between_layers(rng):
    network = make_network((12, 40, 30, 4), 0.2, rng)
    before, x, y = [p.nnz for p in network.sparse_parameters().values()], *blobs(rng)
    seen = train(network, GuidedStochasticExploration(scope="global", update_every=2), x, y,
                 look=lambda: network.nnz)  # fmt: skip
    assert set(seen.looks) == {sum(before)}
    assert [p.nnz for p in network.sparse_parameters().values()] != before


def test_deep_r_keeps_signs_and_rewires_what_crosses_zero(rng):
    network = make_network((12, 40, 30, 4), 0.2, rng)
    x, y = blobs(rng)
    topology = DeepR(update_every=1, noise=1e-2, shrinkage=1e-3)

    def look():
        for name, p in network.sparse_parameters().items():
            theta = p.data * signs(topology.salts[name], p.pattern.keys())
            assert (theta > 0).all()
        return network.nnz

    target = network.nnz
    seen = train(network, topology, x, y, look=look)
    assert set(seen.looks) == {target}
    assert len(seen.reports) == 35
    assert sum(f["dropped"] for r in seen.reports for f in r.layers.values()) > 20
    drawn = signs(7, np.arange(100_000))
    assert set(drawn) == {-1.0, 1.0}
    assert abs(drawn.mean()) < 0.02
    assert abs((drawn[1:] * drawn[:-1]).mean()) < 0.02
    assert abs((drawn * signs(8, np.arange(100_000))).mean()) < 0.02


def images(rng, samples=48):
    y = rng.integers(0, 4, samples)
    x = rng.standard_normal((samples, 3, 6, 6)).astype(np.float32)
    x += 2 * rng.standard_normal((4, 3, 6, 6)).astype(np.float32)[y]
    return x.reshape(samples, -1), y


@pytest.mark.parametrize(
    "topology",
    [
        lambda: RigL(update_every=2),
        lambda: GuidedStochasticExploration(update_every=2, distribution="graest"),
        lambda: GuidedStochasticExploration(update_every=2, distribution="grabo", scope="global"),
        lambda: DSR(update_every=2, threshold=0.05),
        lambda: DeepR(update_every=2, noise=1e-2),
        lambda: SparseMomentum(update_every=4, growth="random", pruning="global"),
        lambda: SparseMomentum(update_every=6, source="candidates", proposal="lowrank", window=2),
    ],
)
@pytest.mark.parametrize("group", [1, 4])
def test_same_bits_on_any_number_of_threads(topology, group):
    """Filters and full matrices, one and two threads; nnz is kept."""

    def run(threads):
        rng = np.random.default_rng(0)
        network = Sequential(
            [SparseConv2d(3, 8, 3, padding=1, density=0.3, rng=rng), ReLU(), Flatten(),
             SparseLinear(288, 26, density=0.1, rng=rng, group=group), ReLU(),
             SparseLinear(26, 4, density=0.5, rng=rng)], (3, 6, 6),
        )  # fmt: skip
        target = network.nnz
        seen = train(network, topology(), *images(rng), threads=threads, batch_size=20,
                     look=lambda: network.nnz)  # fmt: skip
        assert set(seen.looks) == {target}
        assert sum(f["grown"] for r in seen.reports for f in r.layers.values()) > 5
        return network

    one, two = run(1), run(2)
    for a, b in zip(one.parameters().values(), two.parameters().values(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.parametrize(
    "topology",
    [
        lambda: RigL(update_every=5),
        lambda: GuidedStochasticExploration(update_every=5, distribution="graest", scope="global"),
        lambda: DSR(update_every=5, threshold=0.02),
        lambda: DeepR(update_every=5, noise=1e-2),
        lambda: SparseMomentum(update_every=5, source="lowrank", rank=2, window=7),
        lambda: SparseMomentum(update_every=8, source="tiles", window=2, growth_memory=2000),
        lambda: SparseMomentum(
            update_every=8, source="candidates", proposal="lowrank", rank=2, window=3
        ),
    ],
)
@pytest.mark.parametrize("group", [1, 4])
def test_resumed_runs_go_on_bit_for_bit(topology, group, rng):
    """Broken off after 21 of 48 steps, between two updates, and taken up by a new trainer."""
    x, y = blobs(rng)

    def made():
        network = make_network((12, 26, 19, 4), 0.25, np.random.default_rng(0), group=group)
        return Trainer(network, loss=SoftmaxCrossEntropy(), topology=topology(), batch_size=16,
                       optimizer=SGD(0.9), epochs=8, callbacks=[Tracker()])  # fmt: skip

    whole, broken = made().fit(x, y), made()

    class Stop(Callback):
        def on_step(self, trainer, loss):
            trainer.interrupted = trainer.steps_done == 21

    broken.callbacks.append(Stop())
    broken.fit(x, y)
    assert broken.steps_done == 21
    values, arrays = broken.state()
    arrays = {name: array.copy() for name, array in arrays.items()}
    follower = made()
    for ours, theirs in zip(follower.network.parameters().values(),
                            broken.network.parameters().values(), strict=True):  # fmt: skip
        if hasattr(ours, "pattern"):
            ours.rewire(np.arange(ours.nnz), theirs.pattern.rows(), theirs.pattern.indices)
        ours.data[:] = theirs.data
        ours.touch() if hasattr(ours, "touch") else None
    follower.load_state(json.loads(json.dumps(values)), arrays, len(x))
    follower.fit(x, y)
    for ours, theirs in zip(follower.network.parameters().values(),
                            whole.network.parameters().values(), strict=True):  # fmt: skip
        np.testing.assert_array_equal(ours.data, theirs.data)
    ages = [t.callbacks[0].arrays() for t in (follower, whole)]
    for name, array in ages[0].items():
        np.testing.assert_array_equal(array, ages[1][name])
