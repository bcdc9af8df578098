"""Statistics of changing patterns, and outputs that come back to life."""

import json

import numpy as np
import pytest
from test_cli import TINY, run
from test_growth import Follow, train
from test_topology import blobs, make_network

from sparsecpu.csr import Pattern
from sparsecpu.layers import SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.parameters import SparseParameter
from sparsecpu.topology import SET, make_topology
from sparsecpu.topology.base import revive_outputs
from sparsecpu.tracking import Explored, Tracker
from sparsecpu.trainer import Trainer


@pytest.mark.parametrize("size", [100, 100_000])
def test_explored_positions_are_counted_once(size, rng):
    seen, ever = set(), Explored(size)
    for _ in range(30):
        keys = np.unique(rng.integers(size, size=size // 20))
        ever.add(keys)
        seen |= set(keys.tolist())
        assert ever.share == len(seen) / size
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


def test_history_has_them_and_inspect_shows_them(tmp_path):
    folder = tmp_path / "r"
    assert run("train", "digits", *TINY, "--out", folder, "--epochs", 6).exit_code == 0
    last = json.loads((folder / "history.jsonl").read_text().splitlines()[-2])["updates"][-1]
    facts = last["layers"]["0.weight"]
    assert 0.1 < facts["explored"] < 1
    assert len(facts["inputs"]) == 64
    shown = run("inspect", folder).stdout
    assert "active once" in shown
    assert "inputs" not in json.loads(run("inspect", folder, "--json").stdout)["layers"][0][
        "last_update"]  # fmt: skip
    picture = tmp_path / "h.png"
    assert run("inspect", folder, "--plot-history", picture).exit_code == 0
    assert picture.stat().st_size > 5000
    assert run("inspect", folder / "model.npz", "--plot-history", picture).exit_code == 2
