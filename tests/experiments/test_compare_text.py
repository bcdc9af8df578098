"""Comparisons on text: by the loss, of which less is better."""

import json

import numpy as np
from commands import run
from language import _model, verse  # noqa: F401

from sparsecpu.experiments.comparison import Comparison
from sparsecpu.experiments.comparison.methods import narrowed, weights_of
from sparsecpu.experiments.comparison.runs import Runner, tune
from sparsecpu.experiments.recipe import Recipe

READING = {"samples": None, "target": None, "task": "auto"}


def test_runs_on_text_are_compared_by_their_loss(verse, tmp_path):  # noqa: F811
    result = run("compare", verse, "--methods", "dense,static", "--densities", "0.3", "--seeds", 2,
                 "--steps", 40, "--model", "words", "--out", tmp_path / "c", "--json", "--quiet",
                 "--plot")  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    plan = found["plan"]
    assert (plan["folds"], plan["recipe"]["optimizer"], plan["recipe"]["steps"]) == (0, "adam", 40)
    assert plan["learning_rates"] == [0.001]
    dense, static = found["rows"]
    assert 0 < dense["score"] < static["score"] < 4  # nats, and fewer weights know less
    assert np.isclose(static["vs_dense"]["difference"], static["score"] - dense["score"])
    table = run("compare", verse, "--methods", "dense,static", "--densities", "0.3", "--seeds", 2,
                "--steps", 40, "--model", "words", "--out", tmp_path / "c", "--quiet")  # fmt: skip
    assert "less is better" in table.stdout
    assert f"{dense['score']:.4f}" in table.stdout
    assert run("compare", verse, "--folds", 5, "--model", "words").exit_code == 2


def test_the_rate_of_the_least_loss_is_chosen(verse):  # noqa: F811
    recipe = Recipe(model="words", optimizer="adam", steps=30, batch_size=12)
    comparison = Comparison(
        verse, READING, ("dense",), (0.5,), 1, 0, recipe, learning_rates=(1e-6, 0.01)
    )
    rate, means = tune(comparison, 1, lambda result: None, Runner(comparison))
    assert rate == 0.01
    assert means[0.01] < means[1e-6]


def test_a_smaller_dense_transformer():
    recipe = Recipe(model="gpt-nano:block=8")
    whole = weights_of(recipe, (8,), 30)
    small = narrowed(recipe, whole // 10, (8,), 30)
    assert small.model.startswith("gpt-nano:block=8,width=")
    assert 0.5 * whole / 10 < weights_of(small, (8,), 30) <= whole / 10
