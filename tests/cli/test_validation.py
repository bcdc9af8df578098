"""Runs that are scored while they train, stop by the score, and keep their best network."""

import json

import numpy as np
import pytest
from commands import TINY, run

from sparsecpu import load
from sparsecpu.experiments.epoch_scores import mean_loss
from sparsecpu.experiments.history_file import HistoryFile
from sparsecpu.experiments.run_folder import Checkpoints
from sparsecpu.experiments.validation import cut_off
from sparsecpu.losses import SoftmaxCrossEntropy, SquaredError
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace

WORDS = ["train", "iris", *TINY, "--epochs", 9, "--topology", "set", "--seed", 1,
         "--batch-size", 8, "--learning-rate", 0.2, "--validation", 0.3, "--best"]  # fmt: skip


def history(folder):
    records = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{k: v for k, v in record.items() if "seconds" not in k} for record in records]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validated") / "run"
    result = run(*WORDS, "--out", folder, "--json")
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout)


def test_the_history_has_scores_rates_and_densities(whole):
    folder, found = whole
    records = history(folder)
    assert len(records) == 9
    assert found["validation_samples"] == 36
    assert found["train_samples"] == 84
    for record in records:
        assert 0 <= record["validation_score"] <= 1
        assert 0 <= record["train_score"] <= 1
        assert record["validation_loss"] > 0
        assert record["learning_rate"] > 0
        assert len(record["densities"]) == len(found["layers"])


def test_the_best_network_is_kept_with_its_pattern(whole):
    """Its scores and densities are those of the best epoch, though training went on."""
    folder, found = whole
    records = history(folder)
    best = max(records, key=lambda record: record["validation_score"])
    assert best["epoch"] == found["best_epoch"] < 9
    assert found["validation_accuracy"] == best["validation_score"]
    assert found["validation_loss"] == pytest.approx(best["validation_loss"], rel=1e-6)
    kept, _ = load(folder / "model.npz")
    last, _ = load(folder / "checkpoint.npz")
    layers = kept.sparse_parameters(), last.sparse_parameters()
    assert [p.density for p in layers[0].values()] == best["densities"]
    assert any(
        not np.array_equal(p.pattern.indices, q.pattern.indices)
        for p, q in zip(layers[0].values(), layers[1].values(), strict=True)
    )


class _Killed(KeyboardInterrupt):
    """As good as a kill: nothing is written behind it."""


@pytest.mark.parametrize("moment", ["before the checkpoint", "after the checkpoint", "in an epoch"])
def test_a_run_goes_on_to_the_same_bits_across_its_best_epoch(whole, moment, tmp_path, monkeypatch):
    folder, found = whole
    at, write, append = found["best_epoch"], Checkpoints.write, HistoryFile.append

    def appended(self, record):
        append(self, record)
        if record["epoch"] == at and moment == "before the checkpoint":
            raise _Killed

    def written(self, trainer):
        write(self, trainer)
        if trainer.epochs_done == at and moment == "after the checkpoint":
            raise _Killed

    def stepped(self, trainer, loss):
        if trainer.epochs_done == at and moment == "in an epoch":
            trainer.interrupted = True

    with monkeypatch.context() as patched:
        patched.setattr(HistoryFile, "append", appended)
        patched.setattr(Checkpoints, "write", written)
        patched.setattr("sparsecpu.cli.watchers.Interruption.on_step", stepped)
        assert run(*WORDS, "--out", tmp_path / "run").exit_code == 130
    assert not (tmp_path / "run" / "model.npz").exists()
    result = run("train", "--resume", tmp_path / "run", "--json", "--quiet", "--no-dense-timing")
    assert result.exit_code == 0, result.output
    for name in ("model.npz", "checkpoint.npz"):
        assert (tmp_path / "run" / name).read_bytes() == (folder / name).read_bytes()
    assert history(tmp_path / "run") == history(folder)
    assert json.loads(result.stdout)["best_epoch"] == found["best_epoch"]


def test_early_stopping_ends_a_run(tmp_path):
    result = run(*WORDS, "--epochs", 40, "--early-stopping", 2, "--out", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["epochs"] == len(history(tmp_path / "run")) == found["best_epoch"] + 3 < 40
    before = (tmp_path / "run" / "model.npz").read_bytes()
    again = ["train", "--resume", tmp_path / "run", "--quiet", "--no-dense-timing", "--json"]
    assert run(*again).exit_code == 0
    assert (tmp_path / "run" / "model.npz").read_bytes() == before
    for epochs in (50, 60):  # patience begins anew where a run is to be longer
        longer = run(*again, "--epochs", epochs)
        assert longer.exit_code == 0, longer.output
        assert json.loads(longer.stdout)["epochs"] >= found["epochs"] + 3
        found = json.loads(longer.stdout)


def test_a_file_is_read_as_data_is(tmp_path, rng):
    """Its columns may stand in another order, and its classes are those of the training data."""
    x = rng.standard_normal((60, 2))
    labels = np.where(x[:, 0] > 0, "up", "down")
    rows = [f"{a:.4f},{b:.4f},{label}" for (a, b), label in zip(x, labels, strict=True)]
    (tmp_path / "train.csv").write_text("\n".join(["a,b,what", *rows[:45]]))
    turned = [",".join(np.array(row.split(","))[[2, 1, 0]]) for row in rows[45:]]
    (tmp_path / "held.csv").write_text("\n".join(["what,b,a", *turned]))
    words = ["train", tmp_path / "train.csv", *TINY, "--target", "what", "--validation"]
    result = run(*words, tmp_path / "held.csv", "--out", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["validation_samples"], found["train_samples"]) == (15, 36)
    scored = run("evaluate", tmp_path / "run", tmp_path / "held.csv", "--target", "what", "--json")
    assert json.loads(scored.stdout)["test_accuracy"] == found["validation_accuracy"]
    held = (tmp_path / "held.csv").read_text()
    (tmp_path / "held.csv").write_text(held + "\nup,1.5,1.5")
    result = run("train", "--resume", tmp_path / "run")
    assert result.exit_code == 2
    assert "held.csv has other samples" in result.stderr
    (tmp_path / "held.csv").write_text(held + "\nsideways,1.5,1.5")
    result = run(*words, tmp_path / "held.csv")
    assert result.exit_code == 2
    assert "sideways" in result.stderr


def test_what_is_scored_later_was_not_trained_on(tmp_path, rng):
    """Samples held out for validation are no news to a model: evaluate takes the test samples."""
    x = rng.standard_normal((50, 3))
    np.savez(tmp_path / "d.npz", x=x, y=(x[:, 0] > 0).astype(int))
    result = run("train", tmp_path / "d.npz", *TINY, "--validation", 0.25, "--out", tmp_path / "r")
    assert result.exit_code == 0, result.output
    found = json.loads(run("evaluate", tmp_path / "r", tmp_path / "d.npz", "--json").stdout)
    assert (found["part"], found["test_samples"]) == ("test", 10)


def test_the_seed_chooses_a_part_with_the_proportions_of_the_classes():
    from sparsecpu.datasets import load_digits

    data = load_digits()
    (left, held), (_, same), (_, other) = (cut_off(data, 0.1, seed) for seed in (0, 0, 1))
    assert len(left.y_train) + len(held.y) == len(data.y_train)
    assert held.mark == same.mark != other.mark
    shares = np.bincount(held.y) / np.bincount(data.y_train)
    assert abs(shares - 0.1).max() < 0.01
    ours = np.concatenate([left.x_train, held.x])
    assert sorted(map(bytes, ours)) == sorted(map(bytes, data.x_train))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["iris", "--validation", "0"], "between 0 and 1"),
        (["iris", "--validation", "1"], "between 0 and 1"),
        (["iris", "--validation", "nan"], "between 0 and 1"),
        (["iris", "--validation", "0.01"], "holds out at least 3 of 120"),
        (["iris", "--validation", "0.99"], "leaves at least 3 of 120"),
        (["iris", "--validation", "iris"], "other data"),
        (["iris", "--validation", "nothing.csv"], "none of this name"),
        (["iris", "--best"], "--best needs --validation"),
        (["iris", "--early-stopping"], "--early-stopping needs --validation"),
        (["iris", "--validation", "0.2", "--early-stopping", "0"], "at least 1"),
        (["--early-stopping", "iris"], "--early-stopping=10"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(words, said):
    result = run("train", *words)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert said in result.stderr


def test_text_is_scored_in_another_way(tmp_path):
    (tmp_path / "t.txt").write_text("all the king's horses and all the king's men " * 40)
    result = run("train", f"text:{tmp_path / 't.txt'}", "--validation", "0.1")
    assert result.exit_code == 2
    assert "--evaluate-every" in result.stderr


def test_a_resumed_run_keeps_what_it_was_begun_with(whole):
    for words in (["--validation", "0.2"], ["--early-stopping", "4"]):
        result = run("train", "--resume", whole[0], *words)
        assert result.exit_code == 2
        assert words[0] in result.stderr


def test_the_validation_loss_is_the_one_that_is_trained_on(rng):
    """The kernels' loss and NumPy's agree, so that both curves may stand in one picture."""
    z = rng.standard_normal((16, 4)).astype(np.float32)
    ctx, rows = Context(Workspace(), n_valid=16, predicts=True), np.arange(16)
    tiles = np.ascontiguousarray(z.T[None])
    numbers, aims = rng.integers(0, 4, 16), rng.standard_normal((16, 4))
    classes = {"task": "classification"}
    scaled = {"task": "regression", "target_mean": [1.0] * 4, "target_scale": [3.0] * 4}
    for loss, y, found in (
        (SoftmaxCrossEntropy(0.1), numbers, mean_loss(z, numbers, classes, 0.1)),
        (SquaredError(), aims, mean_loss(z, 3 * aims + 1, scaled)),
    ):
        theirs, _ = loss(tiles, rows, loss.prepare(y, 4), ctx)
        assert found == pytest.approx(theirs, rel=1e-5)
