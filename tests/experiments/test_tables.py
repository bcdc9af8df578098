"""Tables that are no wider than the terminal."""

import pytest

from sparsecpu.experiments import tables
from sparsecpu.experiments.tables import Column, Table, folded, room

COLUMNS = [Column("layer", 12, left=True), Column("ms", 10), Column("hint", 20, optional=True),
           Column("rates", 50), Column("last", 10, below="at last")]  # fmt: skip
ROW = ["a-layer", "1.25", "x", "1 / 2 / 3", "9"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_what_does_not_fit_goes_below(width, monkeypatch):
    monkeypatch.setattr(tables, "room", lambda: width)
    table = Table(COLUMNS)
    lines = [table.heading(), *table.row(ROW, "a note of some words").split("\n")]
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines[1:])
    assert all(word in text for word in ("a-layer", "1.25", "1 / 2 / 3", "9", "a note of some"))
    assert ("rates 1 / 2 / 3" in text) == ("rates" not in lines[0])
    assert (" x" in text) == ("hint" in lines[0])
    assert ("at last 9" in text) == ("last" not in lines[0])
    if "ms" in lines[0]:
        assert lines[0].index("ms") + 2 == lines[1].index("1.25") + 4  # numbers end alike


def test_all_columns_stand_side_by_side_where_there_is_room(monkeypatch):
    monkeypatch.setattr(tables, "room", lambda: 200)
    table = Table(COLUMNS)
    assert len(table.row(ROW).split("\n")) == 1
    assert table.heading().split() == ["layer", "ms", "hint", "rates", "last"]


def test_long_lines_are_folded_between_words(monkeypatch):
    monkeypatch.setattr(tables, "room", lambda: 40)
    text = "short\n" + "some words and more " * 6
    lines = folded(text).split("\n")
    assert lines[0] == "short"
    assert len(lines) > 3
    assert all(len(line) <= 40 for line in lines)
    assert all(line.startswith("  ") for line in lines[2:])
    assert " ".join(text.split()) == " ".join(" ".join(lines).split())


def test_where_there_is_no_terminal_there_are_80_columns(capsys):
    assert room() == 80
