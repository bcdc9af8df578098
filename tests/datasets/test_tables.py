"""Tables as they come: what is in a cell is read as it was meant, or refused by its place."""

import gzip
import time
import tracemalloc
import warnings

import numpy as np
import pytest

from sparsecpu.datasets import open_data
from sparsecpu.datasets.tables import rows
from sparsecpu.errors import DataError, DataWarning


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Return a function that writes a table and reads it; its notes are in ``notes``.

    Small tables and large ones are read by other means: both are to come to the same.
    """

    def read(text, name="d.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        found = []
        for fast_from in (1 << 60, 0):
            monkeypatch.setattr(rows, "FAST_FROM", fast_from)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    data = open_data(str(path), **options)
                except DataError as error:
                    found.append(str(error))
                    continue
            read.notes = [str(w.message) for w in caught if issubclass(w.category, DataWarning)]
            found.append((data.columns, *(part.tolist() for part in values(data)), read.notes))
        assert found[0] == found[1]
        if isinstance(found[0], str):
            raise DataError(found[0])
        return data

    return read


def values(data):
    """All samples in order, with their targets as the file has them."""
    order = np.argsort(np.argsort(data.held, kind="stable"))
    x = np.concatenate([data.x_train, data.x_test])[order]
    y = np.concatenate([data.y_train, data.y_test])[order]
    return x, y.ravel() if data.classes is None else data.classes[y]


def priced(cell, rows=60, at=30):
    prices = [f"{1.5 * i + 0.25}" for i in range(rows)]
    prices[at] = cell
    return "a,b,c,price\n" + "".join(f"{i},{i * i},{i % 7},{p}\n" for i, p in enumerate(prices))


@pytest.mark.parametrize("task", ["auto", "regression"])
@pytest.mark.parametrize("cell", ["NA", "", "?", "null", "$5", "5 mm", "5%", "1_0", "nan", "inf"])
def test_an_odd_target_among_numbers_is_refused_by_its_place(cell, task, opened):
    with pytest.raises(DataError, match=r"line 32, column 'price'"):
        opened(priced(cell), task=task)
    with pytest.raises(DataError, match=r"line 32, column 'price'"):
        opened(priced(cell).replace(".25", "").replace(".75", ""), task=task)


@pytest.mark.parametrize("cell", ["NA", "", "?", "null"])
def test_rows_without_a_value_are_left_out_on_request(cell, opened):
    data = opened(priced(cell), drop_missing=True)
    assert data.task == "regression"
    assert len(data.y_train) + len(data.y_test) == 59
    assert "1 of 60 rows" in opened.notes[0]
    text = priced("7.5").replace("\n5,25,5,", f"\n5,{cell},5,")
    with pytest.raises(DataError, match="line 7, column 'b'"):
        opened(text)
    assert len(values(opened(text, drop_missing=True))[0]) == 59


def test_missing_marks_are_what_the_user_says(opened):
    text = priced("-999.0").replace("\n5,25,5,", "\n5,-999,5,")
    assert values(opened(text))[0][5, 1] == -999
    with pytest.raises(DataError, match=r"line 7, column 'b'.*'-999'"):
        opened(text, missing=["-999"])
    x, _ = values(opened(text, missing=["-999"], drop_missing=True))
    assert len(x) == 58
    labels = "a,y\n" + "".join(f"{i},{('None', 'Some')[i % 2]}\n" for i in range(10))
    with pytest.raises(DataError, match="line 2, column 'y'"):
        opened(labels)
    assert opened(labels, missing=["NA"]).classes.tolist() == ["None", "Some"]


def test_text_of_its_own_in_most_rows_is_no_class(opened):
    text = "a,price\n" + "".join(f"{i},${i}.50\n" for i in range(60))
    with pytest.raises(DataError, match="60 different texts"):
        opened(text)
    assert len(opened(text, task="classification").classes) == 60


@pytest.mark.parametrize(
    ("targets", "task"),
    [(range(1960, 2020), "regression"), ([i % 30 for i in range(300)], "classification"),
     (range(0, 1200, 7), "regression")],
)  # fmt: skip
def test_whole_targets_say_what_they_are_taken_for(targets, task, opened):
    data = opened("a,y\n" + "".join(f"{i / 7},{y}\n" for i, y in enumerate(targets)))
    assert data.task == task
    other = {"regression": "classification", "classification": "regression"}[task]
    assert f"--task {other}" in opened.notes[0]


HEADERS = {
    "0,1,2,y\n": ("0", "1", "2"),
    ",0,1,2,3\n": ("0", "1", "2"),
    "0,1,2,3\n": ("0", "1", "2"),
    "2015,2016,2017,y\n": ("2015", "2016", "2017"),
    "age,2015,2016,cls\n": ("age", "2015", "2016"),
    "": ("column 1", "column 2", "column 3"),
}


@pytest.mark.parametrize("labels", ["pq", "01"])
@pytest.mark.parametrize("first", HEADERS)
def test_names_that_are_numbers_are_no_sample(first, labels, opened):
    index = first.startswith(",")
    rows = [f"{i / 3:.2f},{5 * i},{i * i},{labels[i % 2]}\n" for i in range(1, 11)]
    rows = [f"{i},{row}" for i, row in enumerate(rows)] if index else rows
    data = opened(first + "".join(rows))
    assert data.columns.names == HEADERS[first]
    assert data.columns.header == bool(first)
    assert len(values(data)[0]) == 10


def test_the_user_says_whether_there_are_names(opened):
    rows = "".join(f"{i},{i * i},{i % 2}\n" for i in range(2, 12))
    data = opened("2015,2016,1\n" + rows, header=True)
    assert data.columns.names == ("2015", "2016")
    data = opened("0,1,2\n" + rows, header=False)
    assert len(values(data)[0]) == 11
    assert opened("0,1,2\n" + rows).columns.names == ("0", "1")
    assert "--no-header" in opened.notes[0]


@pytest.mark.parametrize(
    "labels",
    [["1_0", "10"], ["1e5", "100000"], ["007", "7"], ["01234", "56789"], ["1e300", "1e301"],
     ["9007199254740993", "9007199254740992"], ["9223372036854775808", "1"], ["-0", "0"],
     ["1.0", "2.0"], ["１２", "12"], ["+1", "1"], ["0x10", "16"], [" é", "日本"]],
)  # fmt: skip
def test_labels_keep_their_spelling(labels, opened):
    data = opened("a,y\n" + "".join(f"{i}.5,{labels[i % 2]}\n" for i in range(12)),
                  task="classification")  # fmt: skip
    assert len(data.classes) == 2
    assert [str(y) for y in values(data)[1]] == [labels[i % 2].strip() for i in range(12)]


def test_labels_are_integers_where_the_spelling_says_so(opened):
    data = opened("a,y\n" + "".join(f"{i}.5,{10 - i % 3}\n" for i in range(12)))
    assert data.classes.tolist() == [8, 9, 10]
    assert data.columns.label_kind == "integer"


@pytest.mark.parametrize("cell", ["1_0", "9007199254740993", "1" * 400, "１２", "0x10", "1e39"])
def test_features_are_plain_numbers(cell, opened):
    rows = [f"{i},{i}.5,{'ab'[i % 2]}\n" for i in range(12)]
    rows[6] = f"{cell},1,a\n"
    with pytest.raises(DataError, match="line 8, column 'p'"):
        opened("p,q,y\n" + "".join(rows))


def test_columns_that_number_the_rows_are_left_out(opened):
    rows = "".join(f"{i + 100},A{i},{i % 4},7,{i % 2},\n" for i in range(20))
    data = opened(",PassengerId,size,depth,y,\n" + rows)
    assert data.columns.names == ("size", "depth")
    assert data.columns.dropped == ("column 1", "PassengerId", "column 6")
    assert any("'PassengerId'" in note for note in opened.notes)
    assert any("'depth'" in note for note in opened.notes)  # the same in all rows
    with pytest.raises(DataError, match=r"line 902, column 'column 3'.*empty above"):
        opened("size,y,\n" + 45 * "1,a,\n2,b,\n" * 10 + "3,a,9\n")


CITIES = "city,size,y\n" + "".join(
    f"{('Rome', 'Oslo', 'Bonn')[i % 3]},{i},{'ab'[i % 2]}\n" for i in range(30)
)


def test_text_becomes_categories_on_request(opened):
    with pytest.raises(DataError, match=r"'city' is text.*--categorical auto"):
        opened(CITIES)
    for chosen in ("auto", "city", ["city"]):
        data = opened(CITIES, categorical=chosen)
        assert data.columns.categories == {"city": ("Bonn", "Oslo", "Rome")}
        assert data.columns.feature_names == ("city=Bonn", "city=Oslo", "city=Rome", "size")
        x, _ = values(data)
        np.testing.assert_array_equal(x[:3], [[0, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 2]])
    with pytest.raises(DataError, match="'town'"):
        opened(CITIES, categorical="town")
    numbers = opened(CITIES, categorical="city,size").columns
    assert numbers.n_features == 33


@pytest.mark.parametrize("separator", [";", "\t", "|", " ", "   ", ","])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("declared", [False, True])
def test_separators_and_decimals_are_found_out(separator, decimal, declared, opened):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 2))
    quote = '"' if separator == decimal else ""
    lines = [["height", "width", "y"]]
    for i, row in enumerate(x.tolist()):
        cells = [f"{quote}{str(v).replace('.', decimal)}{quote}" for v in row]
        lines.append([*cells, "ab"[i % 2]])
    text = "\r\n".join(separator.join(line) for line in lines)
    if declared and len(separator) == 1:
        text = f"sep={separator}\r\n{text}"
    data = opened(text)
    np.testing.assert_array_equal(values(data)[0], x)
    assert data.columns.names == ("height", "width")


def test_what_separates_cells_is_named_where_it_is_unknown(opened):
    with pytest.raises(DataError, match="':'"):
        opened("".join(f"{i}:{i * i}:{i % 2}\n" for i in range(10)))
    with pytest.raises(DataError, match=r"1\.234 or 1234"):
        opened("a;b;y\n" + "1,234;5;a\n2,345;6;b\n" * 5)


def test_packed_tables_are_read_whatever_they_are_called(opened):
    for name in ("d.csv", "d.csv.gz", "d.tsv"):
        data = opened(gzip.compress(CITIES.replace(",", "\t").encode()), name, categorical="auto")
        assert values(data)[0].shape == (30, 4)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_other_encodings_are_refused(encoding, opened):
    with pytest.raises(DataError):
        opened(CITIES.replace("Rome", "Köln").encode(encoding), categorical="auto")


def test_names_that_stand_there_twice_are_refused(opened):
    with pytest.raises(DataError, match="2 columns named 'a'"):
        opened("a,a,y\n" + "1,2,x\n3,4,y\n" * 5)


def test_a_large_table_takes_less_than_three_times_its_array(tmp_path):
    path = tmp_path / "d.csv"
    lines = [
        ",".join(str((i * j) % 10) for j in range(50)) + f",{'ab'[i % 2]}\n" for i in range(90)
    ]
    path.write_text(",".join(f"c{j}" for j in range(50)) + ",y\n" + "".join(lines) * 500)
    assert path.stat().st_size > rows.FAST_FROM
    tracemalloc.start()
    data = open_data(str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * (data.x_train.nbytes + data.x_test.nbytes)
    x, y = values(data)
    assert x.shape == (45_000, 50)
    assert x.sum() == sum(int(cell) for line in lines for cell in line.split(",")[:50]) * 500
    assert y[:3].tolist() == ["a", "b", "a"]


def test_tables_with_many_columns_are_read_soon(opened):
    text = ",".join(f"c{j}" for j in range(20_000)) + "\n"
    text += "".join(",".join([str(i)] * 20_000) + "\n" for i in range(10))
    began = time.process_time()
    assert values(opened(text))[0].shape == (10, 19_999)
    assert time.process_time() - began < 10  # about 2 s: nothing goes with the square of columns
