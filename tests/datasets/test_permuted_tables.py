"""A table is read for a model to the bits that training saw, whatever the order of its columns."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sparsecpu.datasets import open_data
from sparsecpu.datasets.matching import Layout
from sparsecpu.datasets.samples import read_rows
from sparsecpu.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::sparsecpu.errors.DataWarning")
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6)
NAMES = st.one_of(TEXT, st.integers(0, 2100).map(str), st.sampled_from(["a b", 'say "x"', "p,q"]))
VALUES = st.lists(TEXT, min_size=2, max_size=4, unique=True)


@st.composite
def tables(draw):
    """A table with a target, some columns of categories and gaps, and how it is written."""
    width, rows = draw(st.integers(1, 5)), draw(st.integers(12, 30))
    names = draw(st.lists(NAMES, min_size=width + 1, max_size=width + 1, unique=True))
    if draw(st.booleans()):
        names = [*map(str, range(width)), "y"]
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    frame = pd.DataFrame(rng.standard_normal((rows, width + 1)), columns=names)
    for name in names[:-1]:
        kind = draw(st.sampled_from(["number", "number", "whole", "text"]))
        if kind == "text":
            frame[name] = rng.choice(draw(VALUES), rows)
        elif kind == "whole":
            frame[name] = rng.integers(-9, 3000, rows)
    labels = draw(st.one_of(VALUES, st.just([0, 1, 2]), st.just(None)))
    if labels is not None:
        frame[names[-1]] = np.resize(labels, rows)
    return frame, draw(st.sampled_from(",;\t|"))


@given(tables(), st.randoms(use_true_random=False))
def test_permuted_columns_are_read_to_the_same_bits(drawn, random):
    frame, separator = drawn
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder, "it.csv"), Path(folder, "other.csv")
        frame.to_csv(path, index=False, sep=separator)
        task = "regression" if frame.iloc[:, -1].dtype.kind == "f" else "classification"
        try:
            data = open_data(str(path), categorical="auto", task=task)
        except DataError:
            assume(False)
        assume(data.columns.header)  # names that are all numbers may be a sample
        layout = Layout(data.x_train.shape[1], data.columns, task=task)
        x = np.empty((len(frame), layout.features))
        x[data.held], x[~data.held] = data.x_test, data.x_train
        order = random.sample([*frame.columns], len(frame.columns))
        frame[order].to_csv(other, index=False, sep=random.choice(",;\t"))
        found = read_rows(other, layout, scored=True)
        np.testing.assert_array_equal(found.x, x)
        assert not found.notes
        # Without the target, with a column more, and only some of the rows.
        frame = frame.assign(**{"another one": "some text"}).iloc[3:8]
        order = random.sample([*frame.columns.drop(frame.columns[-2])], len(frame.columns) - 1)
        frame[order].to_csv(other, index=False)
        found = read_rows(other, layout)
        np.testing.assert_array_equal(found.x, x[3:8])
        assert "another one" in found.notes[0]


def test_names_that_are_numbers_are_known_again_in_any_order(tmp_path, rng):
    frame = pd.DataFrame(rng.integers(0, 9, (20, 5)))  # pandas calls its columns 0, 1, 2 …
    frame[4] = frame[4] % 2
    frame.to_csv(tmp_path / "it.csv", index=False)
    data = open_data(str(tmp_path / "it.csv"))
    layout = Layout(4, data.columns)
    frame[[3, 1, 4, 0, 2]].to_csv(tmp_path / "other.csv", index=False)
    found = read_rows(tmp_path / "other.csv", layout, scored=True)
    np.testing.assert_array_equal(found.x, frame[[0, 1, 2, 3]])
    np.testing.assert_array_equal(found.y.astype(int), frame[4])
    frame[[3, 1, 4, 0]].to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(DataError, match="no column '2'"):
        read_rows(tmp_path / "other.csv", layout)
