"""``sparsecpu list``, and what is said of words that nothing knows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run

from sparsecpu.cli.lists import LISTS
from sparsecpu.datasets.image_sets import IMAGE_SETS
from sparsecpu.topology import TOPOLOGIES

#: Prints all lists, and the names of all registries that there are by the lists that they are in:
#: in a process of its own, for tests add things to registries.
SCRIPT = """
import gc, importlib, json, sys
from sparsecpu.cli.lists import LISTS
from sparsecpu.registries import Registry
for module in sys.argv[1:]:
    importlib.import_module(module)
registries = [found for found in gc.get_objects() if isinstance(found, Registry)]
print(json.dumps([
    {kind: known.sentences() for kind, known in LISTS.items()},
    [[known.what, known.listed, list(known)] for known in registries],
]))
"""


@pytest.fixture(scope="module")
def everything():
    root, modules = Path(__file__).parents[2], []
    rooms = ("sparsecpu", "layers", "datasets", "bench")
    for path in (path for room in rooms for path in (root / room).rglob("*.py")):
        if "= Registry(" in path.read_text():
            parts = path.relative_to(root).with_suffix("").parts
            modules.append(".".join(parts if parts[0] == "sparsecpu" else ("sparsecpu", *parts)))
    assert len(modules) > 12
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *modules], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def shown(*words, columns=80):
    done = run("list", *words, env={"COLUMNS": str(columns)})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_registered_name_is_in_its_list(everything):
    lists, registries = everything
    assert len(registries) > 15
    for what, listed, names in registries:
        assert listed in lists, what
        assert set(names) <= set(lists[listed]), what


def test_every_name_has_a_plain_sentence(everything):
    for kind, sentences in everything[0].items():
        assert set(sentences) <= set(shown(kind, columns=200).split())
        for name, sentence in sentences.items():
            assert sentence.endswith("."), name
            assert 10 < len(sentence) < 110 or sentence[1:4] == " = ", name
            assert not set("\\`{}$*") & set(sentence), name


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("kind", [None, *LISTS])
def test_lists_fit_the_terminal(kind, columns):
    words = [] if kind is None else [kind]
    assert max(map(len, shown(*words, columns=columns).splitlines())) <= columns


def test_a_list_for_another_program_has_a_line_for_each_name(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = run("list", "topologies").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(TOPOLOGIES)


def test_lists_are_documents_too(everything):
    found = json.loads(shown("--json"))
    assert list(found) == list(LISTS)
    models = json.loads(shown("Models", "--json"))
    assert models == {"models": found["models"]}
    assert {e["name"]: e["about"] for e in found["data"]} == everything[0]["data"]
    assert {entry["name"] for entry in found["data"]} >= {"digits", "make:wide", *IMAGE_SETS}


WRONG = [
    (["trian"], "train"), (["lst"], "list"), (["list", "modles"], "models"),
    (["bench", "lineer"], "linear"), (["train", "digits", "--densty", "1"], "--density"),
    (["bench", "conv", "--shap", "1"], "--shape"), (["train", "breast-cancr"], "breast-cancer"),
    (["train", "iris", "--topology", "rigel"], "rigl"),
    (["train", "iris", "--topology", "rigl:prune=1"], "prune_rate"),
    (["train", "iris", "--topology", "gse:distribution=grab"], "grabo"),
    (["train", "iris", "--model", "resnt18"], "resnet-18"),
    (["train", "iris", "--model", "9:activation=rellu"], "relu"),
    (["train", "iris", "--optimizer", "adamm"], "adam"),
    (["train", "iris", "--schedule", "cosinus"], "cosine"),
    (["train", "iris", "--distribution", "erkk"], "erk"),
    (["train", "iris", "--pattern", "small"], "small-world"),
    (["train", "iris", "--augment", "flip"], "crop-flip"),
    (["train", "iris", "--precision", "fp23"], "fp32"),
    (["train", "iris", "--ift", "wid"], "wide"),
    (["train", "iris", "--task", "regresion"], "regression"),
    (["evaluate", "m", "iris", "--part", "tests"], "test"),
    (["compare", "iris", "--methods", "dense,smal-dense"], "small-dense"),
    (["export", "m", "--to", "pytorch"], "torch"),
    (["bench", "train", "--model", "nrva"], "nerva"),
    (["list", "modles"], "models"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "meant"), WRONG, ids=lambda w: " ".join(w))
def test_a_slip_is_asked_about_in_one_line(words, meant):
    done = run(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(f"; did you mean {meant}?\n")
    assert len(done.stderr) < 240


def test_a_file_beside_the_one_that_is_named_may_be_meant(tmp_path):
    (tmp_path / "first.csv").write_text("a,b\n1,2\n")
    done = run("train", tmp_path / "frist.csv")
    assert done.exit_code == 2
    assert done.stderr.endswith(f"did you mean {tmp_path / 'first.csv'}?\n")


def test_a_file_that_is_not_there_is_what_is_wrong_whatever_is_said_of_it():
    done = run("train", "nowhere.csv", "--target", "y")
    assert done.exit_code == 2
    assert "DATA is 'nowhere.csv'" in done.stderr


@pytest.mark.parametrize("words", [
    ["train", "iris", "--epochs", "many"], ["train", "iris", "--evaluate-every", "0"],
    ["train", "iris", "more"], ["evaluate"], ["export", "m"], ["export", "m", "--to"],
    ["train", "iris", "--out"], ["--nothing"], ["train", "iris", "-x"],
    ["bench", "linear", "--plot", "."], ["train", "iris", "--json=yes"],
])  # fmt: skip
def test_other_slips_are_one_line_too(words):
    done = run(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("sparsecpu: ")
    assert done.stderr.endswith(" -h\n")


def test_commands_and_options_are_read_like_names():
    done = run("Evaluate", "--Help")
    assert done.exit_code == 0
    assert done.stdout.startswith("Usage: main evaluate ")
    done = run("train", "iris", "--Batch_Size", "0", "--no_dense_timing")
    assert done.stderr.startswith("sparsecpu: --batch-size is 0; ")
