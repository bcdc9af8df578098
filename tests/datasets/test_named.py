"""Images by name: in the usual places, from OpenML, and from neither.

The sets here are small ones in the place of the published ones.
"""

import gzip
import hashlib
import os
import struct
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import run
from openml_server import Table, serving

from sparsecpu.datasets import image_sets, load_fashion_mnist, named, open_data
from sparsecpu.errors import DataError, DataWarning

RNG = np.random.default_rng(0)
COUNTS = (2, 1, 3)
LABELS = np.array([*[0, 1, 2, 2] * 5, 2, 0, 1, 2, 0, 2], dtype=np.uint8)
PIXELS = RNG.integers(0, 256, (26, 4, 3), dtype=np.uint8)
COLOURS = np.arange(10, dtype=np.uint8).repeat(6).reshape(10, 6).T.ravel()
SMOOTH = RNG.integers(0, 200, (60, 3, 1, 1)) + np.add.outer(np.arange(32), np.arange(32))
PICTURES = SMOOTH.astype(np.uint8).reshape(60, -1)


def idx(values):
    return struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def idx_files(pixels=PIXELS, labels=LABELS):
    parts = (pixels[:20], labels[:20], pixels[20:], labels[20:])
    return dict(zip(image_sets.MNIST.files, map(idx, parts), strict=True))


def cifar_files(pictures=PICTURES, labels=COLOURS):
    records = np.column_stack([labels, pictures]).reshape(6, 10, -1)
    return dict(zip(image_sets.CIFAR10.files, (some.tobytes() for some in records), strict=True))


@pytest.fixture(autouse=True)
def small(openml, monkeypatch):
    """Put small sets in the place of the published ones."""
    files, bins = idx_files(), cifar_files()
    sums = tuple(hashlib.md5(content).hexdigest() for content in files.values())
    mnist = replace(image_sets.MNIST, shape=(1, 4, 3), train=20, test_counts=COUNTS, digests=sums)
    fashion = replace(mnist, name="fashion-mnist", openml="40996", digests=("0" * 32,) * 4,
                      folders=image_sets.FASHION_MNIST.folders)  # fmt: skip
    sums = tuple(hashlib.sha1(content).hexdigest() for content in bins.values())
    cifar = replace(image_sets.CIFAR10, train=50, test_counts=(1,) * 10, digests=sums)
    for known in (mnist, fashion, cifar):
        monkeypatch.setitem(image_sets.IMAGE_SETS, known.name, known)
    monkeypatch.setattr(image_sets, "BATCH", 10)
    monkeypatch.setattr(named, "_ROOTS", ("data", ".", str(openml.cache / "debian")))


def put(folder, files, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        name = name.removesuffix(".gz")
        (folder / f"{name}.gz" if packed else folder / name).write_bytes(
            gzip.compress(content) if packed else content
        )
    return folder


def check(data, pixels=PIXELS, labels=LABELS):
    cut = len(labels) * 10 // 12 if len(labels) == 60 else 20
    assert (len(data.x_train), data.x_train.dtype, data.own_test) == (cut, np.uint8, True)
    np.testing.assert_array_equal(data.x_train, pixels[:cut].reshape(cut, -1))
    np.testing.assert_array_equal(data.x_test, pixels[cut:].reshape(len(labels) - cut, -1))
    np.testing.assert_array_equal(data.classes[data.y_train], labels[:cut])
    np.testing.assert_array_equal(data.classes[data.y_test], labels[cut:])


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("root", ["variable", "second", "data", "here", "debian"])
@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw", "MNIST"])
def test_files_of_mnist_are_found(folder, root, packed, openml, monkeypatch):
    roots = {"data": Path("data"), "here": Path(), "debian": openml.cache / "debian"}
    where = roots.get(root, openml.cache / "mine")
    put(where / folder, idx_files(), packed)
    if root in ("variable", "second"):
        first = openml.cache / "empty" if root == "second" else where
        first.mkdir(exist_ok=True)
        monkeypatch.setenv("SPARSECPU_DATA", os.pathsep.join([str(first), str(where)]))
    data = open_data("mnist")
    check(data)
    assert (data.name, data.input_shape, data.scaling) == ("mnist", (1, 4, 3), "global")


@pytest.mark.parametrize("folder", ["cifar10", "cifar-10-batches-bin"])
def test_files_of_cifar_are_found(folder):
    put(Path("data") / folder, cifar_files())
    data = open_data("cifar10")
    check(data, PICTURES, COLOURS)
    assert (data.name, data.input_shape, data.scaling) == ("cifar10", (3, 32, 32), "channel")


def test_other_files_are_no_data_of_that_name(monkeypatch):
    """Fashion-MNIST has the same names of files, and so have many others."""
    folder = put(Path("data/mnist"), idx_files(PIXELS[::-1]))
    with pytest.raises(DataError, match="data/mnist does not hold MNIST as it was published"):
        open_data("mnist")
    check(open_data(str(folder)), PIXELS[::-1])
    put(folder, {name: content[:-1] for name, content in idx_files().items()})
    with pytest.raises(DataError, match="data/mnist"):
        open_data("mnist")
    put(Path("data/cifar10"), cifar_files(labels=COLOURS[::-1]))
    with pytest.raises(DataError, match="data/cifar10"):
        open_data("cifar10")
    monkeypatch.setenv("SPARSECPU_DATA", "nowhere")
    with pytest.raises(DataError, match="SPARSECPU_DATA is 'nowhere'"):
        open_data("mnist")


def test_what_is_in_the_current_folder_counts_more():
    put(Path("mnist"), idx_files())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(open_data("mnist"))
    put(Path("mnist"), idx_files(PIXELS[::-1]))
    with pytest.warns(DataWarning, match=r"\./mnist is read"):
        check(open_data("mnist"), PIXELS[::-1])
    Path("cifar10").write_text("a,b\n" + "1,2\n3,4\n" * 9)
    assert open_data("cifar10").input_shape == (1,)


def test_a_folder_of_that_name_without_images_does_not_count():
    """As after ``train mnist --out mnist``."""
    put(Path("mnist"), {"model.npz": b""})
    put(Path("data/mnist"), idx_files())
    check(open_data("mnist"))


@pytest.mark.parametrize(
    ("name", "words"),
    [("mnist", "train-images-idx3-ubyte.gz"), ("fashion-mnist", "dataset-fashion-mnist"),
     ("cifar10", "data_batch_1.bin")],
)  # fmt: skip
def test_without_a_network_a_line_says_where_to_put_which_files(name, words, monkeypatch):
    monkeypatch.setitem(image_sets.IMAGE_SETS, "fashion-mnist", image_sets.FASHION_MNIST)
    done = run("train", name, "--quiet")
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
    for word in (words, "SPARSECPU_DATA", os.path.join("data", name)):
        assert word in done.output


def table(number, pixels, labels, classes):
    flat = pixels.reshape(len(pixels), -1)
    kinds = {f"pixel{i}": "numeric" for i in range(flat.shape[1])} | {"class": range(classes)}
    rows = np.column_stack([flat, labels]).tolist()
    return Table.of_rows("images", number, kinds, "class", rows)


@pytest.fixture(params=["pandas", "no pandas"])
def reader(request, monkeypatch):
    if request.param == "no pandas":
        monkeypatch.setitem(sys.modules, "pandas", None)
        found = named.importlib.util.find_spec
        monkeypatch.setattr(
            named.importlib.util,
            "find_spec",
            lambda name: None if name == "pandas" else found(name),
        )


@pytest.mark.usefixtures("reader")
def test_images_of_openml_are_fetched_once(openml):
    with serving(table(554, PIXELS, LABELS, 3), table(40927, PICTURES, COLOURS, 10)) as server:
        openml.use(server)
        check(open_data("mnist"))
        check(open_data("cifar10"), PICTURES, COLOURS)
        asked = len(server.asked)
        data = open_data("mnist")
        check(data)
        assert (data.name, data.input_shape, data.scaling) == ("mnist", (1, 4, 3), "global")
        assert open_data("cifar10").scaling == "channel"
        assert len(server.asked) == asked
    openml.cut()
    copy = openml.cache / "sparsecpu" / "mnist"
    path = copy / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    check(open_data("mnist"))  # from what scikit-learn keeps
    assert path.read_bytes() == idx_files()["train-images-idx3-ubyte.gz"]
    for folder in (copy, openml.cache / "openml"):
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(DataError, match="put"):
        open_data("mnist")


def test_a_copy_that_cannot_be_kept_is_not_needed(openml, monkeypatch):
    def full(*_):
        raise OSError("no space")

    with serving(table(554, PIXELS, LABELS, 3)) as server:
        openml.use(server)
        monkeypatch.setattr(image_sets.os, "replace", full)
        check(open_data("mnist"))
    assert not list((openml.cache / "sparsecpu").iterdir())


def test_images_of_openml_in_another_order(openml):
    order = np.random.default_rng(1).permutation(26)
    other = PIXELS.copy()
    other[3] = 0
    for pixels, labels, words in ((PIXELS[order], LABELS[order], "usual order"),
                                  (other, LABELS, "other pixels")):  # fmt: skip
        with serving(table(40996, pixels, labels, 3)) as server:
            openml.use(server)
            with pytest.warns(DataWarning, match=words):
                data = open_data("fashion-mnist")
        assert data.own_test == (words == "other pixels")
        assert len(data.x_train) + len(data.x_test) == 26
        for path in (openml.cache / "openml").rglob("*.gz"):
            path.unlink()


def test_images_of_openml_that_are_something_else(openml):
    mixed = PICTURES.reshape(60, 3, 1024).transpose(0, 2, 1).reshape(60, -1)
    with serving(table(554, PIXELS[1:], LABELS[1:], 3), table(40996, PIXELS + 0.5, LABELS, 3),
                 table(40927, mixed, COLOURS, 10)) as server:  # fmt: skip
        openml.use(server)
        for name, words in (("mnist", "any more"), ("fashion-mnist", "any more"),
                            ("cifar10", "pixel by pixel")):  # fmt: skip
            with pytest.raises(DataError, match=words):
                open_data(name)


@pytest.mark.parametrize(
    "option", [{"task": "regression"}, {"target": "class"}, {"samples": 30}, {"format": "csv"}]
)
def test_options_of_files_are_refused(option):
    put(Path("data/mnist"), idx_files())
    with pytest.raises(DataError, match=next(iter(option))):
        open_data("mnist", **option)


def test_what_does_not_fit_into_memory_is_not_fetched(monkeypatch):
    monkeypatch.setattr("sparsecpu.reading.memory.free_memory", lambda: 100 << 20)
    for name in ("fashion-mnist", "mnist", "cifar10"):
        monkeypatch.setitem(
            image_sets.IMAGE_SETS, name, replace(image_sets.IMAGE_SETS[name], train=60_000_000)
        )
        with pytest.raises(DataError, match="memory"):
            open_data(name)


@pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").is_dir(), reason="no dataset-fashion-mnist"
)
def test_debians_fashion_mnist(monkeypatch):
    monkeypatch.setattr(named, "_ROOTS", ("/usr/share/datasets",))
    assert load_fashion_mnist().x_train.shape == (60_000, 784)
