"""The studies of docs/studies that train for hours do the same for a second, on a small text."""

import argparse
import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import sparsecpu
from sparsecpu.trainer import Trainer

ROOT = Path(__file__).parents[2]
MODEL = "gpt:layers=1,heads=2,width=16,block=16"
SECONDS = 0.3


@pytest.fixture
def gpt_hour(monkeypatch):
    """Return what runs ``gpt_hour.py`` with arguments."""
    monkeypatch.syspath_prepend(ROOT / "docs" / "studies")
    import gpt_hour

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gpt_hour.py", *map(str, arguments)])
        gpt_hour.main()

    yield run
    for name in ("gpt_hour", "hour", "hour_torch"):
        sys.modules.pop(name, None)


@pytest.fixture
def hour(gpt_hour, tmp_path):
    """Return what trains for a moment, and returns the points."""
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat, and the dog sat on the cat. " * 60)

    def train(what):
        out = tmp_path / what
        gpt_hour(
            what, "--out", out, "--text", f"text:{text}", "--model", MODEL, "--batch", 4,
            "--windows", 4, "--every", 0.05, "--seconds", SECONDS, "--rate", 0.01,
        )  # fmt: skip
        return points_of(out)

    return train


def points_of(folder):
    return [json.loads(line) for line in (folder / "points.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("what", ["sparse", "dense", "dense-bf16"])
def test_an_hour_learns_and_goes_on_where_it_was_killed(hour, what, monkeypatch, tmp_path):
    if what != "sparse":
        pytest.importorskip("torch")
    from hour import Record

    kept = Record.keep

    def killed(record, steps, loss):
        kept(record, steps, loss)
        if len(record.points) == 3:  # the point is written, its checkpoint is not
            raise KeyboardInterrupt

    monkeypatch.setattr(Record, "keep", killed)
    with pytest.raises(KeyboardInterrupt):
        hour(what)
    before = points_of(tmp_path / what)
    monkeypatch.setattr(Record, "keep", kept)
    after = hour(what)
    assert after[:2] == before[:2]
    apart = after[2]["seconds"] - after[1]["seconds"]
    assert apart > 0.05 - 0.002  # kept to thousandths
    assert after[-1]["seconds"] >= SECONDS >= after[-2]["seconds"]
    assert after[-1]["loss"] < after[0]["loss"] - 0.5
    assert hour(what) == after  # nothing is left to do
    if what == "sparse":
        network, _ = sparsecpu.load(tmp_path / what)
        assert len(list(network.generate(np.array([0, 1]), 5))) == 5


def test_both_runs_of_the_hour_see_the_same_windows(hour, monkeypatch, tmp_path):
    seen, step = [], Trainer._step

    def watched(trainer, data, rows):
        seen.append(rows.copy())
        return step(trainer, data, rows)

    monkeypatch.setattr(Trainer, "_step", watched)
    hour("sparse")
    from hour import Task

    text = f"text:{tmp_path / 'text.txt'}"
    given = argparse.Namespace(text=text, model=MODEL, batch=4, windows=4, seed=0)
    task, seen = Task.of(given), seen[1:]  # the first step compiles, in another network
    assert len(seen) > len(task.data.x_train) // 4  # more than one pass
    for ours, theirs in zip(seen, task.batches(0), strict=False):
        np.testing.assert_array_equal(ours, theirs)
    later = itertools.islice(task.batches(7), 3)
    for ours, theirs in zip(seen[7:], later, strict=False):
        np.testing.assert_array_equal(ours, theirs)


def test_a_picture_of_the_hour(gpt_hour, tmp_path):
    pytest.importorskip("matplotlib")
    files = [tmp_path / f"gpt_hour-{name}.jsonl" for name in ("sparse", "dense")]
    for file, final in zip(files, (1.0, 1.3), strict=True):
        points = [{"steps": n, "seconds": 60 * n, "loss": final + 1 / (n + 1)} for n in range(5)]
        file.write_text("".join(json.dumps(point) + "\n" for point in points))
    gpt_hour("draw", *files, "--picture", tmp_path / "hour.svg")
    drawn = (tmp_path / "hour.svg").read_text()
    assert "minutes of one core" in drawn
    assert "dense, PyTorch" in drawn


def test_brackets_and_the_features_that_tell_them(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "studies")
    import brackets

    assert brackets.open_brackets("a(b[c)])d") == [0, 1, 1, 2, 2, 1, 0, 0, 0]
    text = "(" + "a" * 9 + ")" + "a" * 29
    depths = np.array([brackets.open_brackets(text)])
    told, hidden = depths / 2, np.zeros_like(depths, dtype=float)
    below = SimpleNamespace(predict=lambda windows: np.stack([told, -told, hidden], axis=2))
    monkeypatch.setattr(brackets, "Sequential", lambda layers, input_shape: below)
    network = SimpleNamespace(layers=[None, None], input_shape=(40,))
    np.testing.assert_allclose(brackets.areas(network, depths, depths), [1.0, 0.0, 0.5])
