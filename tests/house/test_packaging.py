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
    assert not [name for name in names if name.endswith(".pyi")]
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


def test_sdist_holds_licence_and_readme(built):
    with tarfile.open(built[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "layers/linear.py"} <= names


def test_bare_names_are_not_importable(built, tmp_path):
    with zipfile.ZipFile(built[1]) as wheel:
        wheel.extractall(tmp_path / "site")
    script = (
        "import sparsecpu.layers, sparsecpu.datasets, sparsecpu.bench, importlib.util as u;"
        f"print([u.find_spec(n) for n in {INSIDE!r}], sparsecpu.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[None, None, None]")
    assert str(tmp_path / "site") in done.stdout
