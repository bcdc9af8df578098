"""``generate``: a run on text writes on."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from commands import run

from sparsecpu import save
from sparsecpu.cli import generate as generating
from sparsecpu.datasets.text import Characters
from sparsecpu.models import gpt, lenet_300_100

TOKENS = Characters("".join(sorted("abcdef \né")))


@pytest.fixture
def model(tmp_path):
    described = gpt((16,), TOKENS.vocabulary, layers=1, heads=2, width=16).sparsify(0.5)
    network = described.build(np.random.default_rng(0))
    save(network, tmp_path / "model.npz", facts={"task": "language", "tokenizer": TOKENS.to_dict()})
    return tmp_path


def test_text_comes_behind_the_prompt(model):
    done = run("generate", model, "--prompt", "fé ", "--tokens", 30, "--seed", 3)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("fé ")
    assert len(done.stdout) == 3 + 30 + 1
    document = json.loads(
        run("generate", model, "--prompt", "fé ", "--tokens", 30, "--seed", 3, "--json").stdout
    )
    assert document["text"] == done.stdout[3:-1]
    assert TOKENS.decode(document["tokens"]) == document["text"]
    sharp = ["--temperature", "0", "--seed", "9", "--tokens", "30"]
    assert run("generate", model, "--prompt", "a", *sharp).stdout == (
        run("generate", model, "--prompt", "a", "--top-k", "1", "--tokens", "30").stdout
    )


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (["--prompt", "aX"], "'X'"), (["--prompt", ""], "--prompt"), ([], "--prompt"),
        (["--prompt", "a", "--tokens", "0"], "--tokens"),
        (["--prompt", "a", "--temperature", "-1"], "--temperature"),
        (["--prompt", "a", "--top-k", "0"], "--top-k"),
        (["--prompt", "a", "--seed", "-1"], "--seed"),
    ],
)  # fmt: skip
def test_mistakes_are_said_in_a_line(model, wrong, word):
    done = run("generate", model, *wrong)
    assert done.exit_code == 2
    assert not done.stdout
    assert done.stderr.count("\n") == 1
    assert word in done.stderr


def test_other_models_do_not_write(tmp_path):
    network = lenet_300_100((4,), 2).sparsify(0.5).build()
    save(network, tmp_path / "model.npz", facts={"task": "classification", "classes": ["a", "b"]})
    done = run("generate", tmp_path, "--prompt", "a")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1


def test_a_reader_that_ends_ends_it(model):
    words = [sys.executable, "-m", "sparsecpu", "generate", str(model), "--prompt", "a",
             "--tokens", "1000000", "--quiet"]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        assert started.stdout.read(8)
        started.stdout.close()
        assert started.wait(60) == 128 + 13
        assert not started.stderr.read()


def test_ctrl_c_ends_it(model):
    words = [sys.executable, "-m", "sparsecpu", "generate", str(model), "--prompt", "a",
             "--tokens", "1000000", "--quiet"]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        assert started.stdout.read(8)
        os.kill(started.pid, signal.SIGINT)
        out, err = started.communicate(timeout=60)
    assert started.returncode == 130
    assert out.endswith(b"\n")
    assert err == b"sparsecpu: interrupted\n"


def test_kernels_are_compiled_before_the_prompt_is_shown(monkeypatch):
    happened = []

    class Network:
        def generate(self, ids, tokens, **drawn):
            for token in range(tokens):
                happened.append("step")
                yield token

    monkeypatch.setattr(generating, "_language_model", lambda path: (Network(), TOKENS))
    monkeypatch.setattr("sparsecpu.files.places.model_path", lambda path: path)
    monkeypatch.setattr(generating, "put", lambda text, ends=True: happened.append(text))
    generating.generate.callback("m", "abc", tokens=4, temperature=1.0, top_k=None, seed=0,
                                 threads=None, quiet=True, as_json=False)  # fmt: skip
    assert happened[:3] == ["step", "step", "abc"]
    assert happened.count("step") == 4
