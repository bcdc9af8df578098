"""What the command line refuses, in one line."""

import os

import pytest
from commands import run

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
