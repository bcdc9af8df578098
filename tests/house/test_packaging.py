import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSIDE = ("layers", "datasets", "bench")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist of this checkout, and the wheel built from that sdist."""
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def test_wheel_holds_everything_inside_sparsecpu(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
    tops = {name.split("/")[0] for name in names if not name.split("/")[0].endswith("dist-info")}
    assert tops == {"sparsecpu"}
    assert "sparsecpu/py.typed" in names
    assert built[1].stat().st_size < 2_000_000
    for path in ROOT.glob("sparsecpu/**/*.py"):
        assert str(path.relative_to(ROOT)) in names
    for folder in INSIDE:
        for path in (ROOT / folder).glob("**/*.py"):
            assert f"sparsecpu/{path.relative_to(ROOT)}" in names


def test_every_folder_with_code_is_a_listed_package():
    """Unlisted ones would reach the wheel as data only, by the grace of MANIFEST.in."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = set()
    for folder in ("sparsecpu", *INSIDE):
        for path in (ROOT / folder).rglob("__init__.py"):
            parts = path.parent.relative_to(ROOT).parts
            found.add(".".join(parts if parts[0] == "sparsecpu" else ("sparsecpu", *parts)))
    assert found == set(listed)


def test_sdist_holds_all_that_a_reader_needs(built):
    with tarfile.open(built[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "layers/linear.py", ".ci/run"} <= names
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert pictures
    assert not [path for path in pictures if path not in names]
    missing = []
    for folder in ("docs", "tests", *INSIDE):
        for path in (ROOT / folder).rglob("*"):
            parts = path.relative_to(ROOT)
            made = {"_build", "generated", "__pycache__"} & set(parts.parts)
            if path.is_file() and not made and str(parts) not in names:
                missing.append(str(parts))
    assert not missing
    assert not [name for name in names if "__pycache__" in name or "/_build/" in name]


def test_bare_names_are_not_importable(built, tmp_path):
    with zipfile.ZipFile(built[1]) as wheel:
        wheel.extractall(tmp_path / "site")
    script = f"""
import importlib, sparsecpu.layers, sparsecpu.datasets, sparsecpu.bench
for name in {INSIDE!r}:
    try:  # a checkout that is installed for editing is on the path, and refuses by itself
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    print(name)
print(sparsecpu.__file__)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "site"))
