"""``--resume RUN`` with other options: a run that is trained longer, or learns at another rate."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from sparsecpu.cli import main
from sparsecpu.experiments.run_folder import Checkpoints
from sparsecpu.topology import TOPOLOGIES

LENGTH = {"--epochs": (3, 7), "--steps": (25, 61)}


def run(*words):
    return CliRunner().invoke(main, [*map(str, words)])


def train(*words):
    result = run("train", *words, "--no-dense-timing", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def begin(folder, *more):
    return train("iris", "--model", "30", "--density", 0.5, "--out", folder, *more)


def history(folder):
    lines = (folder / "history.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if "seconds" not in k} for line in lines]


def snapshots(monkeypatch, to):
    """Keep what is in a run's folder after each epoch, as a kill at that moment would leave it."""
    after = Checkpoints.on_epoch_end

    def keep(self, trainer, record):
        after(self, trainer, record)
        shutil.copytree(
            self.folder.path, to / str(trainer.epochs_done), ignore=shutil.ignore_patterns(".lock*")
        )

    monkeypatch.setattr(Checkpoints, "on_epoch_end", keep)


@pytest.mark.parametrize("length", LENGTH)
def test_a_kill_after_the_change_changes_nothing(length, tmp_path, monkeypatch):
    """Whether the new length is said again or not: the same model, checkpoint and history."""
    first, then = LENGTH[length]
    begin(tmp_path / "run", length, first)
    before = len(history(tmp_path / "run"))
    with monkeypatch.context() as patch:
        snapshots(patch, tmp_path)
        found = train("--resume", tmp_path / "run", length, then)
    assert found[length[2:]] == then
    records = history(tmp_path / "run")
    assert [record["epoch"] for record in records] == list(range(1, len(records) + 1))
    assert records[-1]["step"] == found["steps"]
    middle = tmp_path / str((before + len(records)) // 2)
    assert before < len(history(middle)) < len(records)
    for again in ((), (length, then)):
        shutil.copytree(middle, tmp_path / "killed")
        train("--resume", tmp_path / "killed", *again)
        for name in ("model.npz", "checkpoint.npz", "config.json"):
            ours, theirs = ((tmp_path / f / name).read_bytes() for f in ("run", "killed"))
            assert ours == theirs, name
        assert history(tmp_path / "killed") == records
        shutil.rmtree(tmp_path / "killed")


def test_the_learning_rate_is_that_of_a_run_of_the_new_length(tmp_path):
    """At every step from the change on; before, it stays what it was."""
    begin(tmp_path / "short", "--epochs", 4)
    old = [record["learning_rate"] for record in history(tmp_path / "short")]
    train("--resume", tmp_path / "short", "--epochs", 8)
    begin(tmp_path / "long", "--epochs", 8)
    short, long = (
        [record["learning_rate"] for record in history(tmp_path / name)]
        for name in ("short", "long")
    )
    assert short == [*old, *long[4:]]
    assert short[4] > short[3]  # the cosine had come to its end
    config = json.loads((tmp_path / "short/config.json").read_text())
    assert config["recipe"]["epochs"] == 8
    assert config["changed"] == [{"epoch": 4, "step": 16, "epochs": 8}]


def test_rate_and_schedule_may_be_others(tmp_path):
    begin(tmp_path / "r", "--epochs", 2)
    train("--resume", tmp_path / "r", "--epochs", 4, "--learning-rate", 0.002, "--schedule",
          "constant:warmup=0")  # fmt: skip
    assert [r["learning_rate"] for r in history(tmp_path / "r")][2:] == pytest.approx([0.002] * 2)
    train("--resume", tmp_path / "r", "--epochs", 5)
    assert history(tmp_path / "r")[-1]["learning_rate"] == pytest.approx(0.002)
    assert len(json.loads((tmp_path / "r/config.json").read_text())["changed"]) == 2


@pytest.mark.parametrize("topology", sorted(TOPOLOGIES))
def test_every_topology_goes_on(topology, tmp_path):
    often = () if topology == "static" else ("--update-every", 2)
    begin(tmp_path / "r", "--epochs", 3, "--topology", topology, *often)
    found = train("--resume", tmp_path / "r", "--epochs", 6)
    assert len(history(tmp_path / "r")) == 6
    assert np.isfinite([r["loss"] for r in history(tmp_path / "r")]).all()
    if topology not in ("static", "gradual", "gse"):  # it stops half-way
        assert any("updates" in record for record in history(tmp_path / "r")[3:])
    assert found["density"] <= 0.52


@pytest.mark.parametrize(
    ("begun", "given", "told"),
    [
        (("--epochs", 3), ("--epochs", 2), "3 epochs"),
        (("--steps", 12), ("--steps", 5), "12 steps"),
        (("--epochs", 3), ("--steps", 50), "--epochs"),
        (("--steps", 12), ("--epochs", 9), "--steps"),
        (("--epochs", 3), ("--epochs", 9, "--density", 0.3), "--density"),
        (("--epochs", 3), ("--epochs", 9, "--batch-size", 7), "--batch-size"),
        (("--epochs", 3), ("--epochs", 0), "epochs"),
        (("--epochs", 3), ("--schedule", "cosin"), "cosine"),
    ],
)
def test_what_may_not_be_changed_is_one_line_and_changes_nothing(begun, given, told, tmp_path):
    begin(tmp_path / "r", *begun)
    before = {p.name: p.read_bytes() for p in (tmp_path / "r").iterdir()}
    result = run("train", "--resume", tmp_path / "r", *given, "--no-dense-timing", "--quiet")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert told in result.stderr
    assert {p.name: p.read_bytes() for p in (tmp_path / "r").iterdir()} == before


def test_the_seconds_of_a_resumed_run_are_of_all_its_parts(tmp_path):
    first = begin(tmp_path / "run", "--epochs", 3)
    assert first["part_seconds"] is None
    then = train("--resume", tmp_path / "run", "--epochs", 7)
    assert then["seconds"] == pytest.approx(first["seconds"] + then["part_seconds"])
    (tmp_path / "run" / "result.json").unlink()  # as after a kill: the history is left
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    spent = sum(
        record["seconds"] + record.get("compile_seconds", 0) for record in map(json.loads, lines)
    )
    last = train("--resume", tmp_path / "run", "--epochs", 8)
    assert last["seconds"] == pytest.approx(spent + last["part_seconds"])
