"""The commands that pages show do the same again."""

import json
import shlex

import pytest
from commands import TINY, run

from sparsecpu.cli.compare import _described, compare
from sparsecpu.cli.options import reading
from sparsecpu.cli.recipe_options import unsaid, usual_values
from sparsecpu.cli.repeat import compare_command, train_command
from sparsecpu.cli.train import train
from sparsecpu.experiments.neurons import options_of_neurons
from sparsecpu.experiments.recipe import Recipe


def asked(words):
    """Return the configuration that a command line asks for, as ``train`` makes it of it."""
    ctx = train.make_context("train", words)
    options = dict(ctx.params)
    data = options.pop("data")
    chosen = usual_values(ctx, data, options)
    if options["neurons"] is not None:
        chosen |= unsaid(ctx, options_of_neurons(options["neurons"]))
    others = {name: options[name] for name in ("evaluate_every", "spectrum")}
    return {"data": data, "reading": reading(options), "recipe": Recipe(**chosen).to_dict(),
            "forms": {}, **others}  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "digits", "iris --density 0.30000000000000004 --learning-rate 1e-05 --seed 7",
        "'my file.csv' --target 'the price, $' --drop-missing --missing '?' --missing 'n a'",
        "data.svm --one-based --format svmlight --scaling none",
        "a.csv --no-header --task regression",
        "text:book.txt", "text:book.txt --epochs 3", "text:book.txt --epochs 20 --model gpt-nano",
        "text:b.txt --steps 2000 --optimizer sgd",
        "digits --steps 40 --spectrum --evaluate-every 5",
        "make:wide --neurons 2000", "make:wide --neurons 2000 --epochs 1 --topology set",
        "make:shapes --model wrn-10-1:dropout=0.3 --width 0.5 --samples 100 --lean",
        "--density 0.2 -- --odd.csv",
    ],
)  # fmt: skip
def test_the_command_of_a_run_asks_for_the_same_run(line):
    wanted = asked(shlex.split(line))
    words = shlex.split(train_command(json.loads(json.dumps(wanted))))
    assert words[:2] == ["sparsecpu", "train"]
    assert asked(words[2:]) == wanted


def test_options_at_their_defaults_are_left_out():
    assert train_command(asked(["digits"])) == "sparsecpu train digits"
    assert train_command(asked(["digits"]), ranks=2) == "mpiexec -n 2 sparsecpu train digits"


def test_the_command_of_a_run_gives_the_same_bits(tmp_path):
    first, second = tmp_path / "first run", tmp_path / "second"
    made = run("train", "digits", *TINY, "--density", 0.15, "--seed", 3, "--out", first)
    assert made.exit_code == 0, made.output
    words = shlex.split(train_command(json.loads((first / "config.json").read_text())))
    again = run(*words[1:], "--no-dense-timing", "--quiet", "--out", second)
    assert again.exit_code == 0, again.output
    assert (first / "model.npz").read_bytes() == (second / "model.npz").read_bytes()


@pytest.mark.parametrize(
    "line",
    [
        "iris --seeds 2 --densities .1,.25",
        "digits --methods dense,gse:distribution=grabo,subset=2 --folds 3",
        "iris --group 1,4 --learning-rates 0.1", "'a b.csv' --epochs 7 --model 30,20",
    ],
)  # fmt: skip
def test_the_command_of_a_comparison_asks_for_the_same(line, monkeypatch):
    class Data:
        own_test, task = False, "classification"

    monkeypatch.setattr("sparsecpu.datasets.open_data", lambda *args, **options: Data())

    def plan(words):
        ctx = compare.make_context("compare", words)
        options = dict(ctx.params)
        return _described(ctx, options.pop("data"), options).to_dict()

    wanted = plan(shlex.split(line))
    words = shlex.split(compare_command(json.loads(json.dumps(wanted))))
    assert plan(words[2:]) == wanted
