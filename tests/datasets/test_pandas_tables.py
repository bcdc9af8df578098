"""Whatever table pandas writes is read to equal values, or refused."""

import csv
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsecpu.datasets import open_data
from sparsecpu.datasets.tables import is_number, rows
from sparsecpu.datasets.tables.cells import MISSING
from sparsecpu.errors import DataError, DataWarning

pandas = pytest.importorskip("pandas")

SIGNS = st.sampled_from("abyzé日 _-+.,;|\t'\"#0123456789eE%$")
NAMES = st.text(SIGNS, min_size=1, max_size=6) | st.sampled_from(["x", "id", "0", "1", "2015"])
FLOATS = st.floats(-1e30, 1e30, allow_subnormal=True) | st.integers(-(2**53), 2**53).map(float)
KINDS = {
    "float": FLOATS,
    "round": st.integers(-999, 999).map(lambda n: n / 8),
    "int": st.integers(-(2**53), 2**53),
    "few": st.integers(0, 3),
    "truth": st.booleans(),
    "word": st.sampled_from(["red", "green", "a b", "x,y", 'q"u', "ünï"]),
    "code": st.sampled_from(["007", "7", "1e5", "100000", "1_0", "10", "A1"]),
    "text": st.text(SIGNS, max_size=6),
    "lines": st.sampled_from(["a", "b", "c\nd"]),
}
TWO = {"few": [2, 1], "word": ["x,y", "red"], "code": ["7", "007"], "truth": [True, False]}
STYLES = st.fixed_dictionaries(
    {
        "sep": st.sampled_from([",", ",", ";", "\t", "|"]),
        "index": st.booleans(),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        "na_rep": st.sampled_from(["", "NA", "?", "null"]),
        "decimal": st.sampled_from([".", ".", ","]),
        "lineterminator": st.sampled_from(["\n", "\r\n"]),
    }
)


@st.composite
def frames(draw):
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
    kinds.append(draw(st.sampled_from([*TWO, *TWO, *sorted(KINDS)])))
    names = draw(st.lists(NAMES, min_size=len(kinds), max_size=len(kinds), unique=True))
    count = draw(st.integers(5, 25))
    missing = draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 3]))
    frame = pandas.DataFrame({
        name: draw(st.lists(KINDS[kind], min_size=count, max_size=count))
        for name, kind in zip(names, kinds, strict=True)
    })  # fmt: skip
    if kinds[-1] in TWO:  # a class each, at least
        for row, value in enumerate(TWO[kinds[-1]]):
            frame.loc[row, names[-1]] = value
    for _ in range(missing):
        name = draw(st.sampled_from(names))
        frame[name] = frame[name].astype(object)
        frame.loc[draw(st.integers(0, count - 1)), name] = None
    return frame


def read(path, monkeypatch, fast, **options):
    """Return a table as samples and labels in its order, or the words of the refusal."""
    monkeypatch.setattr(rows, "FAST_FROM", 0 if fast else 1 << 60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            data = open_data(str(path), format="csv", **options)
        except DataError as error:
            return str(error)
    order = np.argsort(np.argsort(data.held, kind="stable"))
    x = np.concatenate([data.x_train, data.x_test])[order]
    y = np.concatenate([data.y_train, data.y_test])[order]
    return data, x, y.ravel() if data.classes is None else data.classes[y]


def test_tables_that_pandas_writes(tmp_path, monkeypatch):
    path, outcomes = tmp_path / "d.csv", []

    @given(frames(), STYLES, st.sampled_from(["auto", "classification"]), st.booleans())
    @settings(max_examples=120)
    def check(frame, style, task, drop):
        frame.to_csv(path, **style)
        text = cells_of(path, style["sep"])
        options = {"task": task, "categorical": "auto", "drop_missing": drop}
        options["header"] = None if are_clear(text) else True
        found = read(path, monkeypatch, False, **options)
        again = read(path, monkeypatch, True, **options)
        outcomes.append(not isinstance(found, str))
        if isinstance(found, str):
            assert again == found
            return
        data, x, y = found
        for mine, other in zip(found[1:], again[1:], strict=True):
            np.testing.assert_array_equal(mine, other)
        assert data.columns == again[0].columns
        compare(frame, text, data, x, y)

    check()
    assert sum(outcomes) > 0.2 * len(outcomes)


def compare(frame, text, data, x, y):
    """Hold what was read against what was written; ``text`` are its cells, names above them."""
    columns = data.columns
    assert columns.header
    names = [name or f"column {i + 1}" for i, name in enumerate(text.pop(0))]
    assert list(columns.order) == names
    assert columns.target == names[-1]
    chosen = [names.index(name) for name in (*columns.names, columns.target)]
    assert set(columns.names) == set(names) - {*columns.dropped, columns.target}
    kept = [i for i, row in enumerate(text)
            if not any(row[at] in ("", *columns.missing) for at in chosen)]  # fmt: skip
    assert len(kept) == len(x)
    first = 0
    for name, at in zip(columns.names, chosen, strict=False):
        known = columns.categories.get(name, (None,))
        part = x[:, first : first + len(known)]
        first += len(known)
        if known == (None,):
            values = list(frame.iloc[:, at - len(names) + frame.shape[1]])
            assert part[:, 0].tolist() == [float(values[i]) for i in kept]
        else:
            assert (part.sum(axis=1) == 1).all()
            assert [known[i] for i in part.argmax(axis=1)] == [text[i][at] for i in kept]
    if data.task == "regression":
        assert y.tolist() == [float(frame.iloc[i, -1]) for i in kept]
    else:
        assert [str(label) for label in y] == [text[i][-1] for i in kept]


def are_clear(text):
    """Return True if the names can be told from samples."""
    columns = list(zip(*text, strict=True))
    columns = [column for column in columns
               if not is_number(column[0]) and column[0] not in ("", *MISSING)]  # fmt: skip
    return bool(columns) and not any(name in cells for name, *cells in columns)


def cells_of(path, separator):
    """Return the cells of a table, without blanks around them."""
    with open(path, newline="", encoding="utf-8") as file:
        return [[cell.strip() for cell in row] for row in csv.reader(file, delimiter=separator)]
