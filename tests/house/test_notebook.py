"""The notebooks of the site run from their first cell to the last, without Jupyter."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs").glob("[!_]*/*.ipynb"))
#: What makes their code small.
SMALLER = [(r"max_iter=\d+", "max_iter=1"), (r"\(1000, 512\)", "(100, 512)"),
           (r"size=1000", "size=100")]  # fmt: skip
#: Runs the cells as a notebook does: in order, in one namespace.
RUNNER = """
import json, sys
space = {"__name__": "__main__"}
for number, source in enumerate(json.load(sys.stdin)):
    exec(compile(source, f"cell {number}", "exec"), space)
    print("\\x1e", flush=True)
"""


def read(path):
    return json.loads(path.read_text())


def code(notebook):
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


def test_there_is_one():
    assert "sparse-training-in-20-minutes" in {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_run_in_order(path, tmp_path):
    cells = code(read(path))
    small = cells
    for pattern, smaller in SMALLER:
        small = [re.sub(pattern, smaller, cell) for cell in small]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUNNER], cwd=tmp_path, input=json.dumps(small),
        capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"PYTHONPATH": paths, "MPLBACKEND": "agg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\x1e") == len(cells)
    assert "True" in done.stdout.split("\x1e")[0]  # the first product is SciPy's


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_no_output_and_is_linked(path):
    notebook = read(path)
    assert notebook["nbformat"] == 4
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    pages = [page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts]
    assert any(f"{path.name})" in page.read_text() for page in pages)
