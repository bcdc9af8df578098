"""``--group`` of the commands: rows that share columns, and what is fastest here."""

import json

import numpy as np
import pytest
from commands import run

from sparsecpu.cli.inspect import examine
from sparsecpu.errors import ParameterError
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.files.model import load, save
from sparsecpu.networks import group_choice
from sparsecpu.networks.description import mlp
from sparsecpu.networks.group_choice import GroupChoice, choose_groups
from sparsecpu.networks.groups import check_group, read_group

SMALL = ("--model", "40,24", "--distribution", "uniform", "--density", 0.25, "--epochs", 3,
         "--topology", "static", "--no-dense-timing", "--threads", 1)  # fmt: skip
#: Milliseconds of three layers, so that they take 4, dense and 1.
TIMES = ({"1": 4.0, "2": 2.0, "4": 1.0, "8": 0.95, "dense": 9.0}, {"1": 2.0, "dense": 1.0},
         {"1": 1.0, "2": 1.0})  # fmt: skip


@pytest.fixture
def timed(monkeypatch):
    """Let layers take so long, one after the other; count how many were asked for."""
    asked = []

    def race(runs, *args):
        asked.append(runs)
        return TIMES[len(asked) % len(TIMES) - 1]

    monkeypatch.setattr(group_choice, "race", race)
    return asked


def groups_of(network):
    return [p.pattern.group for p in network.sparse_parameters().values()]


def test_what_a_user_may_say():
    assert read_group("4") == 4
    assert read_group(" 4, dense,1") == [4, "dense", 1]
    assert read_group("auto") == "auto"
    for bad in ("", "3", "4,", "dense", "4,auto", "4;1", 4, None):
        with pytest.raises(ParameterError, match="group"):
            read_group(bad)
    for good in (1, 8, np.int64(2), "auto", [4, "dense"], (1, 1)):
        check_group("group", good)
    with pytest.raises(ParameterError, match="--init"):
        Recipe(init="model.npz", group="4")


def test_train_says_the_group_of_each_layer():
    done = run("train", "digits", *SMALL, "--group", "4,1,2", "--quiet", "--json")
    assert [layer["group"] for layer in json.loads(done.stdout)["layers"]] == [4, 1, 2]
    assert json.loads(done.stdout)["group_choice"] is None
    done = run("train", "digits", *SMALL, "--group", 8)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][-1] == "group"
    assert [line[-1] for line in lines[1:4]] == ["8", "8", "8"]
    assert max(map(len, done.stdout.splitlines()[:6])) <= 80
    refused = run("train", "digits", *SMALL, "--group", "4,1")
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1
    assert "--group" in refused.stderr


def test_what_auto_takes_stays_with_the_run(timed, tmp_path):
    done = run("train", "digits", *SMALL, "--group", "auto", "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    told = [line for line in done.stderr.splitlines() if not line.startswith("compiling")]
    assert [line.split()[-1] for line in told[2:5]] == ["4", "dense", "1"]
    assert max(map(len, told)) <= 80
    assert len(timed) == 3
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["recipe"]["group"] == "4,dense,1"
    assert config["forms"] == {"2": "dense"}
    whole = (tmp_path / "run" / "model.npz").read_bytes()
    (tmp_path / "run" / "model.npz").unlink()
    again = run("train", "--resume", tmp_path / "run", "--quiet", "--no-dense-timing")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "run" / "model.npz").read_bytes() == whole
    elsewhere = run("train", "digits", *SMALL, "--group", "4,dense,1", "--out", tmp_path / "b")
    assert elsewhere.exit_code == 0
    assert len(timed) == 3
    one, other = (load(tmp_path / name / "model.npz")[0] for name in ("run", "b"))
    assert groups_of(one) == [4, 1, 1]
    for name, p in one.parameters().items():
        np.testing.assert_array_equal(p.data, other.parameters()[name].data)


def test_auto_is_in_the_document(timed):
    done = run("train", "digits", *SMALL, "--group", "auto", "--json", "--quiet")
    document = json.loads(done.stdout)
    assert done.stderr == ""
    assert [layer["group"] for layer in document["layers"]] == [4, 1, 1]
    choice = document["group_choice"][1]
    assert (choice["name"], choice["takes"], choice["ms"]) == ("2", "dense", TIMES[1])
    assert choice["shape"] == [24, 40]


def test_older_runs_go_on_as_rows_that_stand_alone(tmp_path):
    run("train", "digits", *SMALL, "--out", tmp_path / "run", "--quiet")
    file = tmp_path / "run" / "config.json"
    config = json.loads(file.read_text())
    assert config["recipe"].pop("group") == "1"
    file.write_text(json.dumps(config))
    whole = (tmp_path / "run" / "model.npz").read_bytes()
    (tmp_path / "run" / "model.npz").unlink()
    again = run("train", "--resume", tmp_path / "run", "--quiet", "--no-dense-timing")
    assert again.exit_code == 0, again.output
    left, right = (load(path)[0] for path in (tmp_path / "run" / "model.npz",) * 2)
    assert groups_of(left) == groups_of(right) == [1, 1, 1]
    assert len((tmp_path / "run" / "model.npz").read_bytes()) == len(whole)


def test_alike_layers_are_timed_once_and_full_ones_never(timed):
    described = mlp(40, (40, 40, 40), 10).sparsify(0.2, "uniform")
    choices = choose_groups(described, 32, 1)
    assert [choice.name for choice in choices] == ["0", "2", "4", "6"]
    assert len(timed) == 2  # the middle layers have equal sizes
    assert choose_groups(mlp(20, (10,), 5), 32, 1) == [
        GroupChoice("0", (10, 20), 1.0, 1), GroupChoice("2", (5, 10), 1.0, 1)
    ]  # fmt: skip
    assert len(timed) == 2


def test_real_layers_are_timed_in_all_groups():
    described = mlp(64, (60,), 10).sparsify(0.2, "uniform")
    for choice in choose_groups(described, 32, 1):
        assert list(choice.ms) == ["1", "2", "4", "8", "dense"]
        assert min(choice.ms.values()) > 0
        fast = [name for name, ms in choice.ms.items() if ms <= 1.1 * min(choice.ms.values())]
        assert str(choice.takes) == fast[0]
        assert choice.density == pytest.approx(0.2, abs=0.01)


def test_layers_too_large_to_be_made_are_timed_by_some_rows(timed):
    choices = choose_groups(mlp(100_000, (1_000_000,), 10).sparsify(1e-4, "uniform"), 16, 1)
    first = timed[0]
    assert "dense" not in first
    layer = first["4"][0]
    assert layer.weight.nnz < 1_100_000
    assert layer.weight.nnz / layer.out_features == pytest.approx(10, rel=0.05)
    assert choices[0].ms["1"] == pytest.approx(4.0 * 1_000_000 / layer.out_features, rel=0.01)


def test_inspect_shows_them_and_draws_them(tmp_path, rng):
    from sparsecpu.experiments.plots.patterns import local_density

    network = mlp(30, (20, 14), 7, group=4).sparsify(0.3, "uniform").build(rng)
    save(network, tmp_path / "m.npz", facts={"task": "classification", "classes": list(range(7))})
    document = examine(str(tmp_path / "m.npz"))[2]
    assert [layer["group"] for layer in document["layers"]] == [4, 4, 4]
    for layer, p in zip(document["layers"], network.sparse_parameters().values(), strict=True):
        assert layer["bytes"] < 5.5 * p.nnz + 8 * (p.shape[0] // 4 + 2) + 1
    shown = run("inspect", tmp_path / "m.npz").stdout.splitlines()
    rows = [line for line in shown if line.startswith(("0.weight", "2.weight", "4.weight"))]
    assert [line.split()[6] for line in rows] == ["4", "4", "4"]
    assert max(map(len, shown[1:])) <= 80
    picture = local_density(network.sparse_parameters()["2.weight"].pattern)
    assert picture.shape == (14, 20)
    for first in (0, 4, 8, 12):
        assert (picture[first : first + 4] == picture[first]).all()
    assert picture.sum() == network.sparse_parameters()["2.weight"].nnz


def test_import_keeps_whole_groups(tmp_path, rng, timed):
    network = mlp(30, (24,), 8).build(rng)
    save(network, tmp_path / "dense.npz")
    args = ("import", tmp_path / "dense.npz", "--out", tmp_path / "m.npz")
    done = run(*args, "--density", 0.25, "--group", 4, "--json")
    assert json.loads(done.stdout)["groups"] == {"0.weight": 4, "2.weight": 4}
    found = load(tmp_path / "m.npz")[0]
    assert groups_of(found) == [4, 4]
    assert found.density == pytest.approx(0.25, abs=0.01)
    done = run(*args, "--density", 0.25, "--distribution", "uniform", "--group", "4,2")
    assert "in groups of 2 and 4" in done.stdout
    assert groups_of(load(tmp_path / "m.npz")[0]) == [4, 2]
    done = run(*args, "--density", 0.25, "--group", "auto")
    assert done.exit_code == 0, done.output
    assert groups_of(load(tmp_path / "m.npz")[0]) == [4, 1]  # the second one would be dense
    alone = run("import", tmp_path / "m.npz", "--group", 1, "--out", tmp_path / "alone.npz")
    assert alone.exit_code == 0, alone.output
    assert groups_of(load(tmp_path / "alone.npz")[0]) == [1, 1]
    for bad in (("--group", 3), ("--group", "auto"), ("--group", "4,4,4", "--density", 0.2)):
        refused = run(*args, *bad)
        assert refused.exit_code == 2
        assert refused.stderr.startswith("sparsecpu: --group")
