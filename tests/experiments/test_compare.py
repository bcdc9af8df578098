"""Comparisons: the plan, the statistics, the command, and what it leaves behind."""

import csv
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from commands import run

from sparsecpu.errors import DataError, ParameterError
from sparsecpu.experiments.comparison import (
    Cell,
    Comparison,
    Runner,
    paired,
    runs,
    split_methods,
    summarise,
)
from sparsecpu.experiments.comparison.methods import narrowed, weights_of
from sparsecpu.experiments.comparison.result_folder import ResultFolder
from sparsecpu.experiments.networks import describe
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.kernels.machine.threads import current_threads, use_threads

QUICK = ("--model", "30,20", "--epochs", 3, "--learning-rates", "0.05", "--quiet")


def comparison(**changes):
    given = dict(
        data="iris", reading={}, methods=("dense", "static", "rigl"), densities=(0.1, 0.2), seeds=2,
        folds=3, recipe=Recipe(model="30,20", epochs=3), learning_rates=(0.05,),
    )  # fmt: skip
    return Comparison(**{**given, **changes})


def test_methods_have_options_with_commas():
    text = "dense, set,gse:distribution=grabo,subset=2,rigl:prune_rate=0.2"
    assert split_methods(text) == (
        "dense", "set", "gse:distribution=grabo,subset=2", "rigl:prune_rate=0.2",
    )  # fmt: skip
    assert split_methods("rigl:a=1,gse:b=2") == ("rigl:a=1", "gse:b=2")


def test_every_cell_once_and_dense_at_one_density():
    cells = list(comparison().cells())
    assert len(cells) == len(set(cells)) == 2 * 3 * (1 + 2 * 2)
    assert {c.density for c in cells if c.method == "dense"} == {1.0}
    assert [c.seed for c in cells] == sorted(c.seed for c in cells)


def test_plans_are_checked():
    for bad in (
        dict(methods=()),
        dict(methods=("x",)),
        dict(methods=("rigl", "rigl")),
        dict(densities=()),
        dict(densities=(0.0,)),
        dict(seeds=0),
        dict(folds=1),
        dict(learning_rates=(0.0,)),
    ):
        with pytest.raises(ParameterError):
            comparison(**bad)
    with pytest.raises(DataError, match="folds"):
        Runner(comparison(data="make:shapes", reading={"samples": 40}))


def test_folds_score_every_sample_once_and_methods_share_them():
    runner = Runner(comparison())
    tested = []
    for fold in range(3):
        x, _, x_test, y_test = runner.split(Cell("rigl", 0.1, 1, fold))
        again = runner.split(Cell("dense", 1.0, 1, fold))
        np.testing.assert_array_equal(x_test, again[2])
        assert len(x) + len(x_test) == 150
        assert np.ptp(np.bincount(y_test)) <= 1
        tested.append(x_test)
    everything = np.concatenate([runner.dataset.x_train, runner.dataset.x_test])
    np.testing.assert_array_equal(
        np.unique(np.concatenate(tested), axis=0), np.unique(everything, axis=0)
    )
    other = runner.split(Cell("rigl", 0.1, 0, 0))[2]
    assert not np.array_equal(other, tested[0])


def test_methods_start_alike():
    """The same seed gives every method the same first weights and order: differences are paired."""
    runner = Runner(comparison(recipe=Recipe(model="30,20", epochs=1)))
    a, b = (runner.run(Cell(m, 0.1, 0, 0), 0.05) for m in ("static", "set"))
    assert a["score"] == b["score"]  # one epoch has no update
    assert a["nnz"] == b["nnz"]


def test_a_run_trains_and_scores_on_one_thread(monkeypatch):
    seen, score = [], runs.score

    def watched(*arguments, **options):
        seen.append(current_threads())
        return score(*arguments, **options)

    monkeypatch.setattr(runs, "score", watched)
    with use_threads(2):
        Runner(comparison()).run(Cell("static", 0.1, 0, 0), 0.05)
    assert seen == [1]


@pytest.mark.parametrize("model", ["lenet-300-100", "30,20", "lenet-5-caffe"])
def test_small_dense_networks_have_as_many_weights(model):
    shape = (1, 28, 28) if model == "lenet-5-caffe" else (784,)
    recipe = Recipe(model=model, density=1.0, topology="static")
    whole = weights_of(recipe, shape, 10)
    for share in (0.5, 0.1):
        small = narrowed(recipe, round(share * whole), shape, 10)
        size = sum(np.prod(s) for s in describe(small, shape, 10).weight_shapes())
        assert 0.7 * share * whole < size <= share * whole
    found = Runner(comparison(methods=("small-dense",))).run(Cell("small-dense", 0.3, 0, 0), 0.05)
    assert found["nnz"] == found["weights"] <= 0.3 * (4 * 30 + 30 * 20 + 20 * 3)


def test_paired_differences():
    ours = {s: 0.9 + 0.01 * s for s in range(6)}
    theirs = {s: 0.9 for s in range(1, 7)}
    found = paired(ours, theirs)
    d = np.array([0.01, 0.02, 0.03, 0.04, 0.05])
    assert found["pairs"] == 5
    assert found["difference"] == pytest.approx(d.mean())
    assert found["error"] == pytest.approx(d.std(ddof=1) / np.sqrt(5))
    assert 0.01 < found["low"] < 0.03 < found["high"] < 0.05
    assert found["significant"]
    noise = paired(dict(enumerate([0.1, -0.1, 0.05, -0.06])), dict.fromkeys(range(4), 0.0))
    assert noise["low"] < 0 < noise["high"]
    assert not noise["significant"]
    assert paired({0: 1.0, 1: 1.0}, {0: 0.5, 1: 0.5})["low"] is None
    same = paired(dict.fromkeys(range(4), 0.25), dict.fromkeys(range(4), 0.25))
    assert (same["low"], same["high"], same["significant"]) == (0.0, 0.0, False)
    assert paired({0: 1.0}, {1: 1.0})["difference"] is None


def test_summary_counts_what_diverged():
    def result(method, density, seed, fold, score):
        return dict(method=method, density=density, seed=seed, fold=fold, score=score, nnz=5,
                    weights=50, seconds=1.0)  # fmt: skip

    rows = summarise(
        [result("dense", 1.0, s, f, 0.9) for s in range(3) for f in range(2)]
        + [result("rigl", 0.1, s, f, None if (s, f) == (1, 1) else 0.8 + 0.01 * f)
           for s in range(3) for f in range(2)]
    )  # fmt: skip
    dense, rigl = rows
    assert (dense["diverged"], rigl["diverged"], rigl["runs"]) == (0, 1, 6)
    assert rigl["score"] == pytest.approx(0.805)
    assert rigl["vs_dense"]["pairs"] == 2
    assert rigl["vs_dense"]["difference"] == pytest.approx(-0.095)
    assert rigl["vs_static"] is None


def test_command_writes_what_it_prints_and_goes_on(tmp_path):
    folder = tmp_path / "c"
    arguments = ("compare", "iris", "--methods", "dense,static,set", "--densities", "0.2,0.4",
                 "--folds", 2, "--out", folder, *QUICK)  # fmt: skip
    first = run(*arguments, "--seeds", 3, "--json")
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert [(r["method"], r["density"]) for r in found["rows"]] == [
        ("dense", 1.0), ("static", 0.2), ("static", 0.4), ("set", 0.2), ("set", 0.4),
    ]  # fmt: skip
    assert all(r["runs"] == 6 for r in found["rows"])
    assert found["rows"][3]["vs_static"]["pairs"] == 3
    assert json.loads((folder / "comparison.json").read_text())["rows"] == found["rows"]
    with open(folder / "comparison.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert float(table[1]["score"]) == found["rows"][1]["score"]
    assert float(table[4]["vs_dense_difference"]) == found["rows"][4]["vs_dense"]["difference"]
    # Cut off in the middle of a line: what is missing is done again, and only that.
    file = folder / "results.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:20]) + lines[20][:30])
    again = json.loads(run(*arguments, "--seeds", 3, "--json").stdout)
    kept = file.read_text().splitlines(keepends=True)
    assert kept[:20] == lines[:20]
    assert len(kept) == 30

    def scores(document):
        return [{k: r[k] for k in r if k != "seconds"} for r in document["rows"]]

    assert scores(again) == scores(found)
    other = run(*arguments, "--seeds", 4)
    assert other.exit_code == 2
    assert "seeds" in other.stderr
    shown = run(*arguments, "--seeds", 3).stdout
    assert "static" in shown
    assert "[" in shown


def test_command_in_processes_tunes_and_draws(tmp_path, drawn):
    folder = tmp_path / "c"
    arguments = ("compare", "iris", "--methods", "dense,rigl", "--densities", "0.3", "--seeds", 2,
                 "--folds", 2, "--model", "20", "--epochs", 2, "--learning-rates", "0.001,0.1",
                 "--jobs", 2, "--out", folder, "--quiet")  # fmt: skip
    result = run(*arguments, "--plot", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["learning_rate"] == 0.1
    assert set(found["tuning"]) == {"0.001", "0.1"}
    assert (folder / "comparison.png").exists()
    dense, rigl = found["rows"]
    axis = drawn[0].axes[0]
    (bars,) = axis.containers  # one method beside dense
    assert bars.get_label() == "rigl"
    line = bars.lines[0]
    assert line.get_xdata() == pytest.approx([0.3], rel=0.02)  # moved aside a little
    assert line.get_ydata() == pytest.approx([100 * (1 - rigl["score"])])
    (level,) = [line for line in axis.lines if line.get_label() == "dense"]
    assert level.get_ydata() == pytest.approx([100 * (1 - dense["score"])] * 2)
    assert "test error, %" in axis.get_ylabel()
    assert "too few" in run(*arguments).stdout


@pytest.mark.parametrize(("jobs", "number"), [(1, signal.SIGTERM), (2, signal.SIGINT)])
def test_a_signal_keeps_what_is_done(jobs, number, tmp_path):
    command = [sys.executable, "-m", "sparsecpu", "compare", "digits", "--methods", "dense,set",
               "--densities", "0.1", "--seeds", "40", "--model", "30", "--epochs", "10",
               "--learning-rates", "0.05", "--jobs", str(jobs),
               "--out", str(tmp_path)]  # fmt: skip
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    file, deadline = tmp_path / "results.jsonl", time.time() + 60
    while time.time() < deadline and running.poll() is None:
        if file.exists() and file.read_text().count("\n") >= 2:
            break
        time.sleep(0.02)
    running.send_signal(number)
    _, messages = running.communicate(timeout=60)
    assert running.returncode == 128 + number, messages
    assert "same command" in messages
    told = [line for line in messages.splitlines() if not line.startswith("run ")]
    assert len(told) <= 2  # what is to do, and this
    assert not (tmp_path / ".lock").exists()
    assert 2 <= file.read_text().count("\n") < 400
    for line in file.read_text().splitlines():
        assert json.loads(line)["method"] in ("dense", "set")


def test_a_first_line_that_was_cut_off_goes(tmp_path):
    folder = ResultFolder(tmp_path / "c")
    folder.open({"data": "iris"})
    try:
        (tmp_path / "c/results.jsonl").write_text('{"method": "sta')
        assert folder.results([]) == []
        assert (tmp_path / "c/results.jsonl").read_text() == ""
    finally:
        folder.lock.release()


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("iris", "--methods", "x"),
        ("iris", "--methods", "rigl:colour=red"),
        ("iris", "--densities", "a"),
        ("iris", "--densities", "2"),
        ("iris", "--seeds", 0),
        ("iris", "--folds", 1),
        ("iris", "--jobs", 0),
        ("iris", "--out", "/proc/none"),
        ("digits28", "--folds", 5, "--samples", 100),
    ],
)
def test_bad_input_is_one_line(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("compare", *arguments, *QUICK)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
