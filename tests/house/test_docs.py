"""What README and the pages say can be done: commands parse, code runs, files are where they say.

Pages that begin with ``execute: true`` are run by the build of the site, and so are the examples;
everything else is run here, with fewer samples and epochs.
"""

import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sparsecpu.cli import main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BUILT = {"_build", "generated"}
PAGES = [
    path
    for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
    if not BUILT & set(path.parts[len(ROOT.parts) :])
]
FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")


def named(path):
    return str(path.relative_to(ROOT))


def blocks(path, language):
    return [code for kind, code in FENCED.findall(path.read_text()) if kind == language]


def commands():
    """Every ``sparsecpu …`` of README and the pages, as the words behind it."""
    found = {}
    for path in PAGES:
        prose = FENCED.sub("", path.read_text())
        lines = [" ".join(span.split()) for span in INLINE.findall(prose)]
        for code in blocks(path, "sh"):
            code = re.sub(r"^(\w)=(.+)\n((?:.|\n)*)", fill_in, code)
            lines += re.sub(r"\\\n\s*", lambda m: m[0][2:] and " ", code).splitlines()
        for line in lines:
            line = re.sub(r"^mpiexec -n \w+ ", "", line)
            if line.startswith("sparsecpu "):
                words = shlex.split(line, comments=True)[1:]
                found.setdefault(shlex.join(words), (path, words))
    return list(found.values())


def fill_in(match):
    """Put a shell variable's value, set in a block's first line, where the block uses it."""
    name, value, rest = match.groups()
    return re.sub(rf"\\\n(?=\${name})", "", rest).replace(f"${name}", value)


COMMANDS = commands()


def parse(command, words, parent=None):
    """Parse words as the command would, without doing anything."""
    with command.make_context(command.name, list(words), parent=parent) as context:
        rest = [*getattr(context, "_protected_args", ()), *context.args]
        if isinstance(command, click.Group) and rest:
            _, inner, rest = command.resolve_command(context, rest)
            parse(inner, rest, context)


def test_commands_are_found():
    said = {shlex.join(words) for _, words in COMMANDS}
    assert {"train digits", "doctor", "bench", "bench ranks", "evaluate run digits28"} <= said
    assert len(said) > 60


@pytest.mark.parametrize(
    ("path", "words"), COMMANDS, ids=[f"{named(p)}: {shlex.join(w)[:60]}" for p, w in COMMANDS]
)
def test_commands_parse(path, words):
    if any(not word.isalpha() for word in words) or words == ["doctor"]:
        parse(main, words)
    else:  # prose that names a command, without what it needs
        command = main
        for word in words:
            command = command.get_command(click.Context(command), word)
            assert command, word
            if not isinstance(command, click.Group):
                break


#: Commands of README that are run, in this order, with what makes them small.
RUN = {
    "train digits28 --samples": "--samples 300 --epochs 2",
    "train --resume run": "",
    "evaluate run": "",
    "predict run": "",
    "inspect run --plot ": "",
    "inspect run --plot-history": "",
    "train digits --topology gse": "--epochs 2",
    "train digits --ift": "--epochs 1",
    "compare digits --methods dense,set,rigl": "--epochs 2 --seeds 2 --folds 2 --jobs 1",
    "train make:wide": "--neurons 2000 --samples 64 --epochs 1",
    "train make:shapes --model": "--samples 200 --epochs 1",
    "doctor": "",
}


def test_commands_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sparsecpu.networks.isoflop.costs._SECONDS", 0)  # of measuring: a second
    ours = [shlex.join(words) for path, words in COMMANDS if path.name == "README.md"]
    for start, small in RUN.items():
        line = next(line for line in ours if f"{line} ".startswith(start))
        data = ["--quiet", "--no-dense-timing"] if line.startswith("train") else []
        done = CliRunner().invoke(main, [*shlex.split(line), *shlex.split(small), *data])
        assert done.exit_code == 0, f"{line}: {done.output} {done.exception!r}"
    assert (tmp_path / "pattern.png").exists()
    assert (tmp_path / "history.png").exists()


#: What makes code of the pages small.
SMALLER = [
    (r"make_shapes\(\d+\)", "make_shapes(100)"),
    (r"max_iter=\d+", "max_iter=1"),
    (r"epochs=\d+", "epochs=1"),
    (r"resnet\(\(3, 32, 32\), 10\)", "resnet((3, 32, 32), 10, width=0.125)"),
]
#: Packages that no extra for tests brings; blocks that need them run where they are installed.
NEEDS = {"to_torch": "torch", "mpi4py": "mpi4py"}
#: What a page needs to stand in the folder where its code runs.
BEFORE = {
    "docs/interop.md": """
from sparsecpu.interop import export_network as _export
from sparsecpu.models import resnet as _resnet
_net = _resnet((3, 32, 32), 10, width=0.125).sparsify(0.05).build()
_export(_net, "resnet.safetensors", "safetensors")
"""
}


def with_code():
    return [
        path
        for path in PAGES
        if blocks(path, "python") and not path.read_text().startswith("---\nexecute: true")
    ]


@pytest.mark.parametrize("path", with_code(), ids=named)
def test_code_runs(path, tmp_path):
    program = [BEFORE.get(named(path), "")]
    for code in blocks(path, "python"):
        missing = [p for word, p in NEEDS.items() if word in code and not find(p)]
        if not missing:
            program.append(code)
    text = "\n".join(program)
    for pattern, smaller in SMALLER:
        text = re.sub(pattern, smaller, text)
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": paths}, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def find(package):
    return importlib.util.find_spec(package) is not None


def test_files_are_where_pages_say():
    tops = "sparsecpu|layers|datasets|bench|tests|docs"
    missing = [
        f"{named(path)}: {span}"
        for path in PAGES
        for span in INLINE.findall(path.read_text())
        if re.fullmatch(rf"({tops})/[\w/.-]*", span)
        and "_build" not in span
        and "NAME" not in span
        and not (ROOT / span).exists()
    ]
    assert not missing, "\n".join(missing)


def test_what_cards_show_is_there():
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    shown = [line for path in PAGES for line in path.read_text().splitlines()]
    shown = [re.fullmatch(r"```\{(test|ours)\} (\S+)", line) for line in shown]
    shown = [found.groups() for found in shown if found]
    assert len(shown) > 15
    for kind, name in shown:
        if kind == "test":
            assert re.search(rf"^def {name}\(", tests, re.MULTILINE), name
        else:
            module, _, thing = name.rpartition(".")
            assert hasattr(importlib.import_module(module), thing), name


def test_the_changelog_names_modules_that_are_there():
    rows = re.findall(r"^  \| `.*\| (.*) \|$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    now = [span for row in rows for span in INLINE.findall(row)]
    assert len(now) > 20
    assert [name for name in now if not find(f"sparsecpu.{name}")] == []


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text())
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_ci_runs_the_command_of_the_readme():
    test = next(code for code in blocks(ROOT / "README.md", "sh") if "pytest" in code)
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == test.strip()


@pytest.mark.parametrize("name", ["tile", "ring", "group", "drop_and_grow", "growing"])
def test_drawings_are_what_their_scripts_draw(name, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "drawings"))
    spec = importlib.util.spec_from_file_location(name, DOCS / "drawings" / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.draw().text() == (DOCS / "drawings" / f"{name}.svg").read_text()
