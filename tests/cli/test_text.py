"""``train`` and ``evaluate`` on text, with a tiny model."""

import json
import math

import numpy as np
import pytest
from commands import run
from language import VERSE, _model, verse  # noqa: F401

from sparsecpu import load, save
from sparsecpu.cli.watchers import Interruption
from sparsecpu.datasets.text import Characters
from sparsecpu.files.archive import read_arrays

FEW = ["--model", "words", "--epochs", "2", "--density", "0.5", "--learning-rate", "0.01",
       "--quiet"]  # fmt: skip
#: The same for a model that is there already.
AGAIN = [*FEW[2:4], *FEW[6:]]


@pytest.fixture
def trained(verse, tmp_path):  # noqa: F811
    folder = tmp_path / "run"
    result = run("train", verse, *FEW, "--out", folder, "--json")
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout)


def test_a_text_is_learnt(trained, verse):  # noqa: F811
    folder, found = trained
    assert found["batch_size"] == 12
    assert found["test_loss"] < 0.7 * math.log(len(set(VERSE)))
    assert found["test_perplexity"] == pytest.approx(math.exp(found["test_loss"]))
    assert found["test_bits_per_byte"] == pytest.approx(found["test_loss"] / math.log(2))
    assert found["dense_step_ms"] is None
    config = json.loads((folder / "config.json").read_text())
    assert config["text"]["files"] == ["verse.txt"]
    assert config["text"]["bytes"] == len(VERSE) * 150
    recipe = config["recipe"]
    assert (recipe["optimizer"], recipe["weight_decay"], recipe["label_smoothing"]) == (
        "adam",
        0.1,
        0,
    )


def test_scores_are_the_mean_of_the_tokens_losses(trained, verse):  # noqa: F811
    folder, found = trained
    network, facts = load(folder / "model.npz")
    ids = Characters(facts["tokenizer"]["characters"]).encode(VERSE * 150)
    held = ids[-(len(ids) // 10) :]
    count = (len(held) - 1) // 16
    x, y = held[: count * 16].reshape(count, 16), held[1 : count * 16 + 1].reshape(count, 16)
    z = network.predict(x).astype(float)
    z -= np.log(np.exp(z).sum(axis=2, keepdims=True))
    losses = -np.take_along_axis(z, y[:, :, None].astype(int), 2)
    assert found["test_loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert found["test_samples"] == count


def test_evaluate(trained, verse, tmp_path):  # noqa: F811
    folder, found = trained
    again = json.loads(run("evaluate", folder, verse, "--json").stdout)
    assert again["test_loss"] == found["test_loss"]
    assert again["part"] == "test"
    assert json.loads(run("evaluate", folder, verse, "--part", "train", "--json").stdout)[
        "train_loss"
    ]
    (tmp_path / "other.txt").write_text("the cat\n")
    result = run("evaluate", folder, f"text:{tmp_path / 'other.txt'}")
    assert result.exit_code == 0, result.output
    assert "nats per token" in result.stdout
    for text, wrong in (("ZEBRA\n" * 20, "'Z'"), ("", "empty")):
        (tmp_path / "other.txt").write_text(text)
        refused(["evaluate", folder, f"text:{tmp_path / 'other.txt'}"], wrong)


def refused(command, word):
    result = run(*command)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert word in result.stderr


def test_what_does_not_fit_is_refused_in_a_line(trained, verse, tmp_path):  # noqa: F811
    folder, _ = trained
    refused(["train", verse, *FEW, "--model", "300,100"], "language model")
    refused(["train", "digits", *FEW], "it is for text")
    refused(["train", verse, *FEW, "--model", "words:block=4000"], "smaller block")
    refused(["train", verse, *FEW, "--target", "x"], "target")
    refused(["train", f"{verse}:tokens=bytes", *AGAIN, "--init", folder], "tokens=characters")
    refused(["evaluate", folder, "digits"], "text")
    refused(["evaluate", folder, f"{verse}:tokens=bytes"], "tokens=characters")
    refused(["predict", folder, verse], "generate")
    digits = tmp_path / "digits"
    assert run("train", "digits", "--epochs", 1, "--model", "5", "--quiet", "--no-dense-timing",
               "--out", digits).exit_code == 0  # fmt: skip
    refused(["evaluate", digits, verse], "classification")
    refused(["train", verse, *AGAIN, "--init", digits], "language model")


def test_a_run_goes_on_from_a_model_in_its_tokens(trained, tmp_path):
    folder, found = trained
    (tmp_path / "more.txt").write_text("the hat sat on the cat\n" * 60)
    result = run("train", f"text:{tmp_path / 'more.txt'}", *AGAIN, "--init", folder, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["test_loss"] < found["test_loss"] + 1


def test_a_vocabulary_that_differs_is_refused(trained, verse, tmp_path):  # noqa: F811
    folder, _ = trained
    network, facts = load(folder / "model.npz")
    other = tmp_path / "other.npz"
    facts["tokenizer"] = Characters("abc").to_dict()
    save(network, other, facts=facts)
    refused(["evaluate", other, verse], "3 tokens")
    del facts["tokenizer"]
    save(network, other, facts=facts)
    refused(["evaluate", other, verse], "tokenizer")
    refused(["train", f"{verse}:tokens=bytes", *AGAIN, "--init", other], "256")


def test_damaged_facts_are_refused(trained, verse, tmp_path):  # noqa: F811
    folder, _ = trained
    network, facts = load(folder / "model.npz")
    for wrong in (None, 3, {"name": "words"}, {"name": "characters", "characters": "ba"}):
        save(network, tmp_path / "other.npz", facts={**facts, "tokenizer": wrong})
        refused(["evaluate", tmp_path / "other.npz", verse], "tokenizer")


def test_the_same_bits_with_one_thread_and_two(verse, tmp_path):  # noqa: F811
    made = []
    for threads in (1, 2):
        out = tmp_path / f"run{threads}"
        result = run("train", verse, *FEW, "--threads", threads, "--out", out, "--epochs", 1)
        assert result.exit_code == 0, result.output
        made.append(read_arrays(out / "model.npz")[1])
    for name, array in made[0].items():
        assert np.array_equal(array, made[1][name]), name


def test_many_windows_are_scored_in_part(monkeypatch, trained, verse):  # noqa: F811
    from sparsecpu.experiments import language_scores

    monkeypatch.setattr(language_scores, "MOST", 10)
    assert language_scores.scored(47).tolist() == [47 * i // 10 for i in range(10)]
    result = run("evaluate", trained[0], verse)
    assert "10 of 47 windows" in result.stdout


def history_of(folder):
    return list(map(json.loads, (folder / "history.jsonl").read_text().splitlines()))


def test_a_run_of_so_many_steps_goes_on(verse, tmp_path, monkeypatch):  # noqa: F811
    def at_17(clock, trainer, loss):
        trainer.interrupted = trainer.steps_done == 17

    few = [*FEW[:2], *FEW[4:], "--steps", "45", "--evaluate-every", "4"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    found = json.loads(run("train", verse, *few, "--out", whole, "--json").stdout)
    assert (found["steps"], found["epochs"]) == (45, 9)
    lines = history_of(whole)
    assert [line["step"] for line in lines] == [*range(5, 46, 5)]
    scores = [found for line in lines for found in line.get("evaluations", [])]
    assert [found["step"] for found in scores] == [*range(4, 46, 4)]
    assert scores[-1]["loss"] < scores[0]["loss"]
    with monkeypatch.context() as patch:
        patch.setattr(Interruption, "on_step", at_17)
        assert run("train", verse, *few, "--out", broken).exit_code == 130
    result = run("train", "--resume", broken, "--quiet", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["test_loss"] == found["test_loss"]
    assert (broken / "model.npz").read_bytes() == (whole / "model.npz").read_bytes()
    again = [[line.get("evaluations") for line in history_of(out)] for out in (whole, broken)]
    assert again[0] == again[1]
    refused(["train", verse, *few, "--epochs", "3"], "--epochs")
    refused(["train", "--resume", broken, "--steps", "44", "--quiet"], "45")
