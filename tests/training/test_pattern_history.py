"""Statistics of changing patterns, and outputs that come back to life."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from commands import TINY, run
from rewiring import Follow, blobs, make_network, train

from sparsecpu.experiments.plots.updates import plot_updates
from sparsecpu.layers import SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology import SET, make_topology
from sparsecpu.topology.revival import revive_outputs
from sparsecpu.trainer import Trainer
from sparsecpu.training.pattern_history import Explored, Tracker
from sparsecpu.training.spectral_gap import spectral_gap


@pytest.mark.parametrize("size", [100, 100_000])
def test_explored_positions_are_counted_once(size, rng):
    seen, ever = set(), Explored(size)
    for _ in range(30):
        keys = np.unique(rng.integers(size, size=size // 20))
        ever.add(keys)
        seen |= set(keys.tolist())
        assert ever.fraction == len(seen) / size
    assert ever.keys is None  # bits, by now
    assert ever.bits.nbytes <= size / 8 + 1


def test_statistics_are_those_of_the_patterns(rng):
    network = make_network((12, 24, 4), 0.2, rng)
    first = [p.pattern.keys() for p in network.sparse_parameters().values()]
    patterns, tracker = [], Tracker()

    def look():
        patterns.append([p.pattern for p in network.sparse_parameters().values()])

    x, y = blobs(rng)

    follow = Follow(look)
    Trainer(network, loss=SoftmaxCrossEntropy(), topology=SET(update_every=5), epochs=6,
            batch_size=16, callbacks=[tracker, follow]).fit(x, y)  # fmt: skip
    assert len(follow.reports) == 7
    for k, name in enumerate(network.sparse_parameters()):
        ever, born = set(first[k]), dict.fromkeys(first[k], 0)
        for report, now in zip(follow.reports, patterns, strict=True):
            keys = set(now[k].keys())
            ages = [report.step - born[key] for key in keys & set(born)]
            born = {key: born.get(key, report.step) for key in keys}
            ever |= keys
            found = report.layers[name]
            assert found["survivor_age"] == pytest.approx(np.mean(ages))
            assert found["explored"] == len(ever) / now[k].size
            assert found["distance"] == pytest.approx(1 - len(keys & set(first[k])) / len(first[k]))
            fan_in = np.bincount(now[k].rows(), minlength=now[k].shape[0])
            assert found["fan_in"] == [fan_in.min(), int(np.median(fan_in)), fan_in.max()]
            assert found["dead_outputs"] == (fan_in == 0).sum()
    assert follow.reports[0].layers["0.weight"]["inputs"] == patterns[0][0].fan_out.tolist()


def test_dead_outputs_come_back(rng):
    keys = np.array([0, 1, 2, 3, 14, 15])  # rows 0 and 2 of 5, 6 inputs each
    parameter = SparseParameter(Pattern.from_keys((5, 6), keys), [5, 0.1, 4, 0.3, 1, 0.2])
    assert revive_outputs(parameter, rng) == 3
    assert parameter.nnz == 6
    assert (parameter.pattern.fan_in > 0).all()
    kept = parameter.data[np.isin(parameter.pattern.keys(), keys)]
    assert sorted(kept.tolist()) == [1, 4, 5]
    assert revive_outputs(parameter, rng) == 0
    one = SparseParameter(Pattern.from_keys((4, 3), np.array([0, 1])), [1.0, 2.0])
    assert revive_outputs(one, rng) == 1  # no more to give
    assert one.nnz == 2


def test_training_with_revival_leaves_no_output_dead(rng):
    network = make_network((12, 40, 4), 0.15, rng)
    x, y = blobs(rng)

    def dead():
        return sum(int((p.pattern.fan_in == 0).sum()) for p in network.sparse_parameters().values())

    target = network.nnz
    assert dead() > 0
    seen = train(network, make_topology("set:revive=true", update_every=5), x, y, look=dead)
    assert set(seen.looks) == {0}
    assert network.nnz == target
    assert seen.reports[0].layers["0.weight"]["revived"] > 0
    assert isinstance(network.layers[0], SparseLinear)


def updates_of(folder):
    records = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [update for record in records for update in record.get("updates", [])]


def test_history_has_them_and_inspect_shows_them(tmp_path, drawn):
    folder = tmp_path / "r"
    assert run("train", "digits", *TINY, "--out", folder, "--epochs", 6).exit_code == 0
    updates = updates_of(folder)
    last = updates[-1]
    facts = last["layers"]["0.weight"]
    assert 0.1 < facts["explored"] < 1
    assert len(facts["inputs"]) == 64
    shown = run("inspect", folder).stdout
    assert "active once" in shown
    assert "inputs" not in json.loads(run("inspect", folder, "--json").stdout)["layers"][0][
        "last_update"]  # fmt: skip
    picture = tmp_path / "h.png"
    assert run("inspect", folder, "--plot-history", picture).exit_code == 0
    density, explored, *maps, bar = drawn[0].axes
    steps = [u["step"] for u in updates]
    for axis, fact in ((density, "nnz"), (explored, "explored")):
        lines = {line.get_label(): line for line in axis.lines}
        assert lines.keys() == last["layers"].keys()
        for name, line in lines.items():
            size = {"0.weight": 64 * 40, "2.weight": 40 * 10}[name] if fact == "nnz" else 1
            wanted = [u["layers"][name][fact] / size for u in updates]
            np.testing.assert_array_equal(line.get_xdata(), steps)
            np.testing.assert_allclose(line.get_ydata(), wanted)
    assert [axis.get_title() for axis in maps] == [f"step {step}" for step in steps]
    shown = maps[-1].images[0].get_array()
    np.testing.assert_array_equal(shown, np.reshape(facts["inputs"], (8, 8)))
    assert bar.get_ylabel() == "weights per input\nof 0.weight"
    assert run("inspect", folder / "model.npz", "--plot-history", picture).exit_code == 2
    first_is_fixed = [{"step": 1, "layers": {"b": {"nnz": 3}}}, {"step": 2, "layers": {}}]
    plot_updates(first_is_fixed, {"a": (2, 2), "b": (3, 3)}, (4,), picture)
    nothing, one = drawn[1].axes[0].lines
    assert (len(nothing.get_xdata()), one.get_ydata()) == (0, [3 / 9])


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (2, 9), (9, 2), (1, 5), (5, 5)])
def test_spectral_gaps_are_those_of_the_dense_matrix(shape, rng):
    pattern = Pattern.random(shape, shape[0] * shape[1] // 2, rng)
    found = spectral_gap(pattern)
    dense = np.zeros(shape)
    dense[pattern.rows(), pattern.indices] = 1
    exact = [*np.linalg.svd(dense)[1], 0.0]
    assert found["sigma1"] == pytest.approx(exact[0], abs=1e-6)
    assert found["sigma2"] == pytest.approx(exact[1], abs=1e-6)
    bound = sum(np.sqrt(max(dense.sum(axis=a).mean() - 1, 0)) for a in (0, 1))
    assert found["bound"] == pytest.approx(bound)
    assert found["margin"] == pytest.approx(bound - exact[1], abs=1e-6)


def test_spectra_of_known_graphs(rng):
    full = spectral_gap(Pattern.full((6, 4)))
    assert full["sigma1"] == pytest.approx(np.sqrt(24))
    assert full["sigma2"] == pytest.approx(0, abs=1e-6)
    blocks = spectral_gap(Pattern.from_keys((4, 4), np.array([0, 1, 4, 5, 10, 11, 14, 15])))
    assert blocks["gap"] == pytest.approx(0, abs=1e-6)  # two parts that never mix
    assert spectral_gap(Pattern.from_keys((4, 4), np.empty(0, np.int64)))["sigma1"] == 0
    random = spectral_gap(Pattern.random((400, 400), 8000, rng))
    assert 0 < random["gap"] < random["sigma1"]


def test_spectra_in_history_and_pictures(tmp_path, drawn):
    folder = tmp_path / "r"
    result = run("train", "digits", *TINY, "--out", folder, "--epochs", 4, "--spectrum")
    assert result.exit_code == 0, result.output
    updates = updates_of(folder)
    assert updates[0]["layers"]["0.weight"]["spectrum"]["gap"] > 0
    assert run("inspect", folder, "--plot-history", tmp_path / "s.png").exit_code == 0
    ratios = drawn[0].axes[2]
    assert ratios.get_ylabel() == "sigma2 over Ramanujan's bound"
    assert list(ratios.lines[-1].get_ydata()) == [1, 1]
    assert "Ramanujan" in ratios.get_title("left")
    spectra = [u["layers"]["0.weight"]["spectrum"] for u in updates]
    wanted = [s["sigma2"] / s["bound"] for s in spectra]
    np.testing.assert_allclose(ratios.lines[0].get_ydata(), wanted)
    found = json.loads(run("inspect", folder, "--spectrum", "--json").stdout)
    assert found["layers"][0]["spectrum"]["sigma1"] > found["layers"][0]["spectrum"]["sigma2"]
    assert "Ramanujan" in run("inspect", folder, "--spectrum").stdout


def test_shared_columns_are_counted_once(rng):
    """Where rows stand in groups; the weights per neuron are those of all rows."""
    p = SparseParameter(Pattern.random((12, 9), 48, rng, group=4), np.zeros(48))
    trainer = SimpleNamespace(topology=SimpleNamespace(run=SimpleNamespace(parameters={"w": p})))
    tracker, report = Tracker(), SimpleNamespace(step=5, layers={})
    tracker.on_fit_start(trainer)
    before = p.pattern
    merged = p.pattern.merge_shared([0, 7], [np.setdiff1d(np.arange(27), before.groups.keys())[0]])
    p.restore(merged.pattern, {"data": np.zeros(44)})
    tracker.on_update(trainer, report)
    found = report.layers["w"]
    assert found["survivor_age"] == 5
    assert found["explored"] == 13 / 27
    assert found["distance"] == pytest.approx(2 / 12)
    fan_in = np.bincount(p.pattern.rows(), minlength=12)
    assert found["fan_in"] == [fan_in.min(), int(np.median(fan_in)), fan_in.max()]
    assert found["inputs"] == np.bincount(p.pattern.indices, minlength=9).tolist()
    arrays = tracker.arrays()
    assert [len(arrays[f"w/{name}"]) for name in ("start", "born", "ever")] == [12, 11, 4]
    again = Tracker()
    again.load_arrays(arrays, SimpleNamespace(topology=trainer.topology, steps_done=5))
    assert again.arrays().keys() == arrays.keys()
