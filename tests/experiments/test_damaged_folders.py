"""Folders of runs and of comparisons that were damaged: one line, exit code 2, no other word."""

import json
import shutil

import pytest
from commands import run

from sparsecpu.files.archive import read_arrays, write_arrays

SMALL = ["--model", "6", "--density", 0.5, "--quiet"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "r"
    result = run("train", "iris", *SMALL, "--epochs", 3, "--no-dense-timing", "--out", folder,
                 "--topology", "set", "--update-every", 2, "--spectrum")  # fmt: skip
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "r")


def refused(*args):
    """Assert that a command ends with one line and exit code 2; return the line."""
    result = run(*args)
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("sparsecpu: "), result.stderr
    return result.stderr


def rewritten(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


CONFIGS = {
    "no table": "[]",
    "cut off": '{"data": "iris", ',
    "too deep": "[" * 5000,
    "not utf-8": b"\xff\xfe{}",
    "recipe of text": lambda c: c.update(recipe="x"),
    "a field is missing": lambda c: c["recipe"].pop("seed"),
    "a field too many": lambda c: c["recipe"].update(more=1),
    "a number as text": lambda c: c["recipe"].update(epochs="3"),
    "a number too large": lambda c: c["recipe"].update(learning_rate=10**400),
    "NaN": lambda c: c["recipe"].update(momentum=float("nan")),
    "null": lambda c: c["recipe"].update(weight_decay=None),
    "a list": lambda c: c["recipe"].update(topology=["set"]),
    "out of range": lambda c: c["recipe"].update(density=7),
    "no such model": lambda c: c["recipe"].update(model="x"),
    "reading of nothing": lambda c: c.update(reading=None),
    "samples of text": lambda c: c["reading"].update(samples="9"),
    "another task": lambda c: c["reading"].update(task="guess"),
    "data with a zero byte": lambda c: c.update(data="iris\0"),
    "data of a list": lambda c: c.update(data=["iris"]),
    "another fingerprint": lambda c: c.update(fingerprint=3),
    "forms of nothing": lambda c: c.update(forms={"9": "dense"}),
    "a form of text": lambda c: c.update(forms={"0": "wide"}),
    "another recipe": lambda c: c["recipe"].update(learning_rate=0.5),
    "more epochs": lambda c: c["recipe"].update(epochs=4),
    "fewer epochs": lambda c: c["recipe"].update(epochs=1),
    "versions of numbers": lambda c: c.update(versions={"numpy": 2}),
    "an unknown entry": lambda c: c.update(more=1),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_damaged_configuration(name, folder):
    change, path = CONFIGS[name], folder / "config.json"
    if callable(change):
        rewritten(path, change)
    else:
        path.write_bytes(change if isinstance(change, bytes) else change.encode())
    refused("train", "--resume", folder)


HISTORIES = {
    "not JSON": lambda lines: [*lines[:1], "{", *lines[1:]],
    "a number": lambda lines: ["3", *lines],
    "an epoch of text": lambda lines: [lines[0].replace('"epoch": 1', '"epoch": "1"'), *lines[1:]],
    "an epoch twice": lambda lines: [lines[0], *lines],
    "an epoch is missing": lambda lines: [lines[0], lines[2]],
    "the last is missing": lambda lines: lines[:2],
    "nothing": lambda lines: [],
    "updates of nothing": lambda lines: [json.dumps({"epoch": 1, "updates": [{}]}), *lines[1:]],
    "layers of text": lambda lines: [
        json.dumps({"epoch": 1, "updates": [{"step": 1, "prune_rate": 0, "layers": {"0": "x"}}]}),
        *lines[1:],
    ],
    "too deep": lambda lines: ["[" * 10_000, *lines],
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_damaged_history(name, folder):
    path = folder / "history.jsonl"
    lines = HISTORIES[name](path.read_text().splitlines())
    path.write_text("".join(line + "\n" for line in lines))
    assert "history.jsonl" in refused("train", "--resume", folder)
    if name not in ("the last is missing", "nothing"):  # which only a resumed run must know
        refused("inspect", folder)


def test_a_history_of_another_network_is_not_drawn(folder):
    path = folder / "history.jsonl"
    path.write_text(path.read_text().replace('"inputs": [', '"inputs": [1, '))
    refused("inspect", folder, "--plot-history", folder / "h.png")


def test_without_a_history_or_with_a_last_line_cut_off_a_run_goes_on(folder):
    path = folder / "history.jsonl"
    with path.open("a") as file:
        file.write('{"epoch": 4, "lo')
    assert run("inspect", folder).exit_code == 0
    assert run("train", "--resume", folder, "--quiet", "--no-dense-timing").exit_code == 0
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2, 3]
    path.unlink()
    assert run("train", "--resume", folder, "--quiet", "--no-dense-timing").exit_code == 0
    assert not path.read_text()


def rewrite(path, change):
    header, arrays = read_arrays(path)
    arrays = dict(arrays)
    change(header, arrays)
    write_arrays(path, header, arrays)


CHECKPOINTS = {
    "no trainer": lambda h, a: h["facts"].pop("trainer"),
    "a trainer of text": lambda h, a: h["facts"].update(trainer="x"),
    "a position of the past": lambda h, a: h["facts"]["trainer"].update(position=-40),
    "another network": lambda h, a: h["architecture"].update(name="x"),
    "a slot is missing": lambda h, a: a.pop("extra/slot/0.weight/momentum"),
    "without a recipe": lambda h, a: h["facts"].pop("recipe"),
    "of other data": lambda h, a: h["facts"].update(data="wine"),
    "a scale of NaN": lambda h, a: a.update({"input.scale": a["input.scale"] * float("nan")}),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_damaged_checkpoint(name, folder):
    rewrite(folder / "checkpoint.npz", CHECKPOINTS[name])
    before = (folder / "history.jsonl").read_bytes()
    assert "checkpoint.npz" in refused("train", "--resume", folder)
    assert (folder / "history.jsonl").read_bytes() == before


def test_models_that_would_predict_the_first_class_always_are_refused(folder):
    """So NaN does: argmax takes the first."""
    rewrite(folder / "model.npz", CHECKPOINTS["a scale of NaN"])
    for command in (("evaluate", folder, "iris"), ("predict", folder, "iris"), ("inspect", folder)):
        assert "model.npz" in refused(*command)


def test_facts_of_users_do_not_stop_inspect(folder):
    rewrite(folder / "model.npz", lambda h, a: h["facts"].update(metrics={"loss": "good", "n": 3}))
    assert "loss: good" in run("inspect", folder).stdout
    rewrite(folder / "model.npz", lambda h, a: h["facts"].update(metrics="good"))
    assert run("inspect", folder).exit_code == 0


def test_versions_stand_in_the_configuration_and_not_in_the_model(folder, finished, monkeypatch):
    """What is installed between a kill and a resume changes no byte of the model."""
    import sparsecpu.bench

    header = read_arrays(finished / "model.npz")[0]
    assert "versions" not in json.dumps(header)
    assert "numpy" in json.loads((finished / "config.json").read_text())["versions"]
    (folder / "model.npz").unlink()
    monkeypatch.setattr(sparsecpu.bench, "versions", lambda: {"numpy": "99"})
    assert run("train", "--resume", folder, "--quiet", "--no-dense-timing").exit_code == 0
    assert (folder / "model.npz").read_bytes() == (finished / "model.npz").read_bytes()
    # Models of older versions have them in their header, and configurations have none.
    rewrite(folder / "model.npz", lambda h, a: h["facts"].update(versions={"numpy": "1"}))
    assert run("evaluate", folder, "iris").exit_code == 0
    rewritten(folder / "config.json", lambda c: [c.pop(n) for n in ("versions", "spectrum")])
    assert run("train", "--resume", folder, "--quiet", "--no-dense-timing").exit_code == 0


def test_a_resumed_run_keeps_its_spectrum(tmp_path):
    from sparsecpu.experiments.run_folder import RunFolder

    args = ["iris", *SMALL, "--epochs", 4, "--no-dense-timing", "--topology", "set"]
    args += ["--update-every", 2]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run("train", *args, "--spectrum", "--out", whole).exit_code == 0
    kept = {}

    def keep(self, record):
        append(self, record)
        if record["epoch"] == 2:
            kept.update({p.name: p.read_bytes() for p in parts.iterdir()})

    from sparsecpu.experiments.history_file import HistoryFile

    append = HistoryFile.append
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HistoryFile, "append", keep)
        assert run("train", *args, "--spectrum", "--out", parts).exit_code == 0
    for name, content in kept.items():  # as a kill after the second epoch's line leaves it
        (parts / name).write_bytes(content)
    (parts / "model.npz").unlink()
    assert run("train", "--resume", parts, "--quiet", "--no-dense-timing").exit_code == 0
    assert (parts / "model.npz").read_bytes() == (whole / "model.npz").read_bytes()
    updates = [RunFolder(f).history.updates() for f in (whole, parts)]
    assert updates[0] == updates[1]
    assert all("spectrum" in found for u in updates[1] for found in u["layers"].values())


def test_a_model_that_a_run_began_with_may_move(finished, tmp_path):
    """The bytes of the model do not say where it was."""
    first = shutil.copy(finished / "model.npz", tmp_path / "m.npz")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    args = ["iris", "--init", first, "--epochs", 2, "--quiet", "--no-dense-timing"]
    assert run("train", *args, "--out", whole).exit_code == 0
    shutil.copytree(whole, parts)
    (parts / "model.npz").unlink()
    (tmp_path / "m.npz").unlink()
    assert run("train", "--resume", parts, "--quiet", "--no-dense-timing").exit_code == 0
    assert (parts / "model.npz").read_bytes() == (whole / "model.npz").read_bytes()


COMPARE = ["iris", "--methods", "dense,static", "--densities", "0.3", "--seeds", 2, "--folds", 2,
           "--epochs", 1, "--learning-rates", "0.05", "--quiet", *SMALL[:2]]  # fmt: skip


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare") / "c"
    assert run("compare", *COMPARE, "--out", folder).exit_code == 0
    return folder


PLANS = {
    "no table": "[]",
    "cut off": '{"plan"',
    "too deep": "[" * 5000,
    "a plan of text": lambda p: p.update(plan="x"),
    "no plan": lambda p: p.pop("plan"),
    "more in the plan": lambda p: p["plan"].update(more=1),
    "a rate of text": lambda p: p.update(learning_rate="0.05"),
    "another rate": lambda p: p.update(learning_rate=0.5),
    "a rate of NaN": lambda p: p.update(learning_rate=float("nan")),
    "scores of text": lambda p: p.update(tuning={"0.05": "x"}),
    "more": lambda p: p.update(rows=[]),
}
RESULTS = {
    "a number": lambda lines: ["3", *lines],
    "not JSON": lambda lines: ["{", *lines],
    "a run twice": lambda lines: [*lines, lines[0]],
    "a run of another method": lambda lines: [lines[0].replace("dense", "rigl"), *lines[1:]],
    "a run of another seed": lambda lines: [lines[0].replace('"seed": 0', '"seed": 7'), *lines[1:]],
    "a method of a list": lambda lines: [lines[0].replace('"dense"', '["dense"]'), *lines[1:]],
    "a score of text": lambda lines: [lines[0].replace('"score": ', '"score": "x", "y": '), *lines],
    "no seconds": lambda lines: [lines[0].replace('"seconds"', '"time"'), *lines[1:]],
}


@pytest.mark.parametrize("name", PLANS)
def test_a_damaged_plan(name, compared, tmp_path):
    folder = shutil.copytree(compared, tmp_path / "c")
    change = PLANS[name]
    if callable(change):
        rewritten(folder / "plan.json", change)
    else:
        (folder / "plan.json").write_text(change)
    refused("compare", *COMPARE, "--out", folder)


@pytest.mark.parametrize("name", RESULTS)
def test_damaged_results(name, compared, tmp_path):
    folder = shutil.copytree(compared, tmp_path / "c")
    path = folder / "results.jsonl"
    before = RESULTS[name](path.read_text().splitlines())
    path.write_text("".join(line + "\n" for line in before))
    assert "results.jsonl" in refused("compare", *COMPARE, "--out", folder)
    assert path.read_text().splitlines() == before
