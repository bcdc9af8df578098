import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from commands import TINY, process, run

from sparsecpu import load
from sparsecpu.cli import COMMANDS


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "iris"
    result = run("train", "iris", *TINY, "--out", folder, "--epochs", 40)
    assert result.exit_code == 0, result.output
    return folder


def test_train_prints_what_sparsity_bought():
    result = run("train", "digits", "--epochs", 3, "--model", "50")
    assert result.exit_code == 0, result.output
    for word in ("test accuracy", "density", "bytes", "in fp32", "dense fp32 (", "compiling"):
        assert word in result.stdout


def test_train_json_is_one_document_with_stable_keys(tmp_path):
    options = "--epochs", 2, "--accumulate", 2, "--json", "--out", tmp_path / "r"
    result = process("train", "digits", *options)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["accumulate"] == 2
    wanted = {"test_accuracy", "density", "nnz", "weights", "epochs", "seconds", "layers"}
    wanted |= {"seconds_per_epoch", "compile_seconds", "step_ms", "dense_step_ms", "threads"}
    assert wanted | {"seed", "versions", "cpu"} <= found.keys()
    assert {"name", "shape", "nnz", "density"} <= found["layers"][0].keys()
    assert found["nnz"] == round(0.1 * found["weights"]) == sum(x["nnz"] for x in found["layers"])
    assert found["dense_step_ms"] > 0
    assert found["dense_library"] in ("NumPy", "PyTorch")
    if importlib.util.find_spec("torch"):
        assert found["dense_bf16_step_ms"] > 0
    assert sorted(os.listdir(tmp_path / "r")) == [
        "checkpoint.npz", "config.json", "history.jsonl", "model.npz", "result.json"]  # fmt: skip


@pytest.mark.parametrize("topology", ["sparse-momentum", "set", "static"])
@pytest.mark.parametrize("data", ["wine", "diabetes"])
def test_train_everything(data, topology):
    result = run("train", data, *TINY, "--topology", topology, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert ("test_r2" if data == "diabetes" else "test_accuracy") in found


def test_train_on_files(tmp_path, rng):
    from sklearn.datasets import dump_svmlight_file

    x = rng.standard_normal((60, 5))
    y = np.where(x[:, 0] > 0, "up", "down")
    rows = [",".join(map(str, [*row, label])) for row, label in zip(x, y, strict=True)]
    (tmp_path / "d.csv").write_text("\n".join(rows))
    dump_svmlight_file(x, (y == "up").astype(int), str(tmp_path / "d.svm"))
    np.savez(tmp_path / "d.npz", x=x, y=y)
    for name in ("d.csv", "d.svm", "d.npz"):
        out = tmp_path / f"run-{name}"
        result = run("train", tmp_path / name, *TINY, "--out", out, "--json")
        assert result.exit_code == 0, result.output
        assert run("evaluate", out, tmp_path / name).exit_code == 0
    predicted = run("predict", tmp_path / "run-d.csv", tmp_path / "d.csv")
    assert predicted.exit_code == 0
    lines = predicted.stdout.split()
    assert len(lines) == 60
    assert set(lines) <= {"up", "down"}


def test_parts_of_named_data(trained):
    from sklearn.datasets import load_iris

    found = {p: json.loads(run("evaluate", trained, "iris", "--part", p, "--json").stdout)
             for p in ("train", "test", "all")}  # fmt: skip
    assert [found[p][f"{p}_samples"] for p in found] == [120, 30, 150]
    assert json.loads(run("evaluate", trained, "iris", "--json").stdout) == found["test"]
    x, y = load_iris(return_X_y=True)
    network, _ = load(trained / "model.npz")
    wanted = network.predict(x).argmax(axis=1)  # in the order of the data
    labels = json.loads(run("predict", trained, "iris", "--part", "all", "--json").stdout)
    np.testing.assert_array_equal(labels["predictions"], wanted)
    assert found["all"]["all_accuracy"] == np.mean(wanted == y)


def test_evaluate_and_predict_agree(trained):
    score = json.loads(run("evaluate", trained, "iris", "--json").stdout)
    assert score["test_accuracy"] > 0.6
    assert run("evaluate", trained / "model.npz", "iris").exit_code == 0
    found = json.loads(run("predict", trained, "iris", "--json", "--proba").stdout)
    from sparsecpu.datasets import open_data

    wanted = open_data("iris").y_test
    assert np.mean(found["predictions"] == wanted) == pytest.approx(score["test_accuracy"])
    np.testing.assert_allclose(np.sum(found["probabilities"], axis=1), 1)
    plain = run("predict", trained, "iris", "--proba").stdout.splitlines()
    assert len(plain) == len(wanted)
    assert all(len(line.split(",")) == 4 for line in plain)


def test_predict_quantities(tmp_path):
    result = run("train", "diabetes", *TINY, "--out", tmp_path / "r", "--epochs", 30)
    assert result.exit_code == 0, result.output
    values = [float(v) for v in run("predict", tmp_path / "r", "diabetes").stdout.split()]
    assert 80 < np.mean(values) < 230  # in the units of the targets


def test_inspect(trained, tmp_path, drawn):
    found = json.loads(run("inspect", trained, "--json").stdout)
    assert found["facts"]["classes"] == [0, 1, 2]
    assert found["layers"][0]["last_update"]["source"] in ("window", "lowrank", "candidates")
    for suffix in ("png", "svg"):
        assert run("inspect", trained, "--plot", tmp_path / f"p.{suffix}").exit_code == 0
        assert (tmp_path / f"p.{suffix}").exists()
    weights = load(trained / "model.npz")[0].sparse_parameters()
    pictures, charts = np.reshape(drawn[0].axes, (2, len(weights)))
    (legend,) = drawn[0].legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["weights per output", "weights per input"]
    for picture, chart, (name, weight) in zip(pictures, charts, weights.items(), strict=True):
        assert picture.get_title("left").startswith(f"{name}\ndensity {weight.density:.3g}")
        shown = picture.images[0].get_array()
        there = weight.to_scipy().copy()
        there.data[:] = 1  # a weight may have grown and still be 0
        np.testing.assert_array_equal(shown, there.toarray())
        assert (picture.get_xlabel(), picture.get_ylabel()) == ("input", "output")
        # Of a step histogram, the highest step is the largest fraction of units.
        for outline, counts in zip(chart.patches, (weight.pattern.fan_in, weight.pattern.fan_out),
                                   strict=True):  # fmt: skip
            most_common = np.bincount(counts).max() / len(counts)
            assert outline.get_xy()[:, 1].max() == pytest.approx(most_common)
    assert run("inspect", trained, "--plot", tmp_path / "no" / "p.png").exit_code == 2


def test_doctor():
    result = run("doctor", "--json")
    assert result.exit_code == 0
    assert {"cpu", "threads", "threading_layer", "kernel_cache"} <= json.loads(result.stdout).keys()
    assert run("doctor").exit_code == 0


def test_models_and_data_that_do_not_match(trained, tmp_path):
    for data in ("digits", "diabetes"):
        assert run("evaluate", trained, data).exit_code == 2
    rows = "\n".join(f"{i},2,3,4,{label}" for i, label in enumerate("abab" * 3))
    (tmp_path / "other.csv").write_text(rows)
    result = run("evaluate", trained, tmp_path / "other.csv")
    assert result.exit_code == 2
    assert "classes" in result.stderr
    assert run("predict", trained, "digits").exit_code == 2


def test_a_folder_with_a_run_is_not_overwritten(trained):
    before = (trained / "model.npz").read_bytes()
    result = run("train", "iris", *TINY, "--out", trained)
    assert result.exit_code == 2
    assert "resume" in result.stderr
    assert (trained / "model.npz").read_bytes() == before


def test_resume_refuses_another_run(trained, tmp_path):
    for args in (
        ("digits", "--resume", trained),
        ("--resume", trained, "--density", 0.3),
        ("--resume", trained, "--model", "77"),
        ("--resume", trained, "--seed", 9),
        ("--resume", trained, "--out", tmp_path / "x"),
    ):
        result = run("train", *args)
        assert result.exit_code == 2, args
        assert "\n" not in result.stderr.strip()


def test_import_and_help_are_light():
    script = (
        "import sys, time; t = time.process_time(); import sparsecpu; "
        "print(time.process_time() - t, [m for m in ('numba', 'sklearn', 'scipy') "
        "if m in sys.modules])"
    )
    done = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    assert all(d.stdout.split()[1] == "[]" for d in done)
    assert min(float(d.stdout.split()[0]) for d in done) < 0.3
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "sparsecpu", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {line.split("|")[-1].strip() for line in loaded.stderr.splitlines()}
    assert "sparsecpu.cli" in names
    assert not names & {"numba", "sklearn", "scipy"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert len(result.stdout) > 100
