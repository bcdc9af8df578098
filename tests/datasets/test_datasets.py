import gzip
import struct

import numpy as np
import pytest
from sklearn.datasets import dump_svmlight_file

from sparsecpu.datasets import class_numbers, open_data, read_samples
from sparsecpu.datasets.digits28 import VariedDigits, load_digits28
from sparsecpu.errors import DataError


@pytest.mark.parametrize(
    ("name", "samples", "features", "outputs"),
    [
        ("digits", 1797, 64, 10),
        ("breast-cancer", 569, 30, 2),
        ("wine", 178, 13, 3),
        ("iris", 150, 4, 3),
        ("diabetes", 442, 10, 1),
        ("make:classification", 5000, 100, 10),
        ("make:regression", 5000, 100, 1),
    ],
)
def test_named_data(name, samples, features, outputs):
    data = open_data(name)
    assert len(data.x_train) + len(data.x_test) == samples
    assert data.x_train.shape[1] == data.x_test.shape[1] == features
    assert data.n_outputs == outputs
    again = open_data(name)
    np.testing.assert_array_equal(data.x_test, again.x_test)


def test_digits28_never_shows_a_held_out_digit():
    small, large = open_data("digits"), load_digits28(3000)
    assert large.x_train.shape == (3000, 784)
    assert len(large.x_test) == len(small.x_test)
    np.testing.assert_array_equal(large.y_test, small.y_test)
    np.testing.assert_array_equal(large.y_train, small.y_train[np.arange(3000) % 1437])
    # Variations come from the training digits alone: where those are blank, so are they.
    blank = VariedDigits(np.zeros((1437, 28, 28), np.float32), 3000)
    assert not blank.make(np.arange(3000)).any()


def test_digits28_streams_the_same_samples():
    kept = load_digits28(2000)
    varied = VariedDigits(np.arange(3 * 784, dtype=np.float32).reshape(3, 28, 28) % 255, 10**9, 7)
    rows = np.array([5, 10**9 - 1, 123_456_789])
    many = varied.make(rows)
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(varied.make(rows[i : i + 1])[0], many[i])
        assert row >= 0
    prefix = load_digits28(500)
    np.testing.assert_array_equal(kept.x_train[:500], prefix.x_train)
    assert len(np.unique(many, axis=0)) == 3
    other = VariedDigits(varied.digits, 10, seed=8).make(np.arange(3))
    assert not np.array_equal(other, varied.make(np.arange(3)))


def test_more_digits28_than_are_kept_are_streamed(monkeypatch):
    from sparsecpu.datasets import digits28

    kept = load_digits28(600)
    monkeypatch.setattr(digits28, "_KEEP_BYTES", 0)
    streamed = load_digits28(600)
    rows = np.array([3, 599, 77])
    array, at = streamed.x_train.take_samples(rows)
    np.testing.assert_array_equal(array[at], kept.x_train[rows])


GOOD_CSV = {
    "plain": "1,2,0\n3,4,1\n5,6,0\n7,8,1\n1,3,0\n",
    "names": "a,b,label\n1,2,0\n3,4,1\n5,6,0\n7,8,1\n1,3,0\n",
    "text labels": "a,b,label\n1,2,x\n3,4,y\n5,6,x\n7,8,y\n1,3,x\n",
    "spaces and blank lines": "\n1, 2 ,x\n3,4,y\n\n5,6,x\n7,8,y\n1,3,x\n\n",
    "bom": "\ufeffa,b,label\n1,2,x\n3,4,y\n5,6,x\n7,8,y\n1,3,x\n",
}


@pytest.mark.parametrize("name", GOOD_CSV)
def test_csv(name, tmp_path):
    path = tmp_path / "d.csv"
    path.write_text(GOOD_CSV[name], encoding="utf-8")
    data = open_data(str(path))
    assert data.task == "classification"
    assert len(data.x_train) + len(data.x_test) == 5
    assert data.n_outputs == 2


def test_csv_target_and_regression(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("y,a,b\n" + "".join(f"{i / 7},{i},{i * i}\n" for i in range(20)))
    data = open_data(str(path), target="y")
    assert data.task == "regression"
    assert data.x_train.shape[1] == 2
    x = read_samples(path, 2, target="y")
    np.testing.assert_array_equal(x[:, 0], np.arange(20))
    with pytest.raises(DataError):
        open_data(str(path), target="z")


BAD_CSV = {
    "ragged": "1,2,0\n3,4\n5,6,1\n",
    "text": "1,2,0\n3,x,1\n5,6,0\n7,8,1\n1,3,0\n",
    "nan": "1,2,0\n3,nan,1\n5,6,0\n7,8,1\n1,3,0\n",
    "inf": "1,2,0\n3,inf,1\n5,6,0\n7,8,1\n1,3,0\n",
    "nan target": "1,2,0.5\n3,4,nan\n5,6,0\n7,8,1\n1,3,0\n",
    "one class": "1,2,0\n3,4,0\n5,6,0\n7,8,0\n1,3,0\n",
    "one row": "1,2,0\n",
    "only names": "a,b,c\n",
    "one column": "1\n2\n3\n4\n5\n",
    "empty": "",
    "blank": "\n\n",
    "binary": "\x00\x01\x02",
}


@pytest.mark.parametrize("name", BAD_CSV)
def test_bad_csv(name, tmp_path):
    path = tmp_path / "d.csv"
    path.write_text(BAD_CSV[name])
    with pytest.raises(DataError):
        open_data(str(path))


def test_not_utf8(tmp_path):
    (tmp_path / "d.csv").write_bytes(b"1,2,\xff\xfe\n")
    with pytest.raises(DataError):
        open_data(str(tmp_path / "d.csv"))


def test_npz(tmp_path, rng):
    x, y = rng.integers(0, 255, (30, 4, 4)).astype(np.uint8), rng.integers(0, 3, 30)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    data = open_data(str(tmp_path / "a.npz"))
    assert data.input_shape == (4, 4)
    assert data.x_train.dtype == np.uint8
    np.savez(tmp_path / "b.npz", x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])
    assert len(open_data(str(tmp_path / "b.npz")).x_test) == 5
    bad = {
        "nan": dict(x=np.full((9, 2), np.nan), y=np.arange(9) % 2),
        "lengths": dict(x=np.ones((9, 2)), y=np.arange(8) % 2),
        "keys": dict(a=np.ones((9, 2))),
        "flat": dict(x=np.ones(9), y=np.arange(9) % 2),
        "text": dict(x=np.full((9, 2), "a"), y=np.arange(9) % 2),
        "unknown test label": dict(
            x_train=x, y_train=y, x_test=x[:2], y_test=np.array([0, 9])
        ),
        "test features": dict(x_train=x, y_train=y, x_test=x[:2, :2], y_test=y[:2]),
    }  # fmt: skip
    for arrays in bad.values():
        np.savez(tmp_path / "c.npz", **arrays)
        with pytest.raises(DataError, match=r"c\.npz|test samples|label"):
            open_data(str(tmp_path / "c.npz"))
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "d.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError):
        open_data(str(tmp_path / "d.npz"))


def write_idx(folder, packed, images=20, tests=6):
    rng = np.random.default_rng(0)
    for part, n in (("train", images), ("t10k", tests)):
        x = rng.integers(0, 256, (n, 5, 5)).astype(np.uint8)
        y = (np.arange(n) % 3).astype(np.uint8)
        files = {
            f"{part}-images-idx3-ubyte": struct.pack(">4B3I", 0, 0, 8, 3, n, 5, 5) + x.tobytes(),
            f"{part}-labels-idx1-ubyte": struct.pack(">4BI", 0, 0, 8, 1, n) + y.tobytes(),
        }
        for name, content in files.items():
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)


@pytest.mark.parametrize("packed", [False, True])
def test_idx(packed, tmp_path):
    write_idx(tmp_path, packed)
    data = open_data(str(tmp_path))
    assert (data.x_train.shape, data.input_shape) == ((20, 25), (1, 5, 5))
    assert len(data.x_test) == 6
    assert data.n_outputs == 3


@pytest.mark.parametrize("packed", [False, True])
def test_damaged_idx(packed, tmp_path):
    write_idx(tmp_path, packed)
    path = next(p for p in sorted(tmp_path.iterdir()) if p.name.startswith("train-images"))
    content = path.read_bytes()
    damages = [content[:-3], content[:7], b"", content + b"x", b"\x00\x00\x0d\x03" + content[4:]]
    huge = struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 2**15, 2**15) + b"abc"
    damages.append(gzip.compress(huge) if packed else huge)
    for damage in damages:
        path.write_bytes(damage)
        with pytest.raises(DataError):
            open_data(str(tmp_path))
    path.unlink()
    with pytest.raises(DataError):
        open_data(str(tmp_path))


def test_svmlight_stays_sparse(tmp_path, rng):
    from scipy import sparse

    x = sparse.random_array((40, 9), density=0.3, rng=rng, format="csr")
    dump_svmlight_file(x, rng.integers(0, 2, 40), str(tmp_path / "d.svm"))
    data = open_data(str(tmp_path / "d.svm"))
    assert sparse.issparse(data.x_train)
    assert data.task == "classification"
    (tmp_path / "bad.svm").write_text("hello\n")
    with pytest.raises(DataError):
        open_data(str(tmp_path / "bad.svm"))


@pytest.mark.parametrize("name", ["nothing-here", "nothing.csv", "x.xyz"])
def test_unknown_data(name, tmp_path):
    (tmp_path / "x.xyz").write_text("1")
    with pytest.raises(DataError):
        open_data(str(tmp_path / name))
    with pytest.raises(DataError):
        open_data(name)


def test_samples_are_checked():
    with pytest.raises(DataError):
        open_data("digits", samples=10)
    for samples in (0, -3):
        with pytest.raises(DataError):
            open_data("digits28", samples=samples)
        with pytest.raises(DataError):
            open_data("make:regression", samples=samples)


def test_class_numbers():
    classes = np.array(["b", "a"])
    assert class_numbers(classes, np.array(["a", "b", "a"])).tolist() == [1, 0, 1]
    assert class_numbers(np.array([3, 7]), np.array([7, 3])).tolist() == [1, 0]
    with pytest.raises(DataError):
        class_numbers(np.array([3, 7]), np.array([7, 4]))


def test_digits_are_those_of_scikit_learn(monkeypatch):
    from sklearn.datasets import load_digits as theirs

    from sparsecpu.datasets import bundled

    wanted = theirs(return_X_y=True)
    for found in (bundled._read_digits(), None):
        if found is None:  # another version may lay its files out differently
            monkeypatch.setattr(bundled.importlib.util, "find_spec", lambda name: None)
            found = bundled._read_digits()
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)


def write_cifar(folder, *, hundred=False, images=12):
    """Write folders as CIFAR's are; returns the pixels and labels of the training part."""
    rng = np.random.default_rng(0)
    names = ["train.bin"] if hundred else [f"data_batch_{n}.bin" for n in range(1, 6)]
    pixels, labels = [], []
    for name in [*names, "test.bin" if hundred else "test_batch.bin"]:
        x = rng.integers(0, 256, (images, 3072), dtype=np.uint8)
        y = (np.arange(images) % (100 if hundred else 10)).astype(np.uint8)
        coarse = [np.full((images, 1), 7, np.uint8)] if hundred else []
        (folder / name).write_bytes(np.hstack([*coarse, y[:, None], x]).tobytes())
        pixels.append(x)
        labels.append(y)
    return np.concatenate(pixels[:-1]), np.concatenate(labels[:-1])


@pytest.mark.parametrize("hundred", [False, True])
def test_cifar_folders(tmp_path, hundred):
    x, y = write_cifar(tmp_path, hundred=hundred)
    data = open_data(str(tmp_path))
    np.testing.assert_array_equal(data.x_train, x)
    np.testing.assert_array_equal(data.y_train, y)
    assert (data.input_shape, data.scaling, len(data.x_test)) == ((3, 32, 32), "channel", 12)


@pytest.mark.parametrize("damage", ["truncated", "empty", "label", "missing", "oversized"])
def test_damaged_cifar_files_are_refused(tmp_path, damage):
    write_cifar(tmp_path)
    path = tmp_path / "data_batch_3.bin"
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[:-1])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "label":
        path.write_bytes(content[:3073] + b"\x0a" + content[3074:])
    elif damage == "missing":
        path.unlink()
    else:
        with open(path, "r+b") as file:  # a hole: claims gigabytes, holds nothing
            file.truncate(3073 * 1_000_001)
    with pytest.raises(DataError, match=r"data_batch_3\.bin"):
        open_data(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "task"),
    [("digits", "regression"), ("diabetes", "classification"), ("make:shapes", "regression")],
)
def test_a_task_that_data_is_not_for_is_refused(name, task):
    with pytest.raises(DataError, match=task):
        open_data(name, task=task)
    assert open_data(name).task != task


@pytest.mark.parametrize("name", ["digits", "diabetes", "make:shapes", "text:python"])
def test_a_data_set_is_shown_in_a_line(name):
    data = open_data(name)
    shown = repr(data)
    assert len(shown) <= 120
    assert "\n" not in shown
    for part in (name, f"{len(data.x_train):,}", f"{len(data.x_test):,}", str(data.n_outputs)):
        assert part in shown
    if name == "text:python":
        assert len(repr(data.text)) < 2000  # of all its tokens, there is none
