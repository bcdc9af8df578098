"""Folders of runs and of comparisons: configuration, history, checkpoint, plan, results."""

import json
import os
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from sparsecpu.cli.compare_report import csv_of, table
from sparsecpu.cli.inspect import examine
from sparsecpu.cli.inspect import table as table_of_model
from sparsecpu.cli.output import Speaker
from sparsecpu.cli.repeat import compare_command, train_command
from sparsecpu.cli.train_run import Request, TrainRun
from sparsecpu.errors import SparseCPUError
from sparsecpu.experiments.comparison import Comparison, summarise
from sparsecpu.experiments.comparison.result_folder import ResultFolder
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.experiments.report.comparison_facts import read_comparison
from sparsecpu.experiments.report.comparison_page import comparison_page
from sparsecpu.experiments.report.run_facts import read_facts
from sparsecpu.experiments.report.run_page import run_page
from sparsecpu.experiments.run_folder import RunFolder
from sparsecpu.step.ranks import ALONE
from tests.fuzz.alter_bytes import alter_bytes
from tests.fuzz.alter_json import alter_json_text
from tests.fuzz.alter_saved import Saved
from tests.fuzz.target import Target

_READING = {"samples": None, "target": None, "task": "auto"}
_OPTIONS = {"evaluate_every": None, "threads": 1, "spectrum": False, "autotune": False, "out": None,
            "validation": None, "early_stopping": None, "best": False}  # fmt: skip
_RECIPE = Recipe(model="6", density=0.4, epochs=3, batch_size=8, topology="set", update_every=2)
_COMPARISON = Comparison("d.csv", _READING, ("dense", "set"), (0.1, 0.5), 2, 0, _RECIPE)
_MOST_EPOCHS = 6


def _data():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 4)).round(2), rng.integers(0, 2, 40)
    rows = zip(x, y, strict=True)
    return "".join(",".join([*map(str, row), "ab"[label]]) + "\n" for row, label in rows)


@cache
def _run():
    """Return the files of a run that was broken off after two epochs and a bit."""
    with tempfile.TemporaryDirectory() as name, _inside(Path(name)):
        Path("d.csv").write_text(_data())
        folder = RunFolder("run")
        run = TrainRun(Request("d.csv", _READING, _RECIPE, new=folder), _OPTIONS, ALONE, _quiet())
        run.stopper.on_step = lambda trainer, loss: setattr(
            trainer, "interrupted", trainer.steps_done == 9
        )
        run.train()
        folder.lock.release()
        folder.keep_result({"step_ms": 1.5, "dense_step_ms": 3.0, "seconds": 9.0, "cpu": "any"})
        return {f"run/{p.name}": p.read_bytes() for p in Path("run").iterdir()}


@cache
def _comparison():
    """Return the files of a comparison of which half the runs are done."""
    plan = {"plan": _COMPARISON.to_dict(), "learning_rate": 0.05, "tuning": {"0.05": 0.9}}
    results = [
        {"method": cell.method, "density": cell.density, "seed": cell.seed, "fold": cell.fold,
         "learning_rate": 0.05, "score": 0.5 + 0.01 * number, "nnz": 30, "weights": 60,
         "seconds": 0.25} for number, cell in enumerate(_COMPARISON.cells())
    ]  # fmt: skip
    lines = "".join(json.dumps(result) + "\n" for result in results)
    written = json.dumps({"seconds": 9.0, "cpu": "any", "versions": {"numpy": "2"}})
    return {"all/plan.json": json.dumps(plan).encode(), "all/results.jsonl": lines.encode(),
            "all/comparison.json": written.encode()}  # fmt: skip


class _inside:
    """Works in a folder: what a configuration names is looked for there."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.before = Path.cwd()
        os.chdir(self.path)

    def __exit__(self, *details):
        os.chdir(self.before)


def _quiet():
    return Speaker(True)


def _altered_lines(rng, content):
    """Change a line of JSON, or the lines as a whole."""
    lines = content.splitlines(keepends=True)
    at, choice = rng.randrange(len(lines)), rng.randrange(5)
    if choice == 0:
        return alter_bytes(rng, content, content)
    if choice == 1:
        del lines[at]
    elif choice == 2:
        lines.insert(rng.randrange(len(lines)), lines[at])
    else:
        lines[at] = alter_json_text(rng, json.loads(lines[at])) + b"\n"
    return b"".join(lines)


class RunFolders(Target):
    """``train --resume``, ``inspect``, ``compare`` and ``report`` on folders that were begun."""

    name = "run_folders"
    seconds = 15.0  # beside other work on a busy machine

    def valid(self):
        return [{"d.csv": _data().encode(), **_run()}, _comparison()]

    def case(self, rng):
        files = {"d.csv": _data().encode(), **_run()} if rng.random() < 0.7 else _comparison()
        files = dict(files)
        name = rng.choice([name for name in files if name not in ("d.csv", "run/.lock")])
        if name.endswith(".npz"):
            files[name] = Saved(files[name]).altered(rng)
        elif name.endswith(".jsonl"):
            files[name] = _altered_lines(rng, files[name])
        elif rng.random() < 0.1:
            del files[name]
        else:
            files[name] = alter_json_text(rng, json.loads(files[name]))
        return files

    def read(self, folder):
        with _inside(folder):
            if Path("all").is_dir() and any(Path("all").iterdir()):
                _write_pages(lambda: _page_of_comparison("all"))
                _compare(ResultFolder("all"))
            else:
                _write_pages(lambda: _page_of_run("run"))
                _go_on(RunFolder("run"))


def _write_pages(write):
    """Do what ``report`` does; what it refuses the other commands may take."""
    try:
        text = write()
    except SparseCPUError:
        return
    assert text.endswith("</html>\n")


def _page_of_run(path):
    facts = read_facts(path)
    with np.errstate(all="ignore"):
        return run_page(facts, train_command(facts.config), reading=_READING)[0]


def _page_of_comparison(path):
    found = read_comparison(path)
    return comparison_page(found, compare_command(found.plan))


def _go_on(folder):
    """Do what ``train --resume`` and ``inspect`` do."""
    try:
        config = folder.read_config()
        recipe = Recipe(**config["recipe"])
        if not folder.checkpoint.exists() or recipe.epochs > _MOST_EPOCHS or recipe.init:
            return  # a run as long as it says
        request = Request(config["data"], config["reading"], recipe, folder, config)
        with np.errstate(all="ignore"):  # weights may be as large as they like
            run = TrainRun(request, dict(_OPTIONS), ALONE, _quiet())
            assert run.train()
            scores, _ = run.finish()
        assert 0 <= scores["test_accuracy"] <= 1
        epochs = [record["epoch"] for record in folder.history.read()]
        assert epochs == list(range(epochs[0], recipe.epochs + 1))
        assert table_of_model(examine(str(folder.path))[2])
    except OSError:  # data of a name that no file can have; commands say it in a line
        return
    finally:
        folder.lock.release()
        folder.model.unlink(missing_ok=True)


def _compare(folder):
    """Do what ``compare`` does where all runs are done."""
    try:
        state = folder.open(_COMPARISON.to_dict())
        cells = list(_COMPARISON.cells())
        results = folder.results(cells)
        if len(results) == len(cells) and "learning_rate" in state:
            rows = summarise(results)
            assert csv_of(rows)
            assert table({**state, "rows": rows, "out": "all"})
    finally:
        folder.lock.release()


TARGET = RunFolders()
