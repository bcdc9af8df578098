"""What ``train`` and ``compare`` say at the end fits the terminal."""

import json

import pytest
from commands import TINY, run

from sparsecpu.cli import compare_report, train_report


@pytest.fixture(scope="module")
def trained():
    return json.loads(run("train", "iris", *TINY, "--json").stdout)


@pytest.mark.parametrize("verdict", ["ours", "dense", "alike", "unclear"])
@pytest.mark.parametrize("columns", [40, 80])
def test_a_summary_fits_the_terminal(trained, verdict, columns, monkeypatch):
    monkeypatch.setattr("sparsecpu.experiments.tables.room", lambda: columns)
    timed = {
        "dense_step_ms": 12.345, "dense_library": "PyTorch", "dense_ratio": 1.2,
        "dense_ratio_range": [0.9, 1.5], "dense_verdict": verdict, "cpu": "A CPU of a long name",
    }  # fmt: skip
    text = train_report.table({**trained, **timed})
    assert max(map(len, text.splitlines())) <= columns
    assert "dense up to" in text
    if columns == 80:  # each fact has a line
        assert len(text.splitlines()) == len(train_report.table(trained).splitlines()) + 1


def test_one_epoch_is_not_many_and_dense_threads_are_for_what_was_timed(trained):
    text = train_report.table({**trained, "epochs": 1})
    assert "1 epoch," in text
    assert "dense up to" not in text


def test_a_comparison_has_columns_for_what_is_compared(tmp_path):
    out = tmp_path / "c"
    done = run("compare", "iris", "--methods", "dense,set", "--densities", "0.3", "--seeds", 1,
               "--folds", 2, "--model", "40", "--epochs", 2, "--learning-rates", "0.02", "--out",
               out, "--quiet")  # fmt: skip
    assert done.exit_code == 0, done.output
    document = json.loads((out / "comparison.json").read_text())
    text = compare_report.table({**document, "out": "c"})
    assert "minus dense" in text
    assert "minus static" not in text
    for row in document["rows"]:
        row["vs_static"] = row["vs_dense"]
    both = compare_report.table({**document, "out": "c"})
    assert "minus static" in both
    assert max(map(len, both.splitlines())) <= 80
    assert "s/run" in both.splitlines()[1]
