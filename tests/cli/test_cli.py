import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

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
    result = process("train", "digits", "--epochs", 2, "--json", "--out", tmp_path / "r")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
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


BAD = [
    ("train",),
    ("train", "nothing"),
    *[("train", "iris", "--density", d) for d in (0, -1, 2, "nan")],
    *[("train", "iris", f"--{o}", 0) for o in ("epochs", "batch-size", "threads", "learning-rate")],
    ("train", "iris", "--threads", 9999),
    ("train", "iris", "--seed", -1),
    ("train", "iris", "--model", "nope"),
    ("train", "iris", "--model", "0"),
    ("train", "iris", "--topology", "nope"),
    ("train", "iris", "--distribution", "nope"),
    ("train", "iris", "--schedule", "nope"),
    ("train", "iris", "--optimizer", "nope"),
    ("train", "iris", "--momentum", 1.5),
    ("train", "iris", "--prune-rate", 1.5),
    ("train", "iris", "--update-every", 0),
    ("train", "iris", "--growth-memory", 0),
    ("train", "iris", "--label-smoothing", 1),
    ("train", "iris", "--density", "much"),
    ("train", "iris", "--denstiy", 0.1),
    ("trian", "iris"),
    ("evaluate",),
    ("train", "iris", "--samples", 5),
    ("train", "iris", "--target", "petal"),
    ("train", "iris", "--out", "/proc/nothing"),
    ("train", "--resume", "/nothing"),
    ("evaluate", "/nothing", "iris"),
    ("predict", "/nothing", "iris"),
    ("inspect", "/nothing"),
    ("inspect", "/"),
    ("bench", "linear", "--shape", "3"),
    ("bench", "linear", "--sparsity", "1"),
    ("bench", "linear", "--batch", "0"),
    ("bench", "train", "--model", "nope"),
    ("bench", "train", "--rounds", "0"),
    ("bench", "scale", "--threads", "0"),
    ("bench", "linear", "--plot", "picture.txt"),
    ("bench", "linear", "--blas", "mine"),
    ("bench", "--plot", "picture.png"),
]


@pytest.mark.parametrize("args", BAD, ids=lambda a: " ".join(map(str, a)))
def test_bad_input_is_one_line_and_exit_2(args):
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    message = result.stderr.strip()
    assert message
    assert "\n" not in message
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("train", "iris", "--density", 2), ("--density", "2.0", "(0, 1]")),
        (("train", "iris", "--batch-size", 0), ("--batch-size", "0", "at least 1")),
        (("train", "iris", "--threads", 0), ("--threads", "0", "from 1 to")),
        (("train", "iris", "--model", "vgg-d"), ("--model", "vgg-d", "(4,)", "images")),
        (("train", "iris", "--augment", "crop"), ("--augment", "(4,)", "images")),
        (("train", "iris", "--topology", "gse:distribution=x"), ("distribution of gse", "'x'")),
        (("train", "--resume", "/nothing"), ("/nothing is not the folder of a run",)),
        (("compare", "iris", "--methods", "x"), ("--methods", "'x'", "list methods")),
        (("compare", "iris", "--densities", 0), ("--densities", "0.0", "(0, 1]")),
    ],
)
def test_errors_name_argument_value_and_expectation(args, words):
    message = run(*args).stderr
    assert all(word in message for word in words)


def test_bad_input_leaves_nothing_behind(tmp_path):
    assert run("train", "iris", "--density", 2, "--out", tmp_path / "r").exit_code == 2
    assert run("train", "nothing", "--out", tmp_path / "r").exit_code == 2
    for option, value in (("--threads", 0), ("--prune-rate", 2), ("--momentum", 0)):
        assert run("train", "iris", option, value, "--out", tmp_path / "r").exit_code == 2
    assert os.listdir(tmp_path) == []


def test_models_and_data_that_do_not_match(trained, tmp_path):
    for data in ("digits", "diabetes"):
        assert run("evaluate", trained, data).exit_code == 2
    rows = "\n".join(f"{i},2,3,4,{label}" for i, label in enumerate("abab" * 3))
    (tmp_path / "other.csv").write_text(rows)
    result = run("evaluate", trained, tmp_path / "other.csv")
    assert result.exit_code == 2
    assert "classes" in result.stderr
    assert run("predict", trained, "digits").exit_code == 2


@pytest.mark.parametrize(
    "facts",
    [{"task": 3}, {"task": "classification"}, {"task": "classification", "classes": [1]}],
)
def test_models_that_do_not_say_what_they_are_for(facts, tmp_path):
    from sparsecpu import save
    from sparsecpu.networks.description import mlp

    architecture = mlp(4, (5,), 3)
    save(architecture.build(), tmp_path / "m.npz", architecture, facts=facts)
    assert run("inspect", tmp_path / "m.npz").exit_code == 0
    for command in ("evaluate", "predict"):
        result = run(command, tmp_path / "m.npz", "iris")
        assert result.exit_code == 2, result.output
        assert "Traceback" not in result.output


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


def test_resume_refuses_other_data_and_damaged_checkpoints(tmp_path):
    path = tmp_path / "d.csv"
    rows = [f"{i},{i * i % 7},{'ab'[i % 2]}" for i in range(20)]
    path.write_text("\n".join(rows))
    assert run("train", path, *TINY, "--out", tmp_path / "r").exit_code == 0
    path.write_text("\n".join([*rows[:0:-1], "0,1,a"]))
    assert run("train", "--resume", tmp_path / "r").exit_code == 2
    path.write_text("\n".join(rows))
    assert run("train", "--resume", tmp_path / "r", "--quiet").exit_code == 0
    checkpoint = tmp_path / "r" / "checkpoint.npz"
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2])
    assert run("train", "--resume", tmp_path / "r").exit_code == 2
    config = tmp_path / "r" / "config.json"
    good = json.loads(config.read_text())
    lies = [{}, [], 3, {**good, "data": 1}, {**good, "recipe": {}}, {**good, "reading": {"x": 1}}]
    lies.append({**good, "recipe": {**good["recipe"], "bogus": 1}})
    for lie in lies:
        config.write_text(json.dumps(lie))
        result = run("train", "--resume", tmp_path / "r")
        assert result.exit_code == 2, lie
        assert "Traceback" not in result.output


LONG = ["digits", "--model", "200,100", "--epochs", "60", "--no-dense-timing"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long") / "whole"
    result = process("train", *LONG, "--quiet", "--out", folder)
    assert result.returncode == 0, result.stderr
    return folder


def start(folder, *args):
    command = [sys.executable, "-m", "sparsecpu", "train", *LONG, "--out", str(folder), *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_lines(running, folder, lines):
    """Wait until the history has so many lines."""
    history, deadline = folder / "history.jsonl", time.time() + 120
    while time.time() < deadline and running.poll() is None:
        if history.exists() and len(history.read_text().splitlines()) >= lines:
            return
        time.sleep(0.001)


@pytest.mark.parametrize("lines", [0, 3, 17])
def test_resume_after_kill_is_byte_for_byte(lines, undisturbed, tmp_path):
    folder = tmp_path / "killed"
    running = start(folder, "--quiet")
    deadline = time.time() + 120
    while not (folder / "checkpoint.npz").exists() and time.time() < deadline:
        time.sleep(0.001)
    wait_for_lines(running, folder, lines)
    time.sleep(0.003 * lines)
    running.kill()
    running.communicate()
    result = run("train", "--resume", folder, "--quiet", "--no-dense-timing")
    assert result.exit_code == 0, result.output
    assert (folder / "model.npz").read_bytes() == (undisturbed / "model.npz").read_bytes()
    records = [json.loads(x) for x in (folder / "history.jsonl").read_text().splitlines()]
    whole = [json.loads(x) for x in (undisturbed / "history.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in records] == list(range(1, 61))
    assert [r["loss"] for r in records] == [r["loss"] for r in whole]


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to another process")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_leaves_a_resumable_checkpoint(name, undisturbed, tmp_path):
    number = getattr(signal, name)
    folder = tmp_path / "stopped"
    running = start(folder)
    wait_for_lines(running, folder, 4)
    running.send_signal(number)
    _, messages = running.communicate(timeout=60)
    assert running.returncode == 128 + number, messages
    assert "--resume" in messages
    assert not (folder / "model.npz").exists()
    assert run("evaluate", folder, "digits").exit_code == 0  # the checkpoint is a model, too
    assert run("train", "--resume", folder, "--quiet", "--no-dense-timing").exit_code == 0
    assert (folder / "model.npz").read_bytes() == (undisturbed / "model.npz").read_bytes()


def test_resuming_a_finished_run_changes_nothing(undisturbed):
    before = (undisturbed / "model.npz").read_bytes()
    result = run("train", "--resume", undisturbed, "--json", "--quiet", "--no-dense-timing")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["step_ms"] is None
    assert (undisturbed / "model.npz").read_bytes() == before


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
