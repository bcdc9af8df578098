"""Sparse-IFT in training: topology, costs, runs that go on."""

import json
import tracemalloc

import numpy as np
import pytest
from commands import run
from rewiring import Follow

from sparsecpu.experiments.comparison import Cell, Comparison
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.isoflop import (
    TRANSFORMS,
    activations,
    compare_costs,
    sparse_parallel,
    sparse_wide,
)
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import mlp
from sparsecpu.optimizers import SGD
from sparsecpu.topology import make_topology
from sparsecpu.trainer import Trainer


@pytest.mark.parametrize("algorithm", ["rigl", "sparse-momentum", "set", "gse"])
@pytest.mark.parametrize("member", TRANSFORMS)
def test_topology_works_on_all_but_what_stays_dense(member, algorithm, rng):
    described = TRANSFORMS[member](mlp(12, (16, 12), 4), 0.75)
    net = described.build(rng)
    before = {n: p.pattern for n, p in net.sparse_parameters().items()}
    target = net.nnz
    y = rng.integers(0, 4, 96)
    x = rng.standard_normal((96, 12)) + 2 * rng.standard_normal((4, 12))[y]
    follow = Follow(lambda: net.nnz)
    Trainer(net, loss=SoftmaxCrossEntropy(), topology=make_topology(algorithm, update_every=4),
            optimizer=SGD(0.9), batch_size=16, epochs=6, learning_rate=0.02,
            callbacks=[follow]).fit(x, y)  # fmt: skip
    assert set(follow.looks) == {target}
    changed = {n for n, p in net.sparse_parameters().items() if p.pattern != before[n]}
    fixed = {n for n, p in net.sparse_parameters().items() if p.fixed}
    assert changed
    assert not changed & fixed
    for name in fixed:
        assert net.sparse_parameters()[name].pattern.is_full


def test_wide_networks_stay_within_their_weights_memory():
    """784-512-512-10 at 0.9 becomes 1619 wide; the dense matrix of that is 10 MB, the weights 7."""
    dense = mlp(784, (512, 512), 10)

    def train(described):
        rng = np.random.default_rng(0)
        net = described.build(rng)
        x = rng.integers(0, 256, (96, 784), dtype=np.uint8)
        Trainer(net, loss=SoftmaxCrossEntropy(), topology=make_topology("rigl", update_every=2),
                batch_size=32, epochs=2, learning_rate=1e-3).fit(x, np.arange(96) % 10)  # fmt: skip
        return net

    # As wide as it is measured: small layers run on one thread, which other forms are compiled for.
    train(sparse_wide(dense, 0.9))
    tracemalloc.start()
    net = train(sparse_wide(dense, 0.9))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # data, gradient, momentum, transposed copy; columns, rows and order of the transposed index
    budget = 28 * net.nnz
    assert net.widths[1:3] == [1619, 1619]
    assert peak < 1.5 * budget


@pytest.mark.parametrize("algorithm", ["rigl", "sparse-momentum", "gse", "deep-r"])
def test_a_network_that_stays_dense_is_left_alone(algorithm, rng):
    net = sparse_parallel(mlp(6, (), 3), 0.5).build(rng)
    follow = Follow()
    Trainer(net, loss=SoftmaxCrossEntropy(), topology=make_topology(algorithm, update_every=2),
            optimizer=SGD(0.9), batch_size=8, epochs=2, callbacks=[follow]).fit(
        rng.standard_normal((32, 6)), np.arange(32) % 3)  # fmt: skip
    assert not follow.reports
    assert net.density == 1


def test_costs_are_measured_side_by_side(monkeypatch):
    monkeypatch.setattr("sparsecpu.networks.isoflop.costs._SECONDS", 0)
    dense = mlp(30, (40, 20), 5)
    rows, table = compare_costs(dense, sparse_wide(dense, 0.75), batch_size=16)
    assert [r["name"] for r in rows] == ["mlp", "mlp-wide-0.75"]
    assert rows[0]["flops"] == 2 * (30 * 40 + 40 * 20 + 20 * 5)
    assert rows[1]["activation_bytes"] == 4 * 16 * (80 + 40 + 5)
    assert rows[0]["weights"] == rows[0]["flops"] / 2
    assert all(r["step_ms"] > 0 for r in rows)
    assert activations(dense) == 65
    assert "mlp-wide-0.75" in table


def test_train_and_compare_take_it(tmp_path, monkeypatch):
    # Each run measures what steps cost for a second: here for the least number of steps.
    monkeypatch.setattr("sparsecpu.networks.isoflop.costs._SECONDS", 0)
    options = ("--model", "30,20", "--quiet", "--epochs", 8)
    for member in TRANSFORMS:
        result = run("train", "iris", *options, "--ift", member, "--sparsity", 0.75, "--topology",
                     "rigl", "--json", "--no-dense-timing", "--out", tmp_path / member)  # fmt: skip
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert len(found["iso_flop"]) == 2
        assert found["test_accuracy"] > 0.6
        again = run("train", "--resume", tmp_path / member, "--quiet", "--json",
                    "--no-dense-timing")  # fmt: skip
        assert json.loads(again.stdout)["test_accuracy"] == found["test_accuracy"]
    assert "MFLOPs" in run("train", "iris", *options, "--ift", "wide", "--no-dense-timing").stdout
    assert run("train", "iris", *options, "--ift", "thin").exit_code == 2
    assert run("train", "iris", *options, "--ift", "wide", "--sparsity", 1).exit_code == 2
    compared = Comparison("iris", {}, ("dense", "ift-wide", "ift-doped/set"), (0.25, 0.5), seeds=1,
                recipe=Recipe(model="30,20"))  # fmt: skip
    recipe = compared.recipe_of(Cell("ift-doped/set", 0.25, 0, 0), 0.1)
    assert (recipe.ift, recipe.sparsity, recipe.topology) == ("doped", 0.75, "set")
    assert compared.recipe_of(Cell("ift-wide", 0.5, 0, 0), 0.1).topology == "rigl"
    result = run("compare", "iris", "--methods", "dense,ift-wide", "--densities", "0.25", "--seeds",
                 1, "--folds", 2, "--learning-rates", 0.05, "--out", tmp_path / "c", *options,
                 "--json")  # fmt: skip
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("member", TRANSFORMS)
def test_resumed_runs_go_on_bit_for_bit(member, rng):
    described = TRANSFORMS[member](mlp(12, (16, 12), 4), 0.75)
    y = rng.integers(0, 4, 96)
    x = rng.standard_normal((96, 12)) + 2 * rng.standard_normal((4, 12))[y]

    def trainer(net):
        return Trainer(net, loss=SoftmaxCrossEntropy(), topology=make_topology("rigl"),
                       batch_size=16, epochs=6, learning_rate=0.02)  # fmt: skip

    whole = trainer(described.build(np.random.default_rng(0))).fit(x, y).network
    first = trainer(described.build(np.random.default_rng(0)))
    first.callbacks.append(Halt())
    first.fit(x, y)
    values, arrays = first.state()
    copied = {n: p for n, p in first.network.parameters().items()}
    rest = trainer(described.build(parameters=copied))
    for name, buffer in rest.network.buffers().items():
        buffer[...] = first.network.buffers()[name]
    rest.load_state(json.loads(json.dumps(values)), {n: a.copy() for n, a in arrays.items()}, 96)
    rest.fit(x, y)
    for ours, theirs in zip(
        rest.network.parameters().values(), whole.parameters().values(), strict=True
    ):
        np.testing.assert_array_equal(ours.data, theirs.data)


class Halt(Follow):
    """Interrupts after 20 steps."""

    def on_step(self, trainer, loss):
        trainer.interrupted = trainer.steps_done == 20

    def state(self):
        return {}

    def arrays(self):
        return {}
