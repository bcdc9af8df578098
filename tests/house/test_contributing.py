"""What CONTRIBUTING.md promises: its snippets, word for word in a checkout, work everywhere."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
#: The files that the snippets become, and those that get the line.
PLACES = [
    ("layers/swish.py", "layers/__init__.py"),
    ("sparsecpu/topology/threshold.py", "sparsecpu/topology/__init__.py"),
]
TINY = ["--epochs", "2", "--no-dense-timing", "--quiet", "--json"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with the new layer and the new rule, each one file and one line.

    Kernels are linked to ours, so that they are in the cache.
    """
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("sparsecpu", "layers", "datasets", "bench"):
        leave_out = shutil.ignore_patterns("__pycache__", "kernels")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=leave_out)
    (folder / "sparsecpu" / "kernels").symlink_to(ROOT / "sparsecpu" / "kernels")
    files, lines = SNIPPETS[::2], SNIPPETS[1::2]
    for (file, register), content, line in zip(PLACES, files, lines, strict=True):
        assert line.count("\n") == 1
        assert f"`{file}`" in TEXT
        assert f"`{register}`" in TEXT
        (folder / file).write_text(content)
        with open(folder / register, "a") as opened:
            opened.write(line)
    return folder


def run(checkout, *args):
    """Run Python in the checkout and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, *map(str, args)],
        cwd=checkout, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def sparsecpu(checkout, *args):
    return run(checkout, "-m", "sparsecpu", *args)


def test_the_list_of_floors_is_the_one_that_is_tested():
    house = (Path(__file__).parent / "test_house.py").read_text()
    floors = next(
        ast.literal_eval(node.value)
        for node in ast.parse(house).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "FLOORS"
    )
    written = [
        re.findall("`(.*?)`", line.partition(":")[0])
        for line in re.findall(r"^\d+\. (.*)$", TEXT, flags=re.MULTILINE)
    ]
    assert [sorted(rooms) for rooms in written] == [sorted(f.split()) for f in floors[:-1]]


def test_every_file_that_is_named_is_there():
    new = {file for file, _ in PLACES}
    for path in set(re.findall(r"`([\w/-]+/[\w.-]+\.(?:py|md))`", TEXT)) - new:
        assert (ROOT / path).is_file(), path


def test_help_lists_them(checkout):
    shown = sparsecpu(checkout, "train", "--help")
    assert "swish" in shown
    assert "threshold" in shown
    assert "threshold" in sparsecpu(checkout, "compare", "--help")


def test_train_and_the_file_that_it_keeps_know_them(checkout, tmp_path):
    found = json.loads(sparsecpu(
        checkout, "train", "digits", "--model", "300,100:activation=swish", "--topology",
        "threshold:update_every=20", "--out", tmp_path / "run", *TINY,
    ))  # fmt: skip
    assert found["topology"] == "threshold:update_every=20"
    assert found["nnz"] == round(0.1 * found["weights"])
    assert found["test_accuracy"] > 0.5
    history = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    updates = [update for line in history for update in json.loads(line).get("updates", ())]
    assert len(updates) == 4  # every 20 of 2 x 45 steps
    assert sum(layer["dropped"] for u in updates for layer in u["layers"].values()) > 0
    shown = json.loads(sparsecpu(checkout, "inspect", tmp_path / "run", "--json"))
    kinds = [layer["kind"] for layer in shown["architecture"]["layers"]]
    assert kinds == ["linear", "swish", "linear", "swish", "linear"]
    score = json.loads(sparsecpu(checkout, "evaluate", tmp_path / "run", "digits", "--json"))
    assert score["test_accuracy"] == found["test_accuracy"]


IN_PYTHON = """
import warnings
import numpy as np
import sparsecpu
from sparsecpu import SparseMLPClassifier
from sparsecpu.datasets import load_iris
from sparsecpu.layers import Swish
from sparsecpu.topology import Threshold

warnings.simplefilter("ignore")
data = load_iris()
x = (data.x_train - data.x_train.mean(axis=0)) / data.x_train.std(axis=0)
model = SparseMLPClassifier(
    (40,), activation="swish", topology="threshold", density=0.5, max_iter=60, random_state=0,
    learning_rate_init=0.01,
).fit(x, data.y_train)
assert "swish" in SparseMLPClassifier.__doc__ and "threshold" in SparseMLPClassifier.__doc__
assert isinstance(model.network_.layers[1], Swish)
sparsecpu.save(model.network_, "iris.npz")
again, _ = sparsecpu.load("iris.npz")
assert np.array_equal(again.predict(x), model.network_.predict(x))
print(model.score(x, data.y_train), model.network_.nnz)
"""


def test_estimators_and_files_know_them(checkout):
    accuracy, nnz = run(checkout, "-c", IN_PYTHON).split()
    assert float(accuracy) > 0.9
    assert int(nnz) == round(0.5 * (4 * 40 + 40 * 3))


GRADIENT = """
import numpy as np
from sparsecpu.layers import Swish
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace

layer, ctx = Swish(), Context(Workspace())
x = np.linspace(-6, 6, 64).reshape(1, 4, 16)
y, saved = layer.forward(x, ctx)
y = y.copy()
dx = layer.backward(np.ones_like(x), saved, ctx).copy()
apart = [layer.forward(x + step, Context(Workspace()))[0] for step in (1e-6, -1e-6)]
print(abs(y - x / (1 + np.exp(-x))).max(), abs(dx - (apart[0] - apart[1]) / 2e-6).max())
"""


def test_the_new_layer_is_what_it_says(checkout):
    errors = np.array(run(checkout, "-c", GRADIENT).split(), dtype=float)
    assert (errors < 1e-8).all()


def test_a_rule_that_finds_no_free_position_loses_no_weight(checkout):
    """At density 1 nothing can grow where nothing is free: the number of weights stays."""
    found = json.loads(sparsecpu(
        checkout, "train", "iris", "--model", "40", "--density", "1", "--topology",
        "threshold:update_every=2", *TINY,
    ))  # fmt: skip
    assert found["nnz"] == found["weights"]
