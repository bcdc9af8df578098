"""Comparisons of methods in groups of several sizes."""

import dataclasses
import json

import pytest
from commands import run

from sparsecpu.errors import ParameterError
from sparsecpu.experiments.comparison import Comparison, summarise
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.networks import group_choice

QUICK = ("--model", "30,20", "--epochs", 3, "--learning-rates", "0.05", "--quiet")


def planned(**changes):
    given = {"methods": ("static",), "densities": (0.1, 0.2), "seeds": 2, "folds": 3}
    return Comparison("iris", {}, recipe=Recipe(model="30,20", epochs=3), **{**given, **changes})


def test_every_method_in_every_group_but_dense_ones():
    plan = planned(methods=("dense", "small-dense", "static"), groups=("1", "4", "auto"))
    cells = [cell for cell in plan.cells() if (cell.seed, cell.fold) == (0, 0)]
    assert [(c.method, c.density, c.group) for c in cells] == [
        ("dense", 1.0, "1"), ("small-dense", 0.1, "1"), ("small-dense", 0.2, "1"),
        *(("static", d, g) for d in (0.1, 0.2) for g in ("1", "4", "auto")),
    ]  # fmt: skip
    assert plan.recipe_of(cells[-2], 0.05).group == "4"
    chosen = dataclasses.replace(plan, chosen={"static at density 0.2": "4,2,1"})
    assert chosen.recipe_of(cells[-1], 0.05).group == "4,2,1"
    assert chosen.recipe_of(cells[-4], 0.05).group == "auto"  # another density
    assert chosen.to_dict() == plan.to_dict()
    for bad in ((), ("1", "1"), ("3",), ("",)):
        with pytest.raises(ParameterError, match="group"):
            planned(groups=bad)


def test_groups_are_compared_with_rows_that_stand_alone():
    def result(group, seed, score):
        return dict(method="rigl", density=0.1, seed=seed, fold=0, score=score, nnz=5, weights=50,
                    seconds=2.0 / int(group), group=group)  # fmt: skip

    alone, grouped = summarise([
        result(group, seed, 0.8 + 0.01 * seed - (0.05 if group == "4" else 0.0))
        for group in ("1", "4") for seed in range(4)
    ])  # fmt: skip
    assert (alone["group"], alone["vs_alone"]) == ("1", None)
    assert (grouped["group"], grouped["seconds"]) == ("4", 0.5)
    assert grouped["vs_alone"]["difference"] == pytest.approx(-0.05)
    assert grouped["vs_alone"]["pairs"] == 4


def test_the_command_compares_groups_and_keeps_what_auto_took(tmp_path, monkeypatch):
    asked = []

    def race(runs, *args):
        asked.append(runs)
        return {"1": 2.0, "2": 1.0, "4": 1.0}

    monkeypatch.setattr(group_choice, "race", race)
    arguments = ("compare", "iris", "--methods", "dense,static", "--densities", "0.4", "--folds", 2,
                 "--seeds", 2, "--out", tmp_path / "c", *QUICK)  # fmt: skip
    done = run(*arguments, "--group", "1,4,auto")
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "c" / "comparison.json").read_text())["rows"]
    assert [(r["method"], r["group"]) for r in rows] == [
        ("dense", "1"), ("static", "1"), ("static", "4"), ("static", "auto")
    ]  # fmt: skip
    assert all(abs(r["nnz"] - rows[1]["nnz"]) <= 3 * 4 for r in rows[2:])
    assert [r["vs_alone"] is None for r in rows] == [True, True, False, False]
    assert "minus group 1" in done.stdout
    assert json.loads((tmp_path / "c" / "plan.json").read_text())["groups"] == {
        "static at density 0.4": "2,2,1"  # the last layer ends up full
    }
    count = len(asked)
    again = run(*arguments, "--group", "1,4,auto")
    assert again.exit_code == 0
    assert len(asked) == count
    refused = run(*arguments, "--group", "1,8")
    assert refused.exit_code == 2
    assert "groups" in refused.stderr


def test_comparisons_begun_without_groups_go_on(tmp_path):
    arguments = ("compare", "iris", "--methods", "static", "--densities", "0.4", "--folds", 2,
                 "--seeds", 1, "--out", tmp_path / "c", *QUICK)  # fmt: skip
    assert run(*arguments).exit_code == 0
    plan, results = tmp_path / "c" / "plan.json", tmp_path / "c" / "results.jsonl"
    state = json.loads(plan.read_text())
    del state["plan"]["groups"], state["plan"]["recipe"]["group"]
    plan.write_text(json.dumps(state))
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [line.pop("group") for line in lines] == ["1", "1"]
    results.write_text("".join(json.dumps(line) + "\n" for line in lines))
    again = run(*arguments)
    assert again.exit_code == 0, again.output
    assert [json.loads(line) for line in results.read_text().splitlines()] == lines
