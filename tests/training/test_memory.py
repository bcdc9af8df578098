"""Bytes per connection are what we say, and large patterns never exist twice."""

import tracemalloc

import numpy as np
import pytest
from click.testing import CliRunner

import sparsecpu.sparse.keys as streaming
from sparsecpu.callbacks import Callback
from sparsecpu.cli import main
from sparsecpu.errors import ConflictError, PatternError
from sparsecpu.files.model import load, save
from sparsecpu.layers import Sequential, SparseConv2d
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import mlp
from sparsecpu.networks.memory_estimate import bytes_per_connection, estimate
from sparsecpu.optimizers import SGD, Adam
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.outcome import loss_after
from sparsecpu.topology import make_topology
from sparsecpu.trainer import Trainer

INPUTS, WIDTH, NNZ, BATCH = 64, 20_000, 600_000, 16


def describe():
    described = mlp((INPUTS,), (WIDTH, WIDTH), 5)
    size = sum(a * b for a, b in described.weight_shapes())
    return described.sparsify(NNZ / size, "er")


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((4 * BATCH, INPUTS), dtype=np.float32), np.arange(4 * BATCH) % 5


def neurons(slots):
    """Bytes of what grows with neurons: indices, cuts, biases and what the optimizer keeps."""
    return (2 * WIDTH + 5 + 2 * WIDTH + INPUTS) * (16 + 4 * (2 + slots)) + 200_000


@pytest.mark.filterwarnings("ignore::sparsecpu.errors.DivergenceWarning")  # nothing can be learnt
@pytest.mark.parametrize("lean", [False, True])
@pytest.mark.parametrize("optimizer", [SGD(0.9), Adam()], ids=["momentum", "adam"])
@pytest.mark.parametrize("topology", ["gse", "set", "sparse-momentum:source=candidates,window=1"])
def test_training_keeps_no_more_than_its_budget(lean, optimizer, topology):
    x, y = data()
    slots = 2 if isinstance(optimizer, Adam) else 1
    if topology == "set" and slots == 2:
        return  # one topology with Adam will do
    rng = np.random.default_rng(0)
    described = describe()

    def trained(network):
        trainer = Trainer(
            network, loss=SoftmaxCrossEntropy(), optimizer=optimizer, epochs=1, batch_size=BATCH,
            topology=make_topology(topology, update_every=2), learning_rate=0.01, lean=lean,
            threads=1,
        )  # fmt: skip
        return trainer.fit(x, y)

    small = mlp((INPUTS,), (50, 50), 5).sparsify(0.1).build(rng)
    trained(small)  # imports and compiles outside of the trace
    tracemalloc.start()
    network = described.build(rng)
    trainer = trained(network)  # whose workspace counts
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    budget = bytes_per_connection(slots, lean=lean)
    assert budget == {(1, False): 28, (2, False): 32, (1, True): 12, (2, True): 16}[slots, lean]
    activations = 4 * BATCH * (4 * WIDTH + 2 * WIDTH + INPUTS)
    watched = 20 * 4 * NNZ if "candidates" in topology else 0  # four candidates per weight
    largest = max(p.nnz for p in network.sparse_parameters().values())
    assert trainer.network is network
    runs = 4 * min(streaming.SLAB, largest) if lean else 0
    assert held <= budget * network.nnz + neurons(slots) + activations + runs + watched
    # A change of topology and the first draw take one layer's share on top, not another network.
    assert (
        peak <= budget * network.nnz + neurons(slots) + activations + 2.2 * watched + 66 * largest
    )


def test_prediction_keeps_eight_bytes(tmp_path):
    save(describe().build(np.random.default_rng(0)), tmp_path / "m.npz")
    x, _ = data()
    network, _ = load(tmp_path / "m.npz")
    network.predict(x[:BATCH], batch_size=BATCH)  # compiles
    del network
    tracemalloc.start()
    network, _ = load(tmp_path / "m.npz")
    network.predict(x[:BATCH], batch_size=BATCH)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held <= 8 * network.nnz + neurons(0) + 200_000


def short_training(epochs, callbacks=()):
    trainer = Trainer(
        describe().build(np.random.default_rng(0)), loss=SoftmaxCrossEntropy(), epochs=epochs,
        batch_size=BATCH, learning_rate=0.01, callbacks=callbacks, threads=1,
    )  # fmt: skip
    return trainer.fit(*data())


def test_the_loss_after_training_lies_where_gradients_lay():
    trainer, (x, y) = short_training(1), data()
    samples, targets = trainer.network.samples(x), trainer.loss.prepare(y, 5)
    loss_after(trainer, samples, targets, None)  # compiles
    tracemalloc.start()
    loss_after(trainer, samples, targets, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * BATCH * WIDTH  # less than one layer's activations


def test_memory_that_was_given_back_is_taken_anew():
    class Frees(Callback):
        def on_epoch_end(self, trainer, record):
            assert trainer.contexts.workspace.nbytes > 0
            trainer.contexts.free()
            assert trainer.contexts.workspace.nbytes == 0

    alone, freed = short_training(2).network, short_training(2, [Frees()]).network
    for name, parameter in alone.parameters().items():
        np.testing.assert_array_equal(freed.parameters()[name].data, parameter.data)


def test_the_estimate_is_near():
    described = describe()
    found = estimate(described, BATCH)
    assert found.connections == 28 * NNZ
    assert estimate(described, BATCH, lean=True).connections == 12 * NNZ
    assert 4 * BATCH * 4 * WIDTH <= found.activations <= 4 * BATCH * 5 * WIDTH
    assert "MB" in str(found)
    assert found.total >= found.connections + found.activations + found.program


def test_a_run_that_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr("sparsecpu.reading.memory.free_memory", lambda: 10**9)
    done = CliRunner().invoke(main, ["train", "make:wide", "--neurons", "50000000"])
    assert done.exit_code == 2
    assert "--lean" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.fixture
def short_runs(monkeypatch):
    """Runs of rows of 50 nonzeros, so that small patterns take the path of large ones."""
    monkeypatch.setattr(streaming, "SLAB", 50)
    monkeypatch.setattr("sparsecpu.sparse.drawing.SLAB", 50)


def test_runs_of_rows_are_all_rows(short_runs):
    pattern = Pattern.random((90, 40), 700, np.random.default_rng(0))
    rows, places = zip(*pattern.slabs(), strict=True)
    assert [r.start for r in rows[1:]] == [r.stop for r in rows[:-1]]
    assert (rows[0].start, rows[-1].stop, places[-1].stop) == (0, 90, 700)
    assert max(p.stop - p.start for p in places) <= 50


@pytest.mark.parametrize("shape", [(300, 200), (1, 4000), (4000, 1), (7, 900)])
def test_large_patterns_are_uniform_and_exact(short_runs, shape):
    nnz, counts = 400, np.zeros(shape)
    for seed in range(200):
        pattern = Pattern.random(shape, nnz, np.random.default_rng(seed))
        assert pattern.nnz == nnz
        Pattern(shape, pattern.indptr, pattern.indices)  # is valid
        counts.reshape(-1)[pattern.keys()] += 1
    expected = 200 * nnz / counts.size
    assert counts.sum() == 200 * nnz
    halves = counts.reshape(-1)[: counts.size // 2].sum() / 200
    assert abs(halves - nnz / 2) < 5  # 200 draws: a standard error of 0.7
    assert np.abs(counts - expected).max() < 7 * np.sqrt(expected) + 3


def test_merging_run_by_run_is_merging_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    pattern = Pattern.random((60, 50), 900, rng)
    drop = rng.choice(900, 300, replace=False)
    new = rng.permutation(np.setdiff1d(np.arange(3000), pattern.keys()))[:300]
    new = np.concatenate([new, pattern.keys()[drop[:20]]])  # some come back
    whole = pattern.merge(drop, new)
    monkeypatch.setattr(streaming, "SLAB", 37)
    parts = pattern.merge(drop, new)
    assert whole.pattern == parts.pattern
    for name in ("kept", "kept_at", "new_at"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    assert set(parts.pattern.keys()) == (set(np.delete(pattern.keys(), drop)) | set(new))
    keys = np.sort(rng.choice(3000, 200, replace=False))
    np.testing.assert_array_equal(pattern.contains(keys), np.isin(keys, pattern.keys()))
    with pytest.raises(PatternError):
        pattern.merge(drop[:1], pattern.keys()[5:6] if drop[0] != 5 else pattern.keys()[6:7])


def test_lean_training_is_training(short_runs):
    x, y = data()

    def trained(lean, optimizer, batch):
        network = mlp((INPUTS,), (80, 70), 5).sparsify(0.1).build(
            np.random.default_rng(0), dtype=np.float64
        )  # fmt: skip
        Trainer(
            network, loss=SoftmaxCrossEntropy(), optimizer=optimizer, epochs=3, batch_size=batch,
            topology=make_topology("gse", update_every=3), learning_rate=0.05, lean=lean,
            layer_rates={"0": 0.5},
        ).fit(x, y)  # fmt: skip
        return network

    for batch in (BATCH, 40):  # one tile, and three
        for make in (lambda: SGD(0.9, weight_decay=1e-3), lambda: SGD(0.0), Adam):
            one, other = (trained(lean, make(), batch) for lean in (False, True))
            for name, parameter in one.parameters().items():
                found = other.parameters()[name]
                np.testing.assert_allclose(found.data, parameter.data, atol=1e-11)
            weight = other.sparse_parameters()["0.weight"]
            assert "grad" not in weight.vectors()
            assert not weight.holds_transposed


def test_lean_training_does_not_depend_on_threads():
    x, y = data()
    found = []
    for threads in (1, 2):
        network = mlp((INPUTS,), (80, 70), 5).sparsify(0.1).build(np.random.default_rng(0))
        Trainer(
            network, loss=SoftmaxCrossEntropy(), epochs=2, batch_size=BATCH, lean=True,
            threads=threads,
        ).fit(x, y)  # fmt: skip
        found.append([p.data for p in network.parameters().values()])
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_lean_training_refuses_what_it_cannot():
    conv = Sequential([SparseConv2d(1, 2, 3)], (1, 5, 5))
    with pytest.raises(ConflictError, match="lean"):
        Trainer(conv, loss=SoftmaxCrossEntropy(), lean=True)
    network = describe().build(np.random.default_rng(0))
    with pytest.raises(ConflictError, match="rigl"):
        Trainer(network, loss=SoftmaxCrossEntropy(), lean=True, topology=make_topology("rigl"))
