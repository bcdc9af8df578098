"""Files as strangers hand them over: labels in other spellings, titles, encodings, parts."""

import json

import numpy as np
import pytest
from commands import TINY, run

from sparsecpu.datasets import class_numbers, open_data, read_npz
from sparsecpu.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3)).round(3)
LABELS = np.arange(60) % 3
ROWS = [",".join(map(str, row)) for row in np.c_[X, LABELS.astype(object)].tolist()]


def table(path, rows, names="a,b,c,kind"):
    path.write_text("\n".join([names, *rows] if names else rows) + "\n")
    return path


def test_whole_labels_are_the_same_in_an_archive_and_in_a_table(tmp_path):
    archive, csv = tmp_path / "floats.npz", table(tmp_path / "whole.csv", ROWS)
    np.savez(archive, x=X, y=LABELS.astype(float))
    printed = {}
    for path in (archive, csv):
        out = tmp_path / path.stem
        assert run("train", path, *TINY, "--out", out).exit_code == 0
        for other in (archive, csv):
            result = run("predict", out, other)
            assert result.exit_code == 0, result.stderr
            printed[path.stem, other.stem] = result.stdout
            assert run("evaluate", out, other).stdout.startswith("test accuracy")
    assert len(set(printed.values())) == 1
    np.savez(archive, x_train=X, y_train=LABELS / 1.0, x_test=X[:9], y_test=LABELS[:9])
    assert read_npz(archive).classes.tolist() == [0, 1, 2]
    np.savez(archive, x=X, y=LABELS / 2)
    assert read_npz(archive, task="classification").classes.tolist() == [0.0, 0.5, 1.0]


def test_a_model_whose_labels_are_floats_knows_them_without_a_point():
    old = np.array([0.0, 1.0, 5.0])
    assert class_numbers(old, np.array(["5", "0"])).tolist() == [2, 0]
    for wrong in ("05", "5.0", "4"):
        with pytest.raises(DataError, match=wrong):
            class_numbers(old, np.array([wrong]))


def test_one_class_is_refused_by_its_label(tmp_path):
    rows = [row.replace(",2", ",0") for row in ROWS[::3]]
    result = run("train", table(tmp_path / "one.csv", [f"{row[:-1]}oak" for row in rows]), *TINY)
    assert result.exit_code == 2
    assert "'oak'" in result.stderr
    assert "'kind'" in result.stderr


def test_what_stands_above_a_table_is_named(tmp_path):
    for above in ("# made by hand", "Sizes of trees"):
        result = run("train", table(tmp_path / "t.csv", ["a,b,c,kind", *ROWS], above), *TINY)
        assert result.exit_code == 2
        assert above in result.stderr


def test_where_a_sample_was_taken_for_names_the_way_out_is_named(tmp_path):
    iris = [f"{i % 2},{i % 2},{'xyy'[i] if i < 3 else 'yz'[i % 2]}" for i in range(60)]
    path = table(tmp_path / "iris.csv", iris, None)
    assert "--no-header" in run("train", path, *TINY).stderr
    assert run("train", path, *TINY, "--no-header").exit_code == 0
    path = table(tmp_path / "alone.csv", ["1,2,x"], None)
    assert "--no-header" in run("train", path, *TINY).stderr


def test_another_encoding_is_named_with_its_line(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("größe,b,c,kind\n".encode("latin-1") + "\n".join(ROWS).encode())
    result = run("train", path, *TINY)
    assert result.exit_code == 2
    assert "line 1" in result.stderr
    assert "save it as UTF-8" in result.stderr


def test_a_part_of_data_that_was_not_trained_on_is_not_called_so_in_silence(tmp_path):
    seen, new = table(tmp_path / "seen.csv", ROWS), tmp_path / "new.csv"
    table(new, ROWS[::-1])
    assert run("train", seen, *TINY, "--out", tmp_path / "run").exit_code == 0
    for part in ("train", "test"):
        assert "not trained on" in run("evaluate", tmp_path / "run", new, "--part", part).stderr
        result = run("evaluate", tmp_path / "run", seen, "--part", part, "--json")
        assert not result.stderr
        assert json.loads(result.stdout)["part"] == part
    assert "1 sample\n" in run("evaluate", tmp_path / "run", table(new, ROWS[:1])).stdout


@pytest.mark.parametrize("first", ["1,2,3,4", "2015,2016,2017,2018"])
def test_a_first_row_that_counts_is_said_to_be_taken_for_a_sample(tmp_path, first):
    path = table(tmp_path / "counted.csv", ROWS, first)
    result = run("train", path, *TINY)
    assert result.exit_code == 0
    assert "--header" in result.stderr
    assert not run("train", path, *TINY, "--header").stderr
    assert "--header" not in run("train", table(path, ROWS, None), *TINY).stderr


def test_a_target_in_another_column_than_the_last_is_not_taken_for_a_feature(tmp_path):
    pixels = RNG.integers(0, 256, (60, 9))
    names = [f"pixel{i}" for i in range(9)]
    rows = [",".join(map(str, row)) for row in np.c_[LABELS, pixels].tolist()]
    path = table(tmp_path / "digits.csv", rows, ",".join(["label", *names]))
    words = run("train", path, *TINY)
    assert words.exit_code == 2
    assert "--target 'label'" in words.stderr
    archive, out = tmp_path / "digits.npz", tmp_path / "run"
    np.savez(archive, x=pixels, y=LABELS)
    assert run("train", archive, *TINY, "--out", out).exit_code == 0
    for command in ("predict", "evaluate"):
        words = run(command, out, path)
        assert words.exit_code == 2
        assert "--target 'label'" in words.stderr
        result, other = run(command, out, path, "--target", "label"), run(command, out, archive)
        assert result.exit_code == 0, result.stderr
        assert result.stdout == other.stdout
    table(path, [row[2:] + "," + row[0] for row in rows], "a,b,c,d,e,f,g,h,i,j")
    assert "'j'" in run("predict", out, path).stderr
    table(path, [row[2:] + "," + row[0] for row in rows], ",".join([*names, "label"]))
    assert not run("predict", out, path).stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("categorical", 5), ("missing", 5), ("missing", [5]), ("header", "yes"), ("task", "guess")],
)
def test_python_says_how_a_table_is_read_or_is_refused(tmp_path, name, value):
    path = table(tmp_path / "t.csv", ROWS)
    assert open_data(path).x_train.shape == (48, 3)
    with pytest.raises(DataError, match=f"^{name} is "):
        open_data(path, **{name: value})
    with pytest.raises(DataError, match=r"^data is 5; expected a name or a path"):
        open_data(5)


def test_one_sample_without_names_is_not_taken_for_names_without_a_word(tmp_path):
    cities = [f"{i},{['Rome', 'Oslo'][i % 2]},{'yn'[i // 2 % 2]}" for i in range(40)]
    path, alone = table(tmp_path / "t.csv", cities, "n,city,cheap"), tmp_path / "alone.csv"
    words = [*TINY, "--categorical", "auto", "--out", tmp_path / "run"]
    assert run("train", path, *words).exit_code == 0
    table(alone, ["3,Rome"], None)
    assert "--no-header" in run("predict", tmp_path / "run", alone).stderr
    assert run("predict", tmp_path / "run", alone, "--no-header").exit_code == 0
    table(alone, ["3,Rome"], "n,town")
    assert "--no-header" not in run("predict", tmp_path / "run", alone).stderr
