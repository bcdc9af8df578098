"""What README and the pages show passes type checkers, and estimators are not ``Any``."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: What a reader of the snippets may ask an editor.
ASKED = {
    "SparseMLPClassifier().fit([[1.0]], [1])": "SparseMLPClassifier",
    "SparseMLPRegressor.load('run')": "SparseMLPRegressor",
    "SparseMLPClassifier().fit([[1.0]], [1]).network_": "Sequential",
    "sparsecpu.layers.SparseLinear(3, 4).weight": "SparseParameter",
    "sparsecpu.models.gpt((64,), 16)": "Architecture",
}


@pytest.fixture(scope="module")
def snippets(tmp_path_factory):
    """A folder with the code of each page in a file."""
    folder = tmp_path_factory.mktemp("snippets")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        relative = path.relative_to(ROOT)
        code = (
            [] if {"_build", "generated"} & set(relative.parts) else CODE.findall(path.read_text())
        )
        if code:
            name = re.sub(r"\W", "_", str(relative.with_suffix("")))
            (folder / f"{name}.py").write_text("\n".join(code))
    asked = "\n".join(f"reveal_type({question})" for question in ASKED)
    names = "from sparsecpu import SparseMLPClassifier, SparseMLPRegressor"
    (folder / "asked.py").write_text(f"import sparsecpu\n{names}\n{asked}\n")
    assert len(list(folder.iterdir())) > 10
    return folder


def revealed(text):
    return [kind.replace("sparsecpu.", "").split(".")[-1] for kind in text]


def test_mypy_finds_nothing(snippets):
    files = sorted(map(str, snippets.iterdir()))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *files],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"MYPYPATH": str(ROOT)},
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert revealed(re.findall(r'Revealed type is "(.*)"', done.stdout)) == list(ASKED.values())


@pytest.mark.skipif(shutil.which("pyright") is None, reason="no extra brings pyright")
def test_pyright_finds_nothing(snippets):
    (snippets / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT)]}))
    done = subprocess.run(
        ["pyright", "--outputjson", "--pythonpath", sys.executable],
        cwd=snippets, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = json.loads(done.stdout)
    errors = [one for one in found["generalDiagnostics"] if one["severity"] == "error"]
    assert not errors, "\n".join(f"{e['file']}: {e['message']}" for e in errors)
    told = [f["message"] for f in found["generalDiagnostics"] if f["severity"] == "information"]
    assert revealed(re.findall(r'is "(.*)"', "\n".join(told))) == list(ASKED.values())
