"""Sets of IDX files by the names that they have in the world, and folders of them."""

import gzip
import struct

import numpy as np
import pytest
from commands import TINY, run

from sparsecpu.datasets import open_data, read_cifar, read_idx, read_images
from sparsecpu.errors import DataError

MNIST = ("train-{}-idx{}-ubyte", "t10k-{}-idx{}-ubyte")
DOTTED = ("train-{}.idx{}-ubyte", "t10k-{}.idx{}-ubyte")
LETTERS = ("emnist-letters-train-{}-idx{}-ubyte", "emnist-letters-test-{}-idx{}-ubyte")
DIGITS = ("emnist-digits-train-{}-idx{}-ubyte", "emnist-digits-test-{}-idx{}-ubyte")
QMNIST = ("qmnist-train-{}-idx{}-ubyte", "qmnist-test-{}-idx{}-ubyte")
NAMES = {"mnist": MNIST, "dotted": DOTTED, "emnist": LETTERS, "qmnist": QMNIST}


def content(array):
    types = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13}
    kind = types[array.dtype.str[1:]]
    head = struct.pack(f">4B{array.ndim}I", 0, 0, kind, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(folder, names=MNIST, *, seed=0, suffix="", packed=False, labels=None, shapes=None):
    """Write four files; return the pixels and classes of the training part."""
    rng, kept = np.random.default_rng(seed), None
    folder.mkdir(parents=True, exist_ok=True)
    for part, name, n in zip(("train", "test"), names, (20, 6), strict=True):
        x = rng.integers(0, 256, (n, *(shapes or {}).get(part, (5, 4)))).astype(np.uint8)
        y = (np.arange(n) % 3).astype(np.uint8)
        given = y if labels is None else labels(y)
        for what, array, dimensions in (("images", x, 3), ("labels", given, given.ndim)):
            path = folder / (name.format(what, dimensions) + suffix)
            path.write_bytes(gzip.compress(content(array)) if packed else content(array))
        kept = kept or (x.reshape(n, -1), y)
    return kept


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("names", NAMES)
def test_names_of_sets_packed_whatever_the_suffix_says(names, packed, suffix, tmp_path):
    x, y = write(tmp_path, NAMES[names], packed=packed, suffix=suffix)
    for place in (tmp_path, next(tmp_path.iterdir())):
        data = open_data(str(place))
        np.testing.assert_array_equal(data.x_train, x)
        np.testing.assert_array_equal(data.y_train, y)
        assert (data.input_shape, len(data.x_test)) == ((1, 5, 4), 6)


@pytest.mark.parametrize(
    "labels",
    [lambda y: y.astype(np.int32), lambda y: y.astype(np.int16), lambda y: y[:, None],
     lambda y: np.hstack([y[:, None], np.full((len(y), 7), 9)]).astype(np.int32)],
    ids=["int32", "int16", "column", "qmnist"],
)  # fmt: skip
def test_labels_of_other_types_are_read(labels, tmp_path):
    _, y = write(tmp_path, QMNIST, labels=labels)
    data = open_data(str(tmp_path))
    np.testing.assert_array_equal(data.classes[data.y_train], y)


@pytest.mark.parametrize(
    "labels",
    [lambda y: np.eye(3, dtype=np.uint8)[y], lambda y: np.eye(8, dtype=np.uint8)[y],
     lambda y: y.astype(np.float32), lambda y: y[:-1]],
    ids=["one-hot", "one-hot of eight", "floats", "too few"],
)  # fmt: skip
def test_labels_that_are_none_are_refused(labels, tmp_path):
    write(tmp_path, labels=labels)
    with pytest.raises(DataError, match="labels"):
        open_data(str(tmp_path))


def test_images_of_two_sizes_are_refused_though_they_have_as_many_pixels(tmp_path):
    write(tmp_path, shapes={"test": (4, 5)})
    with pytest.raises(DataError, match="t10k-images"):
        open_data(str(tmp_path))


def test_one_of_several_sets_is_chosen(tmp_path):
    folder = tmp_path / "emnist"
    (letters, _), (digits, _) = write(folder, LETTERS), write(folder, DIGITS, seed=1)
    done = run("train", folder, *TINY)
    assert done.exit_code == 2
    assert "emnist-digits, emnist-letters" in done.output
    one = folder / LETTERS[1].format("labels", 1)
    ways = {f"{folder}:letters": letters, f"{folder}:emnist-letters": letters,
            f"{folder}:digits": digits, f"{one}": letters}  # fmt: skip
    for way, x in ways.items():
        np.testing.assert_array_equal(open_data(way).x_train, x)
    with pytest.raises(DataError, match="emnist-digits, emnist-letters"):
        open_data(f"{folder}:balanced")
    own, _ = write(folder, MNIST, seed=2)
    with pytest.raises(DataError, match="t10k-images"):
        open_data(str(folder))
    np.testing.assert_array_equal(
        open_data(str(folder / MNIST[0].format("images", 3))).x_train, own
    )
    with pytest.raises(DataError):
        read_idx(tmp_path / "table.csv")


def test_a_chosen_set_is_trained_on_and_scored(tmp_path):
    write(tmp_path / "emnist", LETTERS)
    write(tmp_path / "emnist", DIGITS)
    data, out = f"{tmp_path / 'emnist'}:letters", tmp_path / "run"
    assert run("train", data, *TINY, "--out", out).exit_code == 0
    for name in (data, tmp_path / "emnist" / LETTERS[0].format("images", 3)):
        done = run("evaluate", out, name, "--quiet")
        assert (done.exit_code, "of 6 samples" in done.output) == (0, True), done.output


def test_what_is_missing_or_twice_is_named(tmp_path):
    write(tmp_path, LETTERS)
    (tmp_path / LETTERS[1].format("labels", 1)).unlink()
    with pytest.raises(DataError, match="no emnist-letters-test-labels-idx1-ubyte"):
        open_data(str(tmp_path))
    x, _ = write(tmp_path / "two", MNIST)
    write(tmp_path / "two", MNIST, seed=1, suffix=".gz", packed=True)
    np.testing.assert_array_equal(open_data(str(tmp_path / "two")).x_train, x)
    write(tmp_path / "two", DOTTED, seed=1)
    with pytest.raises(DataError, match=r"images-idx3-ubyte and t10k-images\.idx3-ubyte"):
        open_data(str(tmp_path / "two"))


@pytest.mark.parametrize("option", [("--target", "y"), ("--format", "csv")])
def test_options_of_other_files_are_refused(option, tmp_path):
    write(tmp_path)
    done = run("train", tmp_path / MNIST[0].format("images", 3), *TINY, *option)
    assert done.exit_code == 2, done.output


def pickled(folder, *names):
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(b"\x80\x02}q\x00.")


def test_folders_without_data_say_what_they_are_and_what_to_use(tmp_path):
    pickled(tmp_path / "data/cifar-10-batches-py", "data_batch_1", "batches.meta")
    pickled(tmp_path / "more/cifar-100-python", "train", "test", "meta")
    write(tmp_path / "root/MNIST/raw")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/iris.csv").write_text("1,2\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(gzip.compress(bytes(600)))
    (tmp_path / "cifar-100-binary.tar").write_bytes(bytes(257) + b"ustar" + bytes(300))
    known = {
        "data": "cifar-10-batches-bin", "data/cifar-10-batches-py": "cifar-10-batches-bin",
        "data/cifar-10-batches-py/data_batch_1": "cifar-10-batches-bin",
        "cifar-10-python.tar.gz": "cifar-10-batches-bin", "more": "cifar-100-binary",
        "more/cifar-100-python": "cifar-100-binary",
        "more/cifar-100-python/meta": "cifar-100-binary",
        "root": "root/MNIST/raw", "root/MNIST": "root/MNIST/raw", "other": "other/iris.csv",
        "empty": "expected IDX", "cifar-100-binary.tar": "unpack", ".": "cifar-10",
    }  # fmt: skip
    for name, said in known.items():
        with pytest.raises(DataError) as caught:
            open_data(str(tmp_path / name))
        assert said in str(caught.value), name
        assert str(caught.value).isprintable()


def test_both_kinds_of_cifar_in_one_folder_are_told_apart_by_a_file(tmp_path):
    for label_bytes, names in ((1, [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]),
                               (2, ["train", "test"])):  # fmt: skip
        records = np.zeros((4, label_bytes + 3072), dtype=np.uint8)
        records[:, label_bytes - 1] = np.arange(4)
        for name in names:
            (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
    with pytest.raises(DataError, match=r"test_batch\.bin or .*test\.bin"):
        open_data(str(tmp_path))
    assert len(open_data(str(tmp_path / "train.bin")).x_train) == 4
    assert len(open_data(str(tmp_path / "test_batch.bin")).x_train) == 20


@pytest.mark.parametrize("name", [".", "nothing", "train-images-idx3-ubyte", "test_batch.bin"])
def test_readers_refuse_places_without_data(name, tmp_path):
    for read in (read_idx, read_cifar, read_images):
        with pytest.raises(DataError, match=str(tmp_path)):
            read(tmp_path / name)
