"""Tables that a model was not trained on: columns by their names, and all of the rows."""

import json

import numpy as np
import pandas as pd
import pytest
from commands import TINY, run

from sparsecpu.files.model import load_all, save

NAMES = ["width", "age", "2015", "weight"]


def table(rows=110, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 4)).round(3)
    frame = pd.DataFrame(x, columns=NAMES)
    frame["kind"] = np.where(x[:, 0] + 2 * x[:, 1] - x[:, 3] > 0, "up", "down")
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on 60 rows, and 50 others in several files."""
    folder = tmp_path_factory.mktemp("tables")
    seen, new = table()[:60], table()[60:]
    seen.to_csv(folder / "train.csv", index=False)
    new.to_csv(folder / "new.csv", index=False)
    options = ["--density", 0.5, "--epochs", 40, "--out", folder / "run"]
    result = run("train", folder / "train.csv", *TINY, *options)
    assert result.exit_code == 0, result.output
    return folder


def written(folder, frame, **options):
    path = folder / "it.csv"
    frame.to_csv(path, index=False, **options)
    return path


def scored(folder, data, *options):
    result = run("evaluate", folder / "run", data, "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def probabilities(folder, data, *options):
    result = run("predict", folder / "run", data, "--json", "--proba", *options)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    return found["predictions"], found["probabilities"]


def refused(command, *args):
    result = run(command, *args)
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("note: ")]
    return line


def test_every_row_of_another_file_counts(folder):
    found = scored(folder, folder / "new.csv")
    assert (found["test_samples"], found["part"]) == (50, "test")
    assert found["test_accuracy"] > 0.8
    assert len(run("predict", folder / "run", folder / "new.csv").stdout.split()) == 50


def test_of_the_training_file_what_was_held_out_counts(folder):
    wanted = scored(folder, folder / "train.csv")
    assert wanted["test_samples"] == 12
    assert wanted["test_accuracy"] == load_all(folder / "run" / "model.npz")[1]["facts"]["metrics"][
        "test_accuracy"
    ]  # fmt: skip
    elsewhere = written(folder, table()[:60][["kind", *NAMES[::-1]]])  # known by what is in it
    assert {**scored(folder, elsewhere), "data": 0} == {**wanted, "data": 0}
    train, everything = (scored(folder, elsewhere, "--part", p) for p in ("train", "all"))
    assert (train["train_samples"], everything["all_samples"]) == (48, 60)
    right = [round(found[f"{p}_accuracy"] * found[f"{p}_samples"])
             for p, found in (("test", wanted), ("train", train), ("all", everything))]  # fmt: skip
    assert right[0] + right[1] == right[2]
    # A copy of the rows that were trained on is no test either.
    held = len(probabilities(folder, elsewhere, "--part", "test")[0])
    assert (held, len(probabilities(folder, elsewhere)[0])) == (12, 60)


def test_rows_that_were_trained_on_are_called_so_in_a_file_of_their_own(folder):
    from sparsecpu.datasets.base import held_out

    frame = table()[:60]
    numbers = (frame["kind"] == "up").to_numpy().astype(int)
    held = held_out("it", numbers, "classification")
    assert scored(folder, written(folder, frame[~held]))["part"] == "train"
    assert scored(folder, written(folder, frame[held]))["part"] == "test"


def test_a_training_file_that_has_changed_is_said_to(tmp_path):
    frame, path = table()[:60], tmp_path / "it.csv"
    frame.to_csv(path, index=False)
    assert run("train", path, *TINY, "--out", tmp_path / "run").exit_code == 0
    frame["age"] += 1
    frame.to_csv(path, index=False)
    result = run("evaluate", tmp_path / "run", path, "--json")
    assert json.loads(result.stdout)["test_samples"] == 60
    assert "is not as it was" in result.stderr


@pytest.mark.parametrize("rows", [1, 3, "one class"])
def test_few_rows_and_one_class_can_be_scored(folder, rows):
    frame = table()[60:]
    frame = frame[frame["kind"] == "up"] if rows == "one class" else frame[:rows]
    found = scored(folder, written(folder, frame))
    assert found["test_samples"] == len(frame)
    labels = probabilities(folder, folder / "it.csv")[0]
    assert found["test_accuracy"] == np.mean(np.array(labels) == frame["kind"].to_numpy())
    if rows == 3:
        assert "at least 5" in refused("evaluate", folder / "run", folder / "it.csv",
                                       "--part", "test")  # fmt: skip


def test_permuted_columns_give_the_same_bits(folder):
    wanted, score = probabilities(folder, folder / "new.csv"), scored(folder, folder / "new.csv")
    rng = np.random.default_rng(1)
    for _ in range(4):
        order = rng.permutation([*NAMES, "kind"])
        path = written(folder, table()[60:][order])
        assert probabilities(folder, path) == wanted
        assert {**scored(folder, path), "data": 0} == {**score, "data": 0}
    assert probabilities(folder, written(folder, table()[60:][NAMES[::-1]])) == wanted


def test_missing_columns_are_refused_by_name_and_others_ignored_with_a_word(folder):
    frame = table()[60:]
    for command in ("evaluate", "predict"):
        path = written(folder, frame.drop(columns="age"))
        assert "'age'" in refused(command, folder / "run", path)
        path = written(folder, frame.rename(columns={"2015": "2016"}))
        assert "'2015'" in refused(command, folder / "run", path)
        path = written(folder, pd.concat([frame, frame["age"]], axis=1))
        assert "2 columns named 'age'" in refused(command, folder / "run", path)
    assert "'kind'" in refused("evaluate", folder / "run",
                               written(folder, frame.drop(columns="kind")))  # fmt: skip
    path = written(folder, frame.assign(note=range(50)))
    result = run("predict", folder / "run", path, "--json", "--proba")
    assert "'note'" in result.stderr
    wanted = run("predict", folder / "run", folder / "new.csv", "--json", "--proba")
    assert (result.stdout, wanted.stderr) == (wanted.stdout, "")
    path = written(folder, frame.rename(columns={"kind": "truth"}))
    assert scored(folder, path, "--target", "truth")["test_samples"] == 50


def test_a_table_without_names_is_matched_by_place_if_the_count_is_right(folder):
    frame, wanted = table()[60:], probabilities(folder, folder / "new.csv")
    path = written(folder, frame, header=False)
    result = run("evaluate", folder / "run", path)
    assert "'width', 'age', '2015', 'weight'" in result.stderr
    assert f"{100 * scored(folder, folder / 'new.csv')['test_accuracy']:.2f}" in result.stdout
    assert probabilities(folder, written(folder, frame[NAMES], header=False)) == wanted
    path = written(folder, frame[NAMES[1:]], header=False)
    assert "3 columns" in refused("predict", folder / "run", path)


def test_without_names_the_target_is_where_it_was_in_training(tmp_path):
    frame = table()[["width", "kind", "age", "2015", "weight"]]
    frame[:60].to_csv(tmp_path / "train.csv", index=False)
    options = ["--target", "kind", "--out", tmp_path / "run", "--density", 0.5]
    assert run("train", tmp_path / "train.csv", *TINY, *options).exit_code == 0
    frame[60:].to_csv(tmp_path / "new.csv", index=False)
    frame[60:].to_csv(tmp_path / "bare.csv", index=False, header=False)
    found = [run("evaluate", tmp_path / "run", tmp_path / f"{name}.csv", "--quiet").stdout
             for name in ("new", "bare")]  # fmt: skip
    assert found[0] == found[1] != ""


def test_columns_that_were_left_out_in_training_may_be_there_or_not(tmp_path):
    frame = table()
    frame.insert(0, "", range(110))  # as pandas writes its index
    out, path = tmp_path / "run", tmp_path / "train.csv"
    frame[:60].to_csv(path, index=False)
    assert run("train", path, *TINY, "--density", 0.5, "--out", out).exit_code == 0
    frame = frame[60:]
    wanted = run("predict", out, written(tmp_path, frame), "--json", "--proba")
    assert "note" not in wanted.stderr
    bare = frame[[*NAMES, "kind"]]
    for names in (True, False):
        for some in (frame, bare, *([frame[["", *NAMES]]] * names), bare[NAMES]):
            path = written(tmp_path, some, header=names)
            found = run("predict", out, path, "--json", "--proba")
            if names or some is not bare:
                assert found.stdout == wanted.stdout
            else:  # the number might be there, and the target not
                assert "two ways" in found.stderr
    path = written(tmp_path, bare, header=False)
    assert json.loads(run("evaluate", out, path, "--json").stdout)["test_samples"] == 50


def test_a_model_without_names_takes_columns_by_their_place(folder, tmp_path):
    network, header, _ = load_all(folder / "run" / "model.npz")
    facts = {k: v for k, v in header["facts"].items() if k not in ("columns", "training_data")}
    save(network, tmp_path / "old.npz", facts=facts)  # as versions before these facts wrote it
    found = run("predict", tmp_path / "old.npz", folder / "new.csv", "--json", "--proba").stdout
    assert found == run("predict", folder / "run", folder / "new.csv", "--json", "--proba").stdout
    for name, samples in (("train", 12), ("new", 50)):  # it knows its data by name alone
        score = json.loads(run("evaluate", tmp_path / "old.npz", folder / f"{name}.csv",
                               "--json").stdout)  # fmt: skip
        assert score["test_samples"] == samples
    path = written(folder, table()[60:].drop(columns="age"))
    refused("evaluate", tmp_path / "old.npz", path)


@pytest.mark.parametrize(
    "damage",
    [
        {"columns": 3}, {"columns": {"names": ["a"]}}, {"columns": {"names": []}},
        {"training_data": {}}, {"training_data": "x"}, {"first_feature": 2}, {"data": 1},
    ],
    ids=str,
)  # fmt: skip
def test_damaged_facts_are_refused(folder, tmp_path, damage):
    network, header, _ = load_all(folder / "run" / "model.npz")
    save(network, tmp_path / "m.npz", facts=header["facts"] | damage)
    refused("predict", tmp_path / "m.npz", folder / "new.csv")


def test_training_goes_on_with_the_columns_in_their_order_only(folder):
    path = written(folder, table()[:60][[*NAMES[::-1], "kind"]])
    assert "'weight'" in refused("train", path, "--init", folder / "run", *TINY[4:])
    result = run("train", folder / "train.csv", "--init", folder / "run", *TINY[4:])
    assert result.exit_code == 0, result.output


def test_inspect_and_export_keep_the_names(folder, tmp_path):
    shown = run("inspect", folder / "run").stdout
    assert "'width', 'age', '2015', 'weight'" in shown
    assert "target 'kind': 'down', 'up'" in shown
    out = tmp_path / "m.safetensors"
    assert run("export", folder / "run", "--to", "safetensors", "--out", out).exit_code == 0
    assert run("import", out, "--out", tmp_path / "m.npz").exit_code == 0
    facts = load_all(tmp_path / "m.npz")[1]["facts"]
    assert facts["columns"]["names"] == NAMES


def test_targets_that_the_model_cannot_have_are_refused(folder):
    frame = table()[60:]
    path = written(folder, frame.replace({"kind": {"up": "sideways"}}))
    assert "sideways" in refused("evaluate", folder / "run", path)
    assert "regression" in refused(
        "evaluate", folder / "run", folder / "new.csv", "--task", "regression"
    )


def test_missing_values_categories_and_spelling_are_as_in_training(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"colour": rng.choice(["red", "blue"], 90),
                          "size": rng.random(90).round(2).astype(str)})  # fmt: skip
    frame["code"] = np.where(frame["colour"] == "red", "007", "7")
    gaps = [5, 50, 70]
    frame.loc[gaps, "size"] = "n.v."
    frame[:60].to_csv(tmp_path / "train.csv", index=False)
    options = ["--categorical", "auto", "--missing", "n.v.", "--drop-missing", "--epochs", 40]
    out = tmp_path / "run"
    result = run("train", tmp_path / "train.csv", *TINY, *options, "--density", 0.8, "--out", out)
    assert result.exit_code == 0, result.output
    held = json.loads(run("evaluate", out, tmp_path / "train.csv", "--json").stdout)
    assert held["test_samples"] == round(58 / 5)
    new, path = frame[60:][["code", "size", "colour"]], tmp_path / "new.csv"
    new.to_csv(path, index=False)
    score = run("evaluate", out, path, "--json")
    assert json.loads(score.stdout)["test_samples"] == 29
    assert json.loads(score.stdout)["test_accuracy"] == 1
    assert "left out 1 of 30 rows" in score.stderr
    said = refused("predict", out, path)  # there is a line for each row, or none
    assert "line 12, column 'size'" in said
    assert "--drop-missing" not in said
    refused("predict", out, path, "--drop-missing")
    new = new[new["size"] != "n.v."]
    new.to_csv(path, index=False)
    assert run("predict", out, path).stdout.split() == new["code"].tolist()
    assert "'green'" in refused("predict", out, written(tmp_path, new.replace("red", "green")))
    wrong = new.replace({"code": {"007": "0007"}})
    assert "0007" in refused("evaluate", out, written(tmp_path, wrong))


def test_quantities_are_read_as_in_training(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((60, 3)), columns=["a", "b", "price"])
    frame["price"] += frame["a"]
    frame[:40].to_csv(tmp_path / "train.csv", index=False)
    out = tmp_path / "run"
    options = ["--density", 0.8, "--out", out]
    assert run("train", tmp_path / "train.csv", *TINY, *options).exit_code == 0
    found = []
    for options in ({}, {"sep": ";", "decimal": ","}, {"sep": "\t"}):
        path = written(tmp_path, frame[40:][["price", "b", "a"]], **options)
        found.append(json.loads(run("evaluate", out, path, "--json").stdout))
    assert found[0]["test_samples"] == 20
    assert found[0] == found[1] == found[2]
    path = written(tmp_path, frame[40:].assign(price="cheap"))
    assert "'cheap'" in refused("evaluate", out, path)
    assert "R2" in refused("evaluate", out, written(tmp_path, frame[40:41]))
    written(tmp_path, frame[40:41].drop(columns="price"))
    assert len(run("predict", out, tmp_path / "it.csv").stdout.split()) == 1
