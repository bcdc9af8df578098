"""The examples of docs/examples run to the end, and say something sensible there."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "examples"
#: What each says: a pattern, and what the number in it is at least.
SAYS = {
    "mlp_by_hand": (r"\n +20 +[\d.]+ +([\d.]+)", 93),
    "grid_search": (r"best, refitted: ([\d.]+) %", 90),
    "cnn_on_shapes": (r"\nall +([\d.]+)", 20),  # of a quarter of its pictures
    "sparse_ift": (r"wide, sparsity 0.9 .* ([\d.]+) \+-", 96),
    "fine_tune_pruned": (r"back in PyTorch +([\d.]+)", 94),
    "own_layer": (r"swish +([\d.]+)", 90),
    "own_growth_rule": (r"rich +([\d.]+)", 93),
}
NEEDS = {"fine_tune_pruned": "torch", "cnn_on_shapes": "matplotlib",
         "own_growth_rule": "matplotlib"}  # fmt: skip


def test_every_example_has_a_page():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(SAYS)
    listed = (FOLDER / "README.md").read_text()
    for name in SAYS:
        assert f"\n{name}\n" in listed
        assert f"```{{example}} {name}\n" in (FOLDER / f"{name}.md").read_text()


@pytest.mark.parametrize("name", SAYS)
def test_example(name, tmp_path):
    if name in NEEDS and not importlib.util.find_spec(NEEDS[name]):
        pytest.skip(f"no {NEEDS[name]}")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    less = ["1000"] if name == "cnn_on_shapes" else []
    done = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", tmp_path, *less], capture_output=True, text=True,
        timeout=300, check=False, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pattern, least = SAYS[name]
    found = re.search(pattern, done.stdout)
    assert found, done.stdout
    assert float(found[1]) >= least
    recorded = FOLDER / f"{name}.txt"
    if recorded.exists():
        assert_says(done.stdout, recorded.read_text())
    for picture in re.findall(r"drawn: (\S+)", done.stdout):
        assert_alike(tmp_path / picture, FOLDER / Path(picture).name)


def assert_says(printed, recorded):
    """A page shows what a script prints, but for numbers that depend on the CPU."""
    number = re.compile(r"\d[\d,]*\.?\d*(?:e[-+]\d+)?")
    words = [number.sub("#", text).split() for text in (printed, recorded)]
    assert words[0] == words[1]
    found, wanted = (
        [float(n.replace(",", "")) for n in number.findall(t)] for t in (printed, recorded)
    )
    assert found == pytest.approx(wanted, rel=0.03, abs=1e-5)


def test_what_a_page_shows_is_compared_but_for_what_depends_on_the_cpu():
    page = "accuracy  96.94   1,506\nby 6.0e-07"
    assert_says("accuracy 97.1 1,506\nby 2.0e-07", page)
    for other in ("accuracy 90.1 1,506\nby 6e-07", "accuracy 96.94 1,506", "right 96.94 1,506"):
        with pytest.raises(AssertionError):
            assert_says(other, page)


def assert_alike(path, committed):
    """A picture shows what the committed one shows, but for some words and tints."""
    from matplotlib.image import imread

    found, wanted = (imread(file)[..., :3] for file in (path, committed))
    assert found.shape == wanted.shape
    assert (np.abs(found - wanted).max(axis=2) > 0.1).mean() < 0.1
