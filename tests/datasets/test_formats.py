"""Files of any name: what is in them tells; svmlight counts from 0 or from 1."""

import gzip
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
from commands import TINY, run
from sklearn.datasets import dump_svmlight_file

from sparsecpu.datasets import open_data, read_samples
from sparsecpu.datasets.formats import format_of
from sparsecpu.errors import DataError


def numbers(rows=30, features=6):
    """Return samples of a few features each; the first and the last feature occur."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, features)).round(3)
    x *= rng.random(x.shape) < 0.7
    x[0], x[1] = 0.5, -0.5
    return x, np.arange(rows) % 3


def write(path, x, y, base=1):
    dump_svmlight_file(x, y, str(path), zero_based=base == 0)
    return path


@pytest.mark.parametrize("name", ["a9a", "a9a.t", "it.svm", "it.libsvm.gz", "it.txt", "it.gz"])
@pytest.mark.parametrize("packed", [False, True])
def test_svmlight_under_any_name(tmp_path, name, packed):
    x, y = numbers()
    content = write(tmp_path / "x", x, y).read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
    data = open_data(str(tmp_path / name))
    assert (data.x_train.shape, len(data.y_test), data.n_outputs) == ((24, 6), 6, 3)
    found = read_samples(tmp_path / name, 6)
    np.testing.assert_array_equal((found @ np.eye(6)), x)


@pytest.mark.parametrize("name", ["it", "it.csv", "it.dat", "it.csv.gz", "it.npz.old", "a.b.c"])
def test_tables_and_archives_under_any_name(tmp_path, name):
    x, y = numbers()
    with open(tmp_path / name, "wb") as file:
        np.savez(file, x=x, y=y)
    assert format_of(tmp_path / name) == "npz"
    np.savetxt(tmp_path / name, np.c_[x, y], delimiter=",")
    assert format_of(tmp_path / name) == "csv"
    (tmp_path / name).write_text("2:5,12:30,up\n3:5,12:31,down\n")  # no pairs of svmlight
    assert format_of(tmp_path / name) == "csv"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps({"x": 1}), "pickle"),
        (b"\x93NUMPY\1\0", "numpy.savez"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"\x89PNG\r\n", "picture"),
        (b"\0\0\x08\x03" + bytes(20), "IDX"),
        (b"BZh91AY&SY", "bunzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"<!DOCTYPE html>", "web page"),
        (b"% remark\n@relation iris\n", "ARFF"),
        (b'[{"a": 1}]', "JSON"),
        (b"", "empty"),
        (b"hello\nworld\n", "--format"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("packed", [False, True])
def test_other_files_are_named(tmp_path, content, words, packed):
    path = tmp_path / "it"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=words):
        open_data(str(path))


@pytest.mark.parametrize("first", ["PAR1", "ORC", "BM", "GIF8", "Rar", "BZh9", "PK", "relation"])
def test_a_column_may_be_called_as_other_files_begin(tmp_path, first):
    lines = [f"{first},b,y", *(f"{i},{i / 2},{i % 2}" for i in range(12))]
    (tmp_path / "it").write_text("\n".join(lines))
    assert open_data(str(tmp_path / "it")).columns.names == (first, "b")


@pytest.mark.parametrize(("member", "words"), [("xl/book.xml", "Excel"), ("it.csv", "unpack")])
def test_other_archives_are_named(tmp_path, member, words):
    with zipfile.ZipFile(tmp_path / "it", "w") as archive:
        archive.writestr(member, "1")
    with pytest.raises(DataError, match=words):
        open_data(str(tmp_path / "it"))


def test_a_format_can_be_said_and_must_fit(tmp_path):
    x, y = numbers()
    path = write(tmp_path / "it.csv", x, y)  # the name says something else
    assert open_data(str(path), format="svmlight").x_train.shape == (24, 6)
    for options in ({"format": "npz"}, {"format": "arff"}, {"format": "svmlight", "target": "a"}):
        with pytest.raises(DataError):
            open_data(str(path), **options)
    for name in ("digits", str(tmp_path)):
        with pytest.raises(DataError, match="is no file"):
            open_data(name, zero_based=True, format="svmlight")


def test_a_wrong_number_is_found_in_its_own_sample_and_feature(tmp_path):
    lines = [f"{i % 2} 1:0.5 4:{i}" for i in range(1, 12)]
    path = tmp_path / "it.svm"
    for value in ("nan", "inf", "1e39"):
        path.write_text("\n".join([*lines[:6], f"1 2:1 5:{value}", *lines[7:]]))
        with pytest.raises(DataError, match=r"sample 7, feature 5\b"):
            open_data(str(path))
        with pytest.raises(DataError, match=r"sample 7, feature 5\b"):
            read_samples(path, 5)
    path.write_text("1\n0\n" * 6)
    with pytest.raises(DataError, match="targets alone"):
        open_data(str(path))
    path.write_text("\n".join([*lines[:2], "nan 2:1", *lines[3:]]))
    with pytest.raises(DataError, match=r"sample 3\b.*target"):
        open_data(str(path))
    x, y = numbers()
    x[4, 2] = 1e39  # is named as the file has it
    np.savez(tmp_path / "it.npz", x=x, y=y)
    with pytest.raises(DataError, match=r"sample 5, feature 3 is 1e\+39"):
        open_data(str(tmp_path / "it.npz"))
    np.savez(tmp_path / "it.npz", x=np.eye(8), y=[0.5, 1, 2, np.nan, 1, 2, 3, 4])
    with pytest.raises(DataError, match="sample 4, target 1"):
        open_data(str(tmp_path / "it.npz"))


def train(folder, base, name="train.svm"):
    x, y = numbers()
    path = write(folder / name, x, y, base)
    result = run("train", path, *TINY, "--out", folder / "run")
    assert result.exit_code == 0, result.output
    return x, y


def predicted(folder, path, *options):
    return run("predict", folder / "run", path, "--json", "--proba", *options)


@pytest.mark.parametrize("base", [0, 1])
def test_a_file_with_fewer_features_is_padded(tmp_path, base):
    x, y = train(tmp_path, base)
    wanted = predicted(tmp_path, write(tmp_path / "whole", x, y, base)).stdout
    assert len(json.loads(wanted)["predictions"]) == 30
    x[:, 4:] = 0  # the last features never occur, nor does the first
    x[:, 0] = 0
    np.savez(tmp_path / "narrow.npz", x=x)
    wanted = predicted(tmp_path, tmp_path / "narrow.npz").stdout
    path = write(tmp_path / "narrow", x, y, base)
    assert predicted(tmp_path, path).stdout == wanted != ""
    score = json.loads(run("evaluate", tmp_path / "run", path, "--json").stdout)
    assert score["test_samples"] == 30
    (tmp_path / "none.svm").write_text("1\n0\n2\n")
    assert len(json.loads(predicted(tmp_path, tmp_path / "none.svm").stdout)["predictions"]) == 3


@pytest.mark.parametrize("base", [0, 1])
def test_a_file_with_more_features_or_another_count_is_refused(tmp_path, base):
    x, y = train(tmp_path, base)
    wide = write(tmp_path / "wide", np.c_[x, y + 1.0], y, base)
    result = predicted(tmp_path, wide)
    assert result.exit_code == 2
    assert "features" in result.stderr
    # A file that counts the other way cannot be told apart by its numbers alone.
    path = write(tmp_path / "other", x, y, 1 - base)
    result = predicted(tmp_path, path)
    assert result.exit_code == 2
    option = "--one-based" if base == 0 else "--zero-based"
    assert option in result.stderr
    wanted = predicted(tmp_path, write(tmp_path / "same", x, y, base)).stdout
    assert predicted(tmp_path, path, option).stdout == wanted
    wrong = "--one-based" if option == "--zero-based" else "--zero-based"
    assert predicted(tmp_path, path, wrong).exit_code == 2


def test_a_model_of_other_data_settles_what_is_certain(tmp_path):
    x, y = numbers()
    np.savez(tmp_path / "it.npz", x=x, y=y)
    options = ["--scaling", "none", "--out", tmp_path / "run"]
    assert run("train", tmp_path / "it.npz", *TINY, *options).exit_code == 0
    wanted = predicted(tmp_path, tmp_path / "it.npz").stdout
    for base in (0, 1):
        assert predicted(tmp_path, write(tmp_path / "it", x, y, base)).stdout == wanted
    x[:, [0, 5]] = 0
    for base in (0, 1):
        path = write(tmp_path / "it", x, y, base)
        result = predicted(tmp_path, path)
        assert result.exit_code == 2
        assert "--zero-based or --one-based" in result.stderr
        said = "--zero-based" if base == 0 else "--one-based"
        assert len(json.loads(predicted(tmp_path, path, said).stdout)["predictions"]) == 30


def write_idx(folder, parts):
    folder.mkdir()
    for name, (x, y) in parts.items():
        shape = struct.pack(">4B3I", 0, 0, 8, 3, len(x), 8, 8)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(shape + x.tobytes())
        labels = struct.pack(">4BI", 0, 0, 8, 1, len(y)) + y.astype(np.uint8).tobytes()
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(labels)
    return folder


def test_the_same_data_in_four_formats_gives_equal_results(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 150)
    x = rng.integers(0, 200, (150, 64)) + 20 * (np.arange(64) % 3 == y[:, None])
    x[:, 0] = x[:, -1] = 7
    seen, new = slice(100), slice(100, None)
    files = {}
    for name, part in (("train", seen), ("new", new)):
        table = np.c_[x[part], y[part]]
        np.savetxt(tmp_path / f"{name}.csv", table, fmt="%d", delimiter=",")
        np.savez(tmp_path / f"{name}.npz", x=x[part].astype(np.uint8), y=y[part])
        write(tmp_path / f"{name}.svm", x[part].astype(float), y[part])
        files[name] = [tmp_path / f"{name}.{suffix}" for suffix in ("csv", "npz", "svm")]
    cut = open_data(str(files["train"][1]))
    files["new"].append(write_idx(tmp_path / "idx", {
        "train": (cut.x_train, cut.y_train), "t10k": (x[new].astype(np.uint8), y[new]),
    }))  # fmt: skip
    files["train"].append(tmp_path / "idx")
    weights, scores, predictions = set(), set(), set()
    for number, path in enumerate(files["train"]):
        out = tmp_path / f"run{number}"
        result = run("train", path, *TINY, "--scaling", "none", "--out", out)
        assert result.exit_code == 0, result.output
        with np.load(out / "model.npz") as model:
            weights.add(b"".join(model[k].tobytes() for k in sorted(model.files) if k != "header"))
        for other in files["new"] if number % 2 else files["new"][::3]:
            found = json.loads(run("evaluate", out, other, "--json").stdout)
            scores.add((found["test_accuracy"], found["test_samples"]))
            predictions.add(run("predict", out, other, "--proba").stdout)
        held = {json.loads(run("evaluate", out, again, "--json").stdout)["test_samples"]
                for again in files["train"][:3]}  # fmt: skip
        assert held == {len(cut.y_test)}  # known to be the training data, whatever the format
    assert (len(weights), len(scores), len(predictions)) == (1, 1, 1)
