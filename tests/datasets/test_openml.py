"""Tables of OpenML, from a server on this machine and from scikit-learn's cache."""

import json
import socket
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from commands import run
from openml_server import Table, serving

from sparsecpu.datasets import fetch_openml, fetching, open_data
from sparsecpu.errors import DataError, DataWarning
from sparsecpu.reading.progress import voice

COLOURS = ["red", "light blue", "grün"]
KINDS = {"width": "numeric", "colour": [f"'{c}'" for c in COLOURS], "id": "numeric",
         "kind": ["no", "yes"]}  # fmt: skip
ROWS = [[i / 4, f"'{COLOURS[i % 3]}'", i, ("no", "yes")[i % 2]] for i in range(20)]


def tiny(name="tiny", number=61, kinds=KINDS, target="kind", rows=ROWS, **more):
    return Table.of_rows(name, number, kinds, target, rows, **more)


@pytest.fixture
def asked(openml):
    """Serve ``tiny``, and return the server."""
    with serving(tiny()) as server:
        openml.use(server)
        yield server


@pytest.mark.parametrize("name", ["tiny", "tiny@1", "TINY", "61"])
def test_numbers_and_categories(name, asked):
    data = open_data(f"openml:{name}")
    assert (data.name, data.task, data.classes.tolist()) == (
        "tiny",
        "classification",
        ["no", "yes"],
    )
    columns = data.columns
    assert (columns.names, columns.target) == (("width", "colour", "id"), "kind")
    assert (dict(columns.categories), columns.label_kind) == ({"colour": tuple(COLOURS)}, "text")
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert x.dtype == np.float32
        number = x[:, 4].astype(int)
        np.testing.assert_array_equal(x[:, 0], number / 4)
        np.testing.assert_array_equal(x[:, 1:4], np.eye(3)[number % 3])
        np.testing.assert_array_equal(y, number % 2)
    assert len(data.x_train) == 16


@pytest.mark.filterwarnings("ignore::sparsecpu.errors.DataWarning")
def test_targets(openml):
    labels = [
        [i, ("1", "2", "03")[i % 3], ("1", "-2", "30")[i % 3], i % 3, i / 8] for i in range(30)
    ]
    kinds = {"a": "numeric", "padded": ["1", "2", "03"], "whole": ["1", "-2", "30"],
             "count": "numeric", "size": "numeric"}  # fmt: skip
    with serving(
        tiny("t", 7, kinds, "size", labels),
        tiny("two", 8, kinds, "a,size", labels),
        tiny("mixed", 9, kinds, "a,whole", labels),
        tiny("none", 10, kinds, None, labels),
        tiny("hidden", 11, kinds, "size", labels, ignored=("size",)),
    ) as server:
        openml.use(server)
        found = {name: fetch_openml("t", target=name) for name in kinds}
        assert found["padded"].classes.tolist() == ["03", "1", "2"]
        assert found["whole"].classes.tolist() == [-2, 1, 30]
        assert (found["count"].task, found["count"].classes.tolist()) == (
            "classification",
            [0, 1, 2],
        )
        assert fetch_openml("t", target="count", task="regression").task == "regression"
        assert found["size"].task == fetch_openml("t").task == "regression"
        assert fetch_openml("two").y_train.shape == (24, 2)
        for name, wanted in (("mixed", "whole"), ("none", "--target"), ("hidden", "size")):
            with pytest.raises(DataError, match=wanted):
                fetch_openml(name)
        assert fetch_openml("none", target="whole").columns.label_kind == "integer"
        for wrong in ({"target": "nothing"}, {"target": "padded", "task": "regression"}):
            with pytest.raises(DataError):
                fetch_openml("t", **wrong)


def test_a_target_of_numbers_that_is_taken_for_classes_is_said(openml):
    with serving(tiny("t", 7, {"a": "numeric", "y": "numeric"}, "y",
                      [[i / 3, i % 2] for i in range(20)])) as server:  # fmt: skip
        openml.use(server)
        with pytest.warns(DataWarning, match="--task regression"):
            assert fetch_openml("t").task == "classification"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert fetch_openml("t", task="regression").task == "regression"


def test_sparse_tables(openml):
    """Where a target is 0, such a table has nothing."""
    rows = [{0: i + 1, 5: 1.5, 6: "b"} if i % 2 else {0: i + 1, 3: 2} for i in range(40)]
    kinds = {**{f"w{i}": "numeric" for i in range(6)}, "y": ["a", "b"]}
    wrong = {"w0": "numeric", "c": ["x", "y"], "y": ["a", "b"]}
    with serving(
        Table.of_sparse_rows("s", 5, kinds, "y", rows),
        Table.of_sparse_rows("c", 6, wrong, "y", [{0: 1, 1: "y", 2: "b"}] * 9),
    ) as server:
        openml.use(server)
        data = fetch_openml("s")
        assert (data.scaling, data.x_train.shape, data.x_train.dtype) == (
            "none",
            (32, 6),
            np.float32,
        )
        number = np.asarray(data.x_train[:, [0]].sum(axis=1)).ravel().astype(int) - 1
        assert data.classes[data.y_train].tolist() == [("a", "b")[i % 2] for i in number]
        with pytest.raises(DataError, match="'c'"):
            fetch_openml("c")


def test_what_cannot_be_used_is_refused_by_name(openml):
    numbers = {"first": "numeric", "second": "numeric", "c": ["u", "v"], "y": ["a", "b"]}
    rows = [[1, 2, "u", "a"], [None, 2, "u", "b"], [1, 2, None, "a"], *[[1, 2, "u", "b"]] * 5]
    huge = [[1e39 if i == 3 else 1, 2, "u", "ab"[i % 2]] for i in range(8)]
    text = {**numbers, "first": "string"}
    with serving(
        tiny("missing", 1, numbers, "y", rows),
        tiny("target", 2, numbers, "y", [[1, 2, "u", None], *huge[4:]]),
        tiny("huge", 3, numbers, "y", huge),
        tiny("text", 4, text, "y", [["a b", 2, "u", "a"]] * 6),
        tiny("alone", 5, {"y": ["a", "b"]}, "y", [["a"], ["b"]] * 5),
        tiny("other", 6, numbers, "y", huge, more={"format": "parquet", "url": "nonsense"}),
    ) as server:
        openml.use(server)
        for name, wanted in (("missing", "'first', 'c'"), ("target", "'y'"), ("huge", "'first'"),
                             ("text", "text"), ("alone", "features"), ("other", "openml:other"),
                             ("nothing", "no such"), ("alone@2", "no such")):  # fmt: skip
            with pytest.raises(DataError, match=wanted) as caught:
                fetch_openml(name)
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["", "a b", "../x", "a/b", "a@", "a@b", "a@0", "61@1", "a?b", "@1", "%2e%2e", "a\n", "ü"],
)
def test_what_is_no_name(name, openml):
    with pytest.raises(DataError, match="names no data set"):
        open_data(f"openml:{name}")


def test_what_was_fetched_is_kept(asked, openml):
    first = fetch_openml("tiny")
    assert asked.asked
    openml.cut()
    again = fetch_openml("tiny")
    np.testing.assert_array_equal(first.x_train, again.x_train)
    with pytest.raises(DataError, match=r"not in .*cannot be reached \(no network\).*copy"):
        fetch_openml("another")


def table_in(folder):
    return next(folder.rglob("*.arff.gz"))


@pytest.mark.parametrize(
    "damage",
    {
        "cut off": lambda path: path.write_bytes(path.read_bytes()[:40]),
        "other bytes": lambda path: path.write_bytes(path.read_bytes()[::-1]),
        "another table": lambda path: path.write_bytes(__import__("gzip").compress(b"@DATA\n1,2")),
        "nothing": lambda path: path.write_bytes(b""),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_a_damaged_copy_is_fetched_again_or_refused(damage, asked, openml):
    good = fetch_openml("tiny")
    damage[1](table_in(openml.cache))
    again = fetch_openml("tiny")
    np.testing.assert_array_equal(good.x_train, again.x_train)
    damage[1](table_in(openml.cache))
    openml.cut()
    with pytest.raises(DataError, match=r"was damaged at .*arff\.gz"):
        fetch_openml("tiny")
    for path in openml.cache.rglob("*.gz"):  # what OpenML says of the table
        path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match="was damaged at"):
        fetch_openml("tiny")


def test_a_server_that_answers_wrongly(asked):
    asked.spoil = lambda content: content + b"1,'red',3,yes\n"
    with pytest.raises(DataError, match="checksum"):
        fetch_openml("tiny")
    asked.spoil, asked.broken = None, 503
    with pytest.raises(DataError, match="503"):
        fetch_openml(["61", "1"][0])
    asked.broken = 200  # as a page does on which one has to log in
    with pytest.raises(DataError, match="openml:other"):
        fetch_openml("other")
    asked.broken = None
    assert len(fetch_openml("tiny").x_train) == 16


def test_pandas_is_not_needed(asked, monkeypatch):
    with_it = fetch_openml("tiny")
    monkeypatch.setitem(sys.modules, "pandas", None)
    without = fetch_openml("tiny")
    np.testing.assert_array_equal(with_it.x_train, without.x_train)


def test_what_openml_says_of_a_table_is_said_again(openml):
    with serving(tiny(), tiny(number=62, version=2),
                 tiny("old", 63, more={"status": "deactivated"})) as server:  # fmt: skip
        openml.use(server)
        with pytest.warns(DataWarning, match=r"openml:tiny: .* this is 1; openml:tiny@1"):
            fetch_openml("tiny")
        with pytest.warns(DataWarning, match="inactive"):
            fetch_openml("old")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fetch_openml("tiny@2")


def test_progress_is_said_and_settings_are_left_as_they_were(asked, monkeypatch):
    heard = []
    monkeypatch.setattr(voice, "say", heard.append)
    monkeypatch.setattr(fetching, "_FIRST_WORD", 0.01)
    monkeypatch.setattr(fetching, "_BETWEEN", 0.01)
    whole = asked.answer

    def slowly(path):
        assert socket.getdefaulttimeout() is not None
        if path.startswith("/data/"):
            fetching.threading.Event().wait(0.1)
        return whole(path)

    monkeypatch.setattr(asked, "answer", slowly)
    fetch_openml("tiny")
    assert heard
    assert all(line.startswith("openml:tiny: ") for line in heard)
    assert socket.getdefaulttimeout() is None


def test_several_threads_fetch(openml):
    with serving(*(tiny(f"t{i}", 70 + i) for i in range(4))) as server:
        openml.use(server)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(fetch_openml, [f"t{i}" for i in range(4)] * 2, timeout=60))
    for data in found:
        np.testing.assert_array_equal(data.x_train, found[0].x_train)


def test_from_the_command_line(asked, openml):
    tiny_run = ("--model", "4", "--epochs", 2, "--no-dense-timing")
    done = run("train", "openml:tiny", *tiny_run, "--out", "it", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["density"]
    openml.cut()
    assert run("evaluate", "it", "openml:tiny").exit_code == 0
    assert len(run("predict", "it", "openml:tiny").stdout.split()) == 4
    done = run("train", "openml:tiny", "--target", "width", *tiny_run, "--json")
    assert "test_r2" in json.loads(done.stdout)
    for wrong in (("openml:tiny", "--format", "csv"), ("openml:tiny", "--samples", 30),
                  ("openml:other",), ("openml:",)):  # fmt: skip
        done = run("train", *wrong, "--quiet")
        assert done.exit_code == 2
        assert done.output.count("\n") == 1


def test_a_model_finds_its_columns_in_another_table(openml):
    turned = {name: KINDS[name] for name in ("id", "colour", "kind", "width")}
    rows = [[i, f"'{COLOURS[i % 3]}'", ("no", "yes")[i % 2], i / 4] for i in range(20)]
    other = {"id": "numeric", "colour": KINDS["colour"], "kind": KINDS["kind"], "x": "numeric"}
    with serving(
        tiny(), tiny("turned", 62, turned, rows=rows), tiny("other", 63, other, rows=rows)
    ) as server:
        openml.use(server)
        options = ("--model", "4", "--epochs", 2, "--no-dense-timing", "--out", "it")
        assert run("train", "openml:tiny", *options).exit_code == 0
        same = [run("predict", "it", f"openml:{name}", "--part", "test", "--proba").stdout
                for name in ("tiny", "turned")]  # fmt: skip
        assert same[0] == same[1] != ""
        assert "of 4 samples" in run("evaluate", "it", "openml:tiny").stdout
        done = run("evaluate", "it", "openml:other", "--quiet")
        assert (done.exit_code, done.output.count("\n")) == (2, 1)
        assert "'width'" in done.output
