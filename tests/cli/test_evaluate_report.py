import json

import numpy as np
import pytest
from commands import TINY, run

from sparsecpu.cli.evaluate_report import detailed_lines
from sparsecpu.experiments import tables
from sparsecpu.experiments.detailed_scores import scores_of_classes
from sparsecpu.layers import Sequential


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert run("train", "digits", *TINY, "--out", folder).exit_code == 0
    return folder


def test_a_report_has_a_line_per_class_and_their_confusions(digits):
    said = run("evaluate", digits, "digits", "--report")
    assert said.exit_code == 0, said.output
    lines = said.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    report = json.loads(run("evaluate", digits, "digits", "--report", "--json").stdout)["report"]
    assert f"{report['classes'][3]['recall']:.4f}" in said.stdout
    cells = lines[-1].split()
    assert [int(cell) for cell in cells[1:]] == report["confusion"][9]
    matrix = np.array(report["confusion"])
    assert report["accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum())


def test_without_report_there_is_none(digits):
    assert "report" not in json.loads(run("evaluate", digits, "digits", "--json").stdout)


def test_labels_of_several_targets_are_scored_as_labels(tmp_path, rng):
    x = rng.standard_normal((60, 5)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=(x[:, :3] > 0).astype(float))
    data, model = tmp_path / "d.npz", tmp_path / "r"
    made = run("train", data, *TINY, "--task", "regression", "--out", model)
    assert made.exit_code == 0, made.output
    said = run("evaluate", model, data, "--task", "regression", "--report")
    assert said.exit_code == 0, said.output
    for word in ("RMSE", "Hamming", "target 3"):
        assert word in said.stdout
    assert max(map(len, said.stdout.splitlines())) <= 80


def test_the_network_predicts_once(digits, monkeypatch):
    calls = []

    def predict(self, x, **options):
        calls.append(len(x))
        return ready(self, x, **options)

    ready = Sequential.predict
    monkeypatch.setattr(Sequential, "predict", predict)
    assert run("evaluate", digits, "digits", "--report").exit_code == 0
    assert calls == [360]


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("many", [2, 10, 40, 200])
def test_lines_fit_whatever_classes_are_called(many, width, rng, monkeypatch):
    monkeypatch.setattr(tables, "room", lambda: width)
    monkeypatch.setattr("sparsecpu.cli.evaluate_report.room", lambda: width)
    names = [f"class {i} " + "with a long name\nin two lines " * 3 for i in range(many)]
    y, found = rng.integers(0, many, 3000), rng.integers(0, many, 3000)
    lines = detailed_lines(scores_of_classes(y, found, names), 3000)
    assert max(map(len, lines)) <= width
    assert not any("\n" in line for line in lines)
    assert len(lines) < 110


def test_a_matrix_of_ten_classes_fits_forty_columns(digits, monkeypatch):
    monkeypatch.setattr(tables, "room", lambda: 40)
    monkeypatch.setattr("sparsecpu.cli.evaluate_report.room", lambda: 40)
    said = run("evaluate", digits, "digits", "--report").stdout.splitlines()
    assert max(map(len, said)) <= 40
    assert len(said[-1].split()) == 11


def test_a_run_keeps_what_it_measured(digits):
    kept = json.loads((digits / "result.json").read_text())
    found = json.loads(run("evaluate", digits, "digits", "--json").stdout)
    assert kept["test_accuracy"] == found["test_accuracy"]
    assert kept["step_ms"] > 0
    assert kept["timed_epochs"] == 3
    assert kept["versions"]["numpy"]
    before = (digits / "result.json").read_bytes()
    assert run("train", "--resume", digits, "--quiet", "--no-dense-timing").exit_code == 0
    assert (digits / "result.json").read_bytes() == before  # nothing was left to measure
