"""Runs that are broken off, and go on as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from commands import TINY, process, run


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
