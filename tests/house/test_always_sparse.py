"""No dense weight, gradient or momentum ever exists: allocations are traced, not promised."""

import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import pytest

from sparsecpu.layers import ReLU, Sequential, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.optimizers import SGD
from sparsecpu.topology import DSR, SET, DeepR, GuidedStochasticExploration, RigL, SparseMomentum
from sparsecpu.trainer import Trainer

WIDTH, DENSITY, BATCH = 4000, 0.003, 16


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    return rng.standard_normal((6 * BATCH, WIDTH), dtype=np.float32), rng.integers(0, 10, 6 * BATCH)


TOPOLOGIES = {
    "window": lambda: SparseMomentum(source="window", window=3, update_every=4),
    "tiles": lambda: SparseMomentum(
        source="tiles", window=1, growth_memory=2e6, update_every=16, prune_rate=0.3
    ),
    "candidates": lambda: SparseMomentum(source="candidates", window=3, update_every=5),
    "lowrank": lambda: SparseMomentum(source="lowrank", rank=4, window=3, update_every=4),
    "proposed": lambda: SparseMomentum(
        source="candidates",
        proposal="lowrank",
        rank=4,
        window=3,
        update_every=8,
        candidate_factor=1.0,
    ),
    "set": lambda: SET(update_every=4),
    "rigl": lambda: RigL(update_every=4),
    "gse": lambda: GuidedStochasticExploration(update_every=4, subset=2.0),
    "gse-graest": lambda: GuidedStochasticExploration(update_every=4, distribution="graest"),
    "dsr": lambda: DSR(update_every=4),
    "deep-r": lambda: DeepR(update_every=4, noise=1e-2),
}


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_nothing_as_large_as_a_dense_matrix(name, samples):
    x, y = samples
    train(name, 40, x[:, :40], y)  # imports and compiles outside of the trace
    tracemalloc.start()
    updates = train(name, WIDTH, x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(updates) >= 2
    # Everything together stays below one byte per position of one layer's dense matrix.
    assert peak < WIDTH * WIDTH


def train(name, width, x, y):
    rng = np.random.default_rng(1)
    network = Sequential(
        [
            SparseLinear(width, width, density=max(DENSITY, 4 / width), rng=rng),
            ReLU(),
            SparseLinear(width, width, density=max(DENSITY, 4 / width), rng=rng),
            ReLU(),
            SparseLinear(width, 10, density=0.1, rng=rng),
        ]
    )
    updates = []

    class Count:
        def __getattr__(self, hook):
            return lambda *args: None

        def on_update(self, trainer, report):
            updates.append(report)

    Trainer(
        network,
        loss=SoftmaxCrossEntropy(),
        optimizer=SGD(0.9),
        topology=TOPOLOGIES[name](),
        learning_rate=0.01,
        batch_size=BATCH,
        epochs=6,
        callbacks=[Count()],
    ).fit(x, y)
    network.predict(x)
    return updates


def test_a_steady_step_allocates_no_arrays(samples):
    x, y = samples
    rng = np.random.default_rng(1)
    network = Sequential(
        [
            SparseLinear(WIDTH, 200, density=DENSITY, rng=rng),
            ReLU(),
            SparseLinear(200, 10, density=1.0, rng=rng),
        ]
    )
    trainer = Trainer(network, loss=SoftmaxCrossEntropy(), optimizer=SGD(0.9), batch_size=BATCH)
    source, targets = network.samples(x), trainer.loss.prepare(y, 10)
    rows = np.arange(BATCH)
    for _ in range(3):
        trainer.step(source, targets, rows)
    tracemalloc.start()
    for _ in range(5):
        trainer.step(source, targets, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The smallest array of the step, 16 samples of 10 outputs, has 640 bytes; views and Python
    # objects of a step come and go, and must not add up to the buffers (over 30 kB).
    assert peak < 12_000


def test_wide_layer_within_its_memory():
    """20,000 x 20,000 at density 0.001 trains and rewires within 150 MB above import and data."""
    script = textwrap.dedent("""
        import resource, sys, tracemalloc
        import numpy as np
        from sparsecpu import Trainer
        from sparsecpu.layers import ReLU, Sequential, SparseLinear
        from sparsecpu.losses import SoftmaxCrossEntropy
        from sparsecpu.topology import SparseMomentum
        import sparsecpu.kernels.linear, sparsecpu.kernels.tiling, scipy.linalg.blas, threadpoolctl
        import sparsecpu.kernels.loss, sparsecpu.kernels.update, scipy.sparse

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

        def run(width, density, steps):
            rng = np.random.default_rng(0)
            network = Sequential([
                SparseLinear(width, width, density=density, rng=rng), ReLU(),
                SparseLinear(width, 10, density=0.01, rng=rng)])
            updates = []
            class Count:
                def __getattr__(self, hook):
                    return lambda *args: None
                def on_update(self, trainer, report):
                    updates.append(report)
            topology = SparseMomentum(update_every=steps // 2 - 1)
            Trainer(network, loss=SoftmaxCrossEntropy(), topology=topology, batch_size=32,
                    learning_rate=0.01, epochs=steps // 4, callbacks=[Count()]).fit(x, y)
            sources = {layer["source"] for report in updates for layer in report.layers.values()}
            return network, len(updates), sources

        rng = np.random.default_rng(1)
        y = rng.integers(0, 10, 128)
        x = rng.standard_normal((128, 300), dtype=np.float32)
        run(300, 0.1, 60)  # loads the kernels, which belong to the import
        x = rng.standard_normal((128, 20_000), dtype=np.float32)
        before = peak()
        tracemalloc.start()
        network, updates, sources = run(20_000, 0.001, 60)
        traced = tracemalloc.get_traced_memory()[1]
        assert updates >= 2 and network.nnz == 400_000 + 2_000, (updates, network.nnz)
        print(traced, peak() - before, sorted(sources))
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    traced, resident = (int(word) for word in done.stdout.split()[:2])
    assert traced < 150e6
    assert resident < 150e6
    assert "candidates" in done.stdout
