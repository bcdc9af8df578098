"""Options of a run come from one place: the recipe, the commands and the estimators agree."""

import inspect
import os
import subprocess
import sys

import numpy as np
import pytest
from commands import run

from sparsecpu import SparseCNNClassifier, SparseMLPClassifier, SparseMLPRegressor, Trainer
from sparsecpu.cli.compare import compare
from sparsecpu.cli.train import train
from sparsecpu.errors import ConflictError, DataError, ParameterError
from sparsecpu.experiments.networks import build, describe, describe_for
from sparsecpu.experiments.recipe import Recipe, options
from sparsecpu.experiments.trainers import make_trainer
from sparsecpu.layers import ACTIVATIONS
from sparsecpu.networks.models import FAMILIES, MODELS
from sparsecpu.registries import defaults
from sparsecpu.schedules import SCHEDULES
from sparsecpu.sparse.densities import DISTRIBUTIONS
from sparsecpu.sparse.first_patterns import PATTERNS
from sparsecpu.step.augmentation import AUGMENTATIONS
from sparsecpu.step.precision import PRECISIONS
from sparsecpu.topology import TOPOLOGIES


def words_of(command, *args):
    """The whole help of a command as one line."""
    shown = run(command, *args, "--help-all")
    assert shown.exit_code == 0
    return "".join(shown.stdout.split())


@pytest.mark.parametrize("command", [train, compare], ids=lambda c: c.name)
def test_commands_have_the_recipes_defaults_and_help(command):
    shared = {option.name: option for option in command.params} & options().keys()
    assert len(shared) >= 12
    for option in (option for option in command.params if option.name in shared):
        assert option.default == getattr(Recipe, option.name)
        assert option.help.startswith(options()[option.name].help)


def test_every_option_of_a_recipe_is_one_of_train():
    assert options().keys() <= {option.name for option in train.params}
    for option in train.params[1:]:
        assert option.help, option.name
        assert option.help.partition("  [")[0].endswith("."), option.name


@pytest.mark.parametrize(
    "registry",
    [TOPOLOGIES, MODELS, FAMILIES, ACTIVATIONS, SCHEDULES, DISTRIBUTIONS, PATTERNS, AUGMENTATIONS,
     PRECISIONS],
    ids=["topologies", "models", "families", "activations", "schedules", "distributions",
         "patterns", "augmentations", "precisions"],
)  # fmt: skip
def test_help_lists_what_is_registered(registry):
    shown = words_of("train")
    assert [name for name in registry if name not in shown] == []


def test_help_is_quick_and_compiles_nothing():
    for command in (["--help"], ["train", "--help"], ["compare", "--help"], ["bench", "--help"]):
        before = os.times()
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "sparsecpu", *command],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        for heavy in ("numba", "sklearn", "scipy", "matplotlib"):
            assert f" {heavy}\n" not in done.stderr, (command, heavy)
        after = os.times()
        seconds = sum(after[2:4]) - sum(before[2:4])  # of the CPU, whoever else works on it
        assert seconds < 1.0, command


def test_front_doors_differ_where_it_is_written_down():
    for door, known in ((Trainer, defaults.TRAINER), (Recipe, defaults.RECIPE)):
        taken = inspect.signature(door).parameters
        for name in ("learning_rate", "epochs", "batch_size"):
            assert taken[name].default == getattr(known, name), (door, name)
    for door, known in (
        (SparseMLPClassifier, defaults.ESTIMATOR),
        (SparseMLPRegressor, defaults.ESTIMATOR),
        (SparseCNNClassifier, defaults.IMAGE_ESTIMATOR),
    ):
        taken = door().get_params()
        found = (taken["learning_rate_init"], taken["max_iter"], taken["batch_size"])
        assert found == (known.learning_rate, known.epochs, known.batch_size)
        assert taken["solver"] == known.optimizer
        agreed = {name: getattr(Recipe, name) for name in ("distribution", "precision")}
        chosen = Recipe.density, Recipe.topology
        if door is not SparseCNNClassifier:  # a study of tables chose others
            chosen = defaults.ESTIMATOR_DENSITY, defaults.ESTIMATOR_TOPOLOGY
        agreed["density"], agreed["topology"] = chosen
        assert {name: taken[name] for name in agreed} == agreed, door


def test_classifier_and_regressor_have_the_same_defaults():
    classifier, regressor = SparseMLPClassifier().get_params(), SparseMLPRegressor().get_params()
    assert classifier.pop("class_weight") is None
    assert classifier == regressor


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(density=0.0), "density is 0.0; expected a number in (0, 1]"),
        (dict(epochs=0), "epochs is 0; expected an integer of at least 1"),
        (dict(epochs=True), "epochs is True"),
        (dict(neurons=4), "neurons is 4; expected an integer of at least 5"),
        (dict(width=0.0), "width is 0.0; expected a number above 0"),
        (dict(sparsity=1.0), "sparsity is 1.0; expected a number in [0, 1)"),
        (dict(schedule="x"), "schedule is 'x'; expected one of cosine, one-cycle, constant"),
        (dict(schedule="cosine:floor=2"), "floor of cosine is 2; expected a number in [0, 1]"),
        (dict(schedule="constant:floor=0"), "floor is 0; expected an option of constant: warmup"),
        (dict(schedule="cosine:warmup=-1"), "warmup of cosine is -1; expected an integer"),
        (dict(schedule="one-cycle:rise=x"), "rise of one-cycle is 'x'; expected a number"),
        (dict(optimizer="x"), "optimizer is 'x'; expected one of sgd, adam"),
        (dict(optimizer="adam:beta2=1"), "beta2 of adam is 1; expected a number in [0, 1)"),
        (dict(optimizer="sgd:beta2=0.9"), "beta2 is 0.9; expected an option of sgd: momentum"),
        (dict(momentum=1.0), "momentum is 1.0; expected a number in [0, 1)"),
        (dict(clip=-1.0), "clip is -1.0; expected a number of at least 0"),
        (dict(accumulate=0), "accumulate is 0; expected an integer of at least 1"),
        (dict(topology="x"), "topology is 'x'; expected one of "),
        (dict(topology="set:x=1"), "x is 1; expected an option of set: "),
        (dict(layer_rates="head"), "LAYER=FACTOR"),
        (dict(seed=-1), "seed is -1; expected an integer of at least 0"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_words(changes, words):
    with pytest.raises(ParameterError) as refused:
        Recipe(**changes)
    assert words in str(refused.value)


def test_models_take_options():
    described = describe(Recipe(model="30,20:activation=gelu,dropout=0.2"), (4,), 3)
    assert [layer.kind for layer in described.layers] == [
        "linear", "gelu", "dropout", "linear", "gelu", "dropout", "linear",
    ]  # fmt: skip
    named = describe(Recipe(model="lenet-300-100:activation=logistic"), (4,), 3)
    assert [layer.kind for layer in named.layers][1::2] == ["sigmoid", "sigmoid"]
    for bad in ("30:colour=1", "30:n_outputs=4", "lenet-300-100:hidden=3", "30:activation=x"):
        with pytest.raises(ParameterError):
            describe(Recipe(model=bad), (4,), 3)
    with pytest.raises(ConflictError, match="width cannot be used with lenet-300-100, which has"):
        describe(Recipe(width=0.5), (4,), 3)


def test_a_trainer_is_what_its_recipe_says():
    recipe = Recipe(model="10", epochs=3, batch_size=4, accumulate=5, clip=1.5, momentum=0.8,
                    optimizer="adam:beta2=0.95", schedule="cosine:floor=0.1,warmup=2")  # fmt: skip
    network = build(recipe, describe(recipe, (4,), 3), np.eye(4), np.arange(4) % 3, "feature")
    trainer = make_trainer(recipe, network, "classification", 101)
    assert (trainer.batch_size, trainer.accumulate, trainer.clip) == (4, 5, 1.5)
    optimizer = trainer.optimizer
    found = (optimizer.beta1, optimizer.beta2, optimizer.weight_decay)
    assert found == (0.8, 0.95, recipe.weight_decay)
    rates = [trainer.schedule(step) / recipe.learning_rate for step in range(18 + 1)]
    assert rates[0] == pytest.approx(1 / 3, rel=0.01)
    assert rates[-1] == pytest.approx(0.1)  # 6 steps in each of 3 epochs
    assert rates[-2] > 0.1


def test_lean_says_why_it_cannot_be():
    recipe = Recipe(model="10", lean=True, topology="rigl")
    network = build(recipe, describe(recipe, (4,), 3), np.eye(4), np.arange(4) % 3, "feature")
    with pytest.raises(ConflictError, match="lean cannot be used with rigl, which needs stored"):
        make_trainer(recipe, network, "classification", 4)
    shown = run("train", "iris", "--lean", "--topology", "rigl", "--no-dense-timing")
    assert shown.stderr == (
        "sparsecpu: --lean cannot be used with rigl, which needs stored gradients\n"
    )


TABLES = ("iris", "wine", "breast-cancer", "diabetes", "make:classification", "make:regression")


@pytest.mark.parametrize("model", ["vgg-d", "lenet-5-caffe", "resnet-8", "wrn-10-1", "alexnet-s"])
@pytest.mark.parametrize("data", TABLES)
def test_tables_are_no_images(data, model):
    result = run("train", data, "--model", model, "--no-dense-timing", "--quiet")
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize("model", [",", "300,", "30,,20", "0", "30,0", "-5", "1.5", "30,20x"])
def test_sizes_of_layers_are_integers_above_0(model):
    result = run("train", "iris", "--model", model, "--no-dense-timing", "--quiet")
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"sparsecpu: --model is {model!r}; expected one of ")
    assert result.stderr.endswith(", or sizes of at least 1, such as 300,100\n")


def dataset(x, shape=None, scaling="feature"):
    from sparsecpu.datasets import Dataset

    x = np.asarray(x)
    y = np.arange(len(x)) % 2
    return Dataset("mine", "classification", x, y, x, y, np.arange(2), shape or x.shape[1:],
                   scaling)  # fmt: skip


def test_pixels_are_images(rng):
    """Flat whole numbers from 0 to 255, a square of them; or whatever says it is an image."""
    recipe = Recipe(model="resnet-8", width=0.25)
    pixels = rng.integers(0, 256, (20, 81))
    for x in (pixels, pixels.astype(np.uint8), pixels.astype(float)):
        assert describe_for(recipe, dataset(x)).input_shape == (1, 9, 9)
    for no_pixels in (pixels - 1, pixels + 1, pixels / 2):
        with pytest.raises(DataError, match="81 features of mine are not pixels"):
            describe_for(recipe, dataset(no_pixels))
    for flat in (pixels[:, :49], pixels[:, :80]):
        with pytest.raises(ParameterError, match="square of 8 x 8 or more"):
            describe_for(recipe, dataset(flat))
    described = describe_for(recipe, dataset(pixels / 2, (1, 9, 9)))
    assert described.input_shape == (1, 9, 9)
    assert describe_for(Recipe(model="10"), dataset(pixels / 2)).input_shape == (81,)


def test_digits_are_images():
    from sparsecpu.datasets import open_data

    for name, side in (("digits", 8), ("digits28", 28)):
        data = open_data(name, **({"samples": 200} if name == "digits28" else {}))
        assert describe_for(Recipe(model="resnet-8"), data).input_shape == (1, side, side)


def test_a_layer_that_does_not_fit_is_named():
    with pytest.raises(ParameterError) as refused:
        describe(Recipe(model="lenet-5-caffe"), (1, 8, 8), 10)
    assert "layer 3 (conv2d) of lenet-5-caffe: image size is (2, 2)" in str(refused.value)
    assert "(5, 5)" in str(refused.value)
