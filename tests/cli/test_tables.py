"""Tables on the command line: what is said of them, and what a run and a model remember."""

import json

import pytest
from commands import TINY, run

CITIES = ["Rome", "Oslo", "Bonn"]


@pytest.fixture
def cities(tmp_path):
    """A table with categories, missing values and numbers of rows."""
    path = tmp_path / "cities.csv"
    rows = [f"{i + 7};{CITIES[i % 3]};{i / 4};{'yn'[i % 2]}" for i in range(40)]
    rows[11] = "18;-;2.75;n"
    path.write_text("id;city;size;cheap\n" + "\n".join(rows).replace(".", ",") + "\n")
    return path


def test_what_a_table_was_taken_for_is_said_in_a_line_each(cities, tmp_path):
    refused = run("train", cities, *TINY, "--missing=-")
    assert refused.exit_code == 2
    assert "--categorical auto" in refused.stderr
    refused = run("train", cities, *TINY, "--missing=-", "--categorical", "auto")
    assert refused.exit_code == 2
    assert "line 13, column 'city'" in refused.stderr
    for result in (refused, run("train", cities, *TINY, "--missing", "NA")):
        assert len(result.stderr.strip().splitlines()) == 1
    words = ("--missing=-", "--drop-missing", "--categorical", "city", "--density", 0.5)
    result = run("train", cities, *TINY, *words, "--json")
    assert result.exit_code == 0, result.stderr
    first, second = result.stderr.strip().splitlines()
    assert "'id'" in first
    assert "1 of 40 rows" in second
    assert json.loads(result.stdout)["weights"] > 0
    years = tmp_path / "years.csv"
    years.write_text("a,y\n" + "".join(f"{i},{1900 + i % 50}\n" for i in range(200)))
    result = run("train", years, *TINY)
    assert "--task regression" in result.stderr
    assert not run("train", years, *TINY, "--task", "regression", "--density", 1).stderr


def test_a_model_and_a_run_remember_how_their_table_was_read(cities, tmp_path):
    out = tmp_path / "out"
    words = ["--missing=-", "--drop-missing", "--categorical", "auto"]
    assert run("train", cities, *TINY, *words, "--out", out).exit_code == 0
    config = json.loads((out / "config.json").read_text())
    assert config["reading"]["missing"] == ["-"]
    assert run("train", "--resume", out, "--quiet").exit_code == 0
    assert run("train", "--resume", out, *words, "--quiet").exit_code == 0
    assert "--missing" in run("train", "--resume", out, "--missing", "NA").stderr

    table = [line.split(";") for line in cities.read_text().splitlines()]
    del table[12]
    other = tmp_path / "other.tsv"
    other.write_text("\n".join(f"{size}\t{city}" for _, city, size, _ in table))
    before, after = run("predict", out, other), run("predict", out, cities, "--missing", "NA")
    assert before.exit_code == 0, before.stderr
    assert len(before.stdout.splitlines()) == 39
    assert after.exit_code == 2
    assert "'-' is none of the values" in after.stderr
    refused = run("predict", out, cities)
    assert "line 13, column 'city': '-' stands for a missing value" in refused.stderr
    refused = run("predict", out, cities, "--drop-missing")
    assert refused.exit_code == 2
    assert run("evaluate", out, cities, "--drop-missing").exit_code == 0
    del table[1]
    cities.write_text("\n".join(";".join(row) for row in table))
    again = run("predict", out, cities)
    assert again.stdout.splitlines() == before.stdout.splitlines()[1:]


def test_methods_are_compared_on_such_a_table(cities, tmp_path):
    words = ["--missing=-", "--drop-missing", "--categorical", "auto", "--folds", 2]
    result = run("compare", cities, *words, "--methods", "static", "--densities", 0.5, "--seeds", 1,
                 "--epochs", 1, "--model", "10", "--learning-rates", 0.1, "--quiet", "--json",
                 "--out", tmp_path / "c")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert len(result.stderr.strip().splitlines()) == 2  # once, whatever reads it again
