"""Going on from networks that are there already, and pruning on the way."""

import json

import numpy as np
import pytest
from commands import run

from sparsecpu import Trainer, load, save
from sparsecpu.errors import DataError, FileFormatError, ParameterError
from sparsecpu.files.fine_tuning import last_weighted_layer, start_from
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import mlp
from sparsecpu.networks.models import find_model
from sparsecpu.optimizers import SGD
from sparsecpu.schedules import cubic
from sparsecpu.topology import GradualPruning


@pytest.fixture
def samples(rng):
    y = rng.integers(0, 3, 96)
    return rng.standard_normal((96, 12)) + 2 * np.eye(12)[y], y


class Updates:
    """Keeps the reports."""

    def __init__(self):
        self.reports = []

    def __getattr__(self, hook):
        return lambda *args: None

    def on_update(self, trainer, report):
        self.reports.append(report)

    def state(self):
        return {}

    def arrays(self):
        return {}


def trainer_of(network, **options):
    return Trainer(network, loss=SoftmaxCrossEntropy(), batch_size=16, learning_rate=0.05,
                   **options)  # fmt: skip


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_gradual_pruning_against_masks(scope, samples, rng):
    """Step by step beside a dense network whose weights are masked."""
    x, y = samples
    network = mlp(12, (20, 9), 3).build(rng, dtype=np.float64)
    dense = [layer.weight.to_scipy().toarray() for layer in network.layers[::2]]
    biases = [layer.bias.data.copy() for layer in network.layers[::2]]
    masks = [np.ones_like(w, dtype=bool) for w in dense]
    start = [w.size for w in dense]
    topology = GradualPruning(density=0.3, scope=scope, begin=0.1, end=0.6, update_every=3)
    kept = Updates()
    trainer = trainer_of(network, optimizer=SGD(0.0), topology=topology, epochs=8, callbacks=[kept])
    source, targets = network.samples(x), trainer.loss.prepare(y, 3)
    trainer.start(len(x))
    total, shapes = 8 * 6, [w.shape for w in dense]
    for step in range(total):
        rows = np.random.default_rng(step).permutation(96)[:16]
        trainer.step(source, targets, rows)
        hidden = [x[rows]]
        for w, b in zip(dense, biases, strict=True):
            z = hidden[-1] @ w.T + b
            hidden.append(np.maximum(z, 0))
        p = np.exp(z - z.max(1, keepdims=True))
        dz = (p / p.sum(1, keepdims=True) - np.eye(3)[y[rows]]) / 16
        for i in reversed(range(3)):
            dw, db = dz.T @ hidden[i], dz.sum(0)
            dz = dz @ dense[i] * (hidden[i] > 0)
            dense[i] -= 0.05 * dw * masks[i]
            biases[i] -= 0.05 * db
        if (step + 1) % 3 == 0 and step + 1 < total:
            gone = min(max(step + 1 - 5, 0) / (29 - 5), 1)
            whole = [sum(start)] if scope == "global" else start
            goals = [round(0.3 * n) + (n - round(0.3 * n)) * (1 - gone) ** 3 for n in whole]
            if scope == "global":
                flat = np.concatenate([np.abs(w[m]) for w, m in zip(dense, masks, strict=True)])
                edge = np.sort(flat)[len(flat) - round(goals[0])]
                masks = [m & (np.abs(w) >= edge) for w, m in zip(dense, masks, strict=True)]
            else:
                for i, goal in enumerate(goals):
                    edge = np.sort(np.abs(dense[i][masks[i]]))[masks[i].sum() - round(goal)]
                    masks[i] &= np.abs(dense[i]) >= edge
            dense = [w * m for w, m in zip(dense, masks, strict=True)]
        for layer, w, m, shape in zip(network.layers[::2], dense, masks, shapes, strict=True):
            pattern = layer.weight.pattern
            there = np.zeros(shape, dtype=bool)
            there[pattern.rows(), pattern.indices] = True
            np.testing.assert_array_equal(there, m)
            np.testing.assert_allclose(layer.weight.data, w[m], rtol=1e-9, atol=1e-12)
    assert network.nnz == sum(m.sum() for m in masks)
    if scope == "global":
        assert network.nnz == round(0.3 * network.size)
    counts = [sum(layer["nnz"] for layer in r.layers.values()) for r in kept.reports]
    assert counts == sorted(counts, reverse=True)


def test_the_cubic_schedule():
    falling = cubic(1.0, 0.1, 100, 300)
    assert [falling(t) for t in (0, 100, 300, 999)] == [1.0, 1.0, 0.1, 0.1]
    assert falling(200) == pytest.approx(0.1 + 0.9 / 8)


def test_gradual_pruning_keeps_a_weight_per_layer(samples, rng):
    x, y = samples
    for scope in ("global", "layer"):
        network = mlp(12, (20,), 3).build(rng)
        trainer_of(network, topology=GradualPruning(density=1e-6, scope=scope), epochs=4).fit(x, y)
        assert [layer.weight.nnz for layer in network.layers[::2]] == [1, 1]
    for bad in (dict(density=0), dict(scope="x"), dict(begin=0.8, end=0.5), dict(end=1.5),
                dict(begin=-0.1), dict(begin=0.5, end=0.5), dict(density=1.1)):  # fmt: skip
        with pytest.raises(ParameterError):
            GradualPruning(**bad)


def test_layers_have_rates_of_their_own(samples, rng):
    x, y = samples
    networks = [mlp(12, (8,), 3).sparsify(0.5).build(np.random.default_rng(0)) for _ in range(3)]
    first = [network.layers[0].weight.data.copy() for network in networks]
    rates = [None, {"0": 0.0}, {"2": 0.5}]
    for network, layer_rates in zip(networks, rates, strict=True):
        trainer = trainer_of(network, optimizer=SGD(0.0), layer_rates=layer_rates)
        source, targets = network.samples(x), trainer.loss.prepare(y, 3)
        trainer.step(source, targets, np.arange(16))
    moved = [n.layers[0].weight.data - w for n, w in zip(networks, first, strict=True)]
    assert np.abs(moved[0]).max() > 0
    np.testing.assert_array_equal(moved[1], 0)
    np.testing.assert_array_equal(moved[2], moved[0])
    last = [n.layers[2].bias.data for n in networks]  # biases start at 0
    np.testing.assert_array_equal(last[1], last[0])
    np.testing.assert_allclose(last[2], 0.5 * last[0], rtol=1e-6)
    for bad in ({"1": 1.0}, {"0": -1.0}, {"x": 1.0}):
        with pytest.raises(ParameterError):
            trainer_of(networks[0], layer_rates=bad)


def test_start_from_a_model(tmp_path, rng):
    described = find_model("resnet-8")((1, 8, 8), 4, width=0.25).sparsify(0.4)
    network = described.build(rng)
    for buffer in network.buffers().values():
        buffer[...] = rng.random(buffer.shape)
    network.offset, network.scale = rng.random((2, 64)).astype(np.float32)
    save(network, tmp_path / "m.npz")
    path = str(tmp_path / "m.npz")
    x = rng.random((3, 1, 8, 8), dtype=np.float32)
    same = start_from(path, (64,), 4, 0)
    np.testing.assert_array_equal(same.predict(x), network.predict(x))
    for outputs in (7, 4):
        other = start_from(path, (1, 8, 8), outputs, 0, new_head=True)
        head = last_weighted_layer(other)
        assert other.n_outputs == other.architecture.widths()[-1] == outputs
        old = network.parameters()[f"{head}.weight"]
        assert other.parameters()[f"{head}.weight"].density == pytest.approx(old.density, abs=0.1)
        for name, p in network.parameters().items():
            if not name.startswith(f"{head}."):
                np.testing.assert_array_equal(other.parameters()[name].data, p.data)
        for name, buffer in network.buffers().items():
            np.testing.assert_array_equal(other.buffers()[name], buffer)
        np.testing.assert_array_equal(other.scale, network.scale)
    with pytest.raises(DataError):
        start_from(path, (65,), 4, 0)
    with pytest.raises(FileFormatError):
        start_from(str(tmp_path / "none.npz"), (64,), 4, 0)


def test_training_goes_on_from_the_command_line(tmp_path):
    common = ("--quiet", "--no-dense-timing", "--json", "--threads", 1)
    out = tmp_path / "first"
    result = run("train", "digits", "--model", "30", "--epochs", 3, "--out", out, *common)
    assert result.exit_code == 0, result.output
    before = json.loads(result.stdout)
    args = ("train", "digits", "--init", out, "--topology", "static", "--epochs", 2, *common)
    result = run(*args, "--learning-rate", 0.01, "--out", tmp_path / "second")
    assert result.exit_code == 0, result.output
    after = json.loads(result.stdout)
    assert after["test_accuracy"] > before["test_accuracy"] - 0.05
    one, two = load(out / "model.npz")[0], load(tmp_path / "second" / "model.npz")[0]
    for name, p in one.sparse_parameters().items():
        np.testing.assert_array_equal(
            p.pattern.indices, two.sparse_parameters()[name].pattern.indices
        )
    result = run(*args, "--layer-rates", "0=0,head=2")
    assert result.exit_code == 0, result.output
    result = run("train", "iris", "--init", out, *common)  # other samples
    assert result.exit_code == 2
    for bad in (("--layer-rates", "x"), ("--layer-rates", "9=1"), ("--init", tmp_path / "no")):
        assert run("train", "digits", "--init", out, *common, *bad).exit_code == 2
    result = run("train", "digits", "--model", "30", "--density", 1, "--epochs", 4, "--topology",
                 "gradual:density=0.05", *common)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["density"] == pytest.approx(0.05, abs=1e-3)


def test_a_run_with_a_start_is_resumed(tmp_path):
    common = ("--quiet", "--no-dense-timing", "--threads", 1)
    start = tmp_path / "start"
    assert run("train", "digits", "--model", "20", "--epochs", 1, "--out", start,
               *common).exit_code == 0  # fmt: skip
    args = ("train", "digits", "--init", start, "--new-head", "--epochs", 3, *common)
    assert run(*args, "--out", tmp_path / "whole").exit_code == 0
    assert run(*args, "--out", tmp_path / "part").exit_code == 0
    (tmp_path / "part" / "model.npz").unlink()
    (start / "model.npz").rename(tmp_path / "elsewhere.npz")  # the checkpoint has it all
    assert run("train", "--resume", tmp_path / "part", *common).exit_code == 0
    whole, part = (load(tmp_path / n / "model.npz")[0] for n in ("whole", "part"))
    for name, p in whole.parameters().items():
        np.testing.assert_array_equal(p.data, part.parameters()[name].data)


def test_forms_are_kept_with_a_run(tmp_path, monkeypatch):
    from sparsecpu.layers.network import autotune

    monkeypatch.setattr(autotune, "race", lambda *args: {"sparse": 2.0, "dense": 1.0})
    common = ("--no-dense-timing", "--threads", 1)
    out = tmp_path / "run"
    result = run("train", "digits", "--model", "20", "--epochs", 3, "--autotune", "--out", out,
                 *common)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "autotune: 0 20x64" in result.stderr
    assert json.loads((out / "config.json").read_text())["forms"] == {"0": "dense", "2": "dense"}
    whole = (out / "model.npz").read_bytes()
    (out / "model.npz").unlink()
    assert run("train", "--resume", out, "--quiet", *common).exit_code == 0
    assert (out / "model.npz").read_bytes() == whole
