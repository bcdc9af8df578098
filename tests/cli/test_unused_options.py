"""Options that would do nothing are refused in a line, and --sparsity means what it says."""

import json

import numpy as np
import pytest
from commands import TINY, run

SHORT = ["--epochs", "1", "--no-dense-timing", "--quiet"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "iris"
    assert run("train", "iris", *TINY, "--out", folder).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "diabetes"
    assert run("train", "diabetes", *TINY, "--out", folder).exit_code == 0
    return folder


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--density", 0.2, "--sparsity", 0.8], "--density"),
        (["--ift", "wide", "--density", 0.2], "--density"),
        (["--ift", "wide", "--distribution", "er"], "--distribution"),
        (["--model", "40", "--width", 0.5], "--width"),
        (["--per-neuron", 4], "--per-neuron"),
        (["--neurons", 100, "--density", 0.2], "--density"),
        (["--neurons", 100, "--sparsity", 0.8], "--sparsity"),
        (["--neurons", 100, "--model", "40"], "--model"),
        (["--new-head"], "--new-head"),
        (["--topology", "static", "--update-every", 9], "--update-every"),
        (["--topology", "static", "--prune-rate", 0.2], "--prune-rate"),
        (["--topology", "deep-r", "--prune-rate", 0.2], "--prune-rate"),
        (["--topology", "rigl", "--growth-memory", 1e6], "--growth-memory"),
        (["--spectrum"], "--spectrum"),
    ],
)
def test_train_refuses_what_the_rest_does_not_use(options, name):
    result = run("train", "iris", *options, *SHORT)
    assert result.exit_code == 2
    assert name in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("option", [("--density", 0.2), ("--model", 40), ("--scaling", "none")])
def test_a_model_to_start_from_has_its_own(model, option):
    result = run("train", "iris", "--init", model, *option, *SHORT)
    assert result.exit_code == 2
    assert option[0] in result.stderr
    assert run("train", "iris", "--init", model, *SHORT, "--topology", "static").exit_code == 0


def test_what_is_for_classes_is_refused_before_a_folder_is_made(tmp_path):
    options = ["--label-smoothing", 0.2, *SHORT, "--out", tmp_path / "r"]
    result = run("train", "diabetes", *options)
    assert result.exit_code == 2
    assert "--label-smoothing" in result.stderr
    assert not (tmp_path / "r").exists()
    options = ["--methods", "static", "--label-smoothing", 0.2, "--out", tmp_path / "c"]
    assert run("compare", "diabetes", *options).exit_code == 2
    assert not (tmp_path / "c").exists()


def test_a_run_goes_on_in_the_forms_that_it_has(model):
    result = run("train", "--resume", model, "--autotune")
    assert result.exit_code == 2
    assert "--autotune" in result.stderr


def test_sparsity_is_the_rest_of_the_density(monkeypatch):
    monkeypatch.setattr("sparsecpu.networks.isoflop.costs._SECONDS", 0)  # of measuring
    usual = [*TINY[:2], *TINY[4:]]  # no density
    result = run("train", "iris", *usual, "--sparsity", 0.8, "--json")
    assert json.loads(result.stdout)["density"] == pytest.approx(0.2, abs=0.01)
    wide = run("train", "iris", *usual, "--ift", "wide", "--sparsity", 0.8, "--json")
    assert json.loads(wide.stdout)["density"] > 0.2


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--methods", "dense", "--densities", ".1"], "--densities"),
        (["--methods", "dense", "--group", "4"], "--group"),
        (["--methods", "dense,static", "--update-every", 9], "--update-every"),
    ],
)
def test_compare_refuses_what_no_method_has(options, name):
    result = run("compare", "iris", *options)
    assert result.exit_code == 2
    assert name in result.stderr


@pytest.mark.parametrize("option", [("--outputs", 4), ("--width", 0.5), ("--distribution", "erk")])
def test_import_refuses_what_needs_another_option(model, tmp_path, option):
    result = run("import", model / "model.npz", *option, "--out", tmp_path / "m.npz")
    assert result.exit_code == 2
    assert option[0] in result.stderr
    result = run("import", model / "model.npz", "--task", "regression", "--out", tmp_path / "m.npz")
    assert result.exit_code == 2


def test_numbers_have_no_probabilities(numbers):
    result = run("predict", numbers, "diabetes", "--proba")
    assert result.exit_code == 2
    assert "--proba" in result.stderr


@pytest.mark.parametrize("labels", [["no", "yes"], [0, 1], [2.5, 3.5]])
def test_the_target_of_a_table_is_known_again(tmp_path, labels):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 3))
    rows = [f"{labels[int(a > 0)]},{a:.3f},{b:.3f},{c:.3f}" for a, b, c in x]
    table = tmp_path / "first.csv"
    table.write_text("\n".join(["label,a,b,c", *rows]) + "\n")
    trained = run("train", table, "--target", "label", *TINY, "--out", tmp_path / "m")
    assert trained.exit_code == 0, trained.output
    scored = run("evaluate", tmp_path / "m", table)
    assert scored.exit_code == 0, scored.output
    assert run("evaluate", tmp_path / "m", table, "--samples", 3).exit_code == 2


def test_a_density_that_leaves_neurons_without_weights_is_noted():
    result = run("train", "digits", *TINY, "--density", 0.0005)
    assert result.exit_code == 0
    (note,) = [line for line in result.stderr.splitlines() if "note:" in line]
    assert "of 40 outputs" in note
    assert "--density" in note
    assert "note:" not in run("train", "digits", *TINY, "--density", 0.1).stderr


def test_one_threshold_that_leaves_a_layer_empty_is_noted(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"0.weight": rng.standard_normal((40, 64)), "0.bias": np.zeros(40)}
    arrays |= {"2.weight": 1e-9 * rng.standard_normal((10, 40)), "2.bias": np.zeros(10)}
    np.savez(tmp_path / "dense.npz", **arrays)
    options = ["--model", "40", "--density", 0.1, "--out", tmp_path / "m.npz"]
    result = run("import", tmp_path / "dense.npz", *options)
    assert result.exit_code == 0, result.output
    assert "2.weight has 1 weight, none for 9 of 10 outputs" in result.output
    evenly = run("import", tmp_path / "dense.npz", *options, "--distribution", "uniform")
    assert "note:" not in evenly.output
