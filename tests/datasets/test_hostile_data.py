"""Data that lie about their size, or are no files at all: refused before anything is read."""

import os
import signal
import struct
import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
from commands import run
from scipy.sparse import csr_array

from sparsecpu import save
from sparsecpu.datasets import open_data, read_samples
from sparsecpu.errors import DataError, FileFormatError, SparseCPUError
from sparsecpu.files.model import load
from sparsecpu.interop import import_network
from sparsecpu.layers import Sequential, SparseLinear
from sparsecpu.networks.description import Architecture, mlp
from tests.fuzz.zips import Array, Member, bomb, write_zip


@contextmanager
def few_bytes(most=20e6):
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def bombed(name, shape, descr="<f4", megabytes=200):
    """Return a member of a few kilobytes that unpacks to so many zeros."""
    head = Array(descr, shape, b"").content()
    packed, crc = bomb(megabytes, head)
    return Member(
        f"{name}.npy", b"", packed, (megabytes << 20) + len(head), {"crc": crc}, {"crc": crc}
    )


X, Y = np.arange(36, dtype=np.float32).reshape(12, 3), np.arange(12) % 2
GOOD = [Member(f"{name}.npy", Array.of(values).content()) for name, values in (("x", X), ("y", Y))]
MANY = (200 << 20) // 4


def test_what_nobody_asked_for_is_not_read(tmp_path):
    path = tmp_path / "d.npz"
    path.write_bytes(write_zip([*GOOD, bombed("unused", (MANY,))]))
    with few_bytes():
        assert open_data(str(path)).x_train.shape[1] == 3
        assert len(read_samples(path, 3)) == 12


@pytest.mark.parametrize(
    "members",
    {
        "targets": [GOOD[0], bombed("y", (MANY,))],
        "samples": [bombed("x", (1, MANY)), GOOD[1]],
        "other bytes": [bombed("x", (12, 3)), GOOD[1]],
    }.items(),
    ids=lambda pair: pair[0],
)
def test_sizes_of_arrays_are_compared_before_they_are_read(members, tmp_path):
    path = tmp_path / "d.npz"
    path.write_bytes(write_zip(members[1]))
    with few_bytes(), pytest.raises(DataError):
        open_data(str(path))


def test_samples_for_another_model_are_not_read(tmp_path):
    path = tmp_path / "d.npz"
    path.write_bytes(write_zip([bombed("x", (1, MANY))]))
    with few_bytes(), pytest.raises(DataError, match="features"):
        read_samples(path, 3)


def test_what_does_not_fit_into_memory_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("sparsecpu.reading.memory.free_memory", lambda: 100 << 20)
    path = tmp_path / "d.npz"
    path.write_bytes(write_zip([bombed("x", (16, MANY // 16))]))
    with few_bytes(), pytest.raises(DataError, match="memory"):
        read_samples(path, MANY // 16)


def idx(dims, values=b""):
    return struct.pack(f">4B{len(dims)}I", 0, 0, 8, len(dims), *dims) + values


def gzipped(dims, megabytes):
    packed, crc = bomb(megabytes, idx(dims))
    size = (megabytes << 20) + 4 + 4 * len(dims)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + packed + struct.pack("<II", crc, size)


@pytest.mark.parametrize("dims", [(200, 1024, 1024), (6, 2, 2)])
def test_idx_files_that_unpack_to_more_than_they_say_or_than_fits(dims, tmp_path, monkeypatch):
    monkeypatch.setattr("sparsecpu.reading.memory.free_memory", lambda: 100 << 20)
    for part in ("train", "t10k"):
        labels = idx((dims[0],), bytes(i % 2 for i in range(dims[0])))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(labels)
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzipped(dims, 200))
    with few_bytes(), pytest.raises(DataError):
        open_data(str(tmp_path))


@pytest.mark.parametrize("name", ["data", "indices", "indptr"])
def test_matrices_of_scipy_that_claim_too_much(name, tmp_path):
    made = csr_array(np.eye(2, 3))
    parts = {"data": made.data.astype("f4"), "indices": made.indices, "indptr": made.indptr}
    members = [
        Member(f"{part}.npy", Array.of(values).content())
        for part, values in {"format": b"csr", "shape": [2, 3], **parts}.items()
        if part != name
    ]
    path = tmp_path / "0.weight.npz"
    path.write_bytes(write_zip([*members, bombed(name, (MANY,), "<i4")]))
    with few_bytes(), pytest.raises(FileFormatError):
        import_network(tmp_path, mlp(3, (), 2))


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("csr", {"data": (MANY,), "indices": (MANY,), "indptr": (3,)}),
        ("csr", {"data": (2,), "indices": (2,), "indptr": (MANY,)}),
        ("csc", {"data": (2,), "indices": (2,), "indptr": (3,)}),
        ("bsr", {"data": (MANY // 6, 2, 3), "indices": (MANY // 6,), "indptr": (2,)}),
        ("coo", {"data": (MANY,), "row": (MANY,), "col": (MANY,)}),
        ("dia", {"data": (2, MANY), "offsets": (2,)}),
        ("dia", {"data": (MANY, 1), "offsets": (MANY,)}),
    ],
)
def test_matrices_of_scipy_with_more_entries_than_places(kind, parts, tmp_path):
    head = {"format": kind.encode(), "shape": [2, 3]}
    members = [Member(f"{part}.npy", Array.of(value).content()) for part, value in head.items()]
    for part, shape in parts.items():
        count = int(np.prod(shape))
        small = Array("<i4", shape, bytes(4 * count)).content() if count < 100 else b""
        megabytes = 4 * count >> 20
        members.append(
            Member(f"{part}.npy", small) if small else bombed(part, shape, "<i4", megabytes)
        )
    (tmp_path / "0.weight.npz").write_bytes(write_zip(members))
    with few_bytes(), pytest.raises(FileFormatError):
        import_network(tmp_path, mlp(3, (), 2))


@pytest.mark.parametrize(
    ("part", "values"),
    [("indptr", [0, 9, 2]), ("indptr", [0, -1, 2]), ("indptr", [5, 1, 2]), ("indices", [0, 99]),
     ("indices", [-1, 0]), ("indices", [0]), ("indptr", [0, 2]), ("data", [1.0])],
)  # fmt: skip
def test_matrices_of_scipy_with_a_broken_index(part, values, tmp_path):
    made = csr_array(np.eye(2, 3, dtype="f4"))
    parts = {"data": made.data, "indices": made.indices, "indptr": made.indptr}
    dtype = parts[part].dtype
    np.savez(tmp_path / "0.weight.npz", format=b"csr", shape=[2, 3],
             **(parts | {part: np.array(values, dtype)}))  # fmt: skip
    with pytest.raises(FileFormatError, match="weight"):
        import_network(tmp_path, mlp(3, (), 2))


@pytest.fixture
def at_once():
    """Fail instead of waiting for a pipe that nobody writes into."""

    def late(*_):
        raise AssertionError("it waited")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


READERS = {
    "d.csv": lambda path: read_samples(path, 3),
    "d.npz": lambda path: read_samples(path, 3),
    "d.svm": lambda path: open_data(str(path)),
    "m.npz": load,
    "t.npz": lambda path: import_network(path, mlp(3, (), 2)),
    "t.safetensors": lambda path: import_network(path, mlp(3, (), 2)),
    "t.pt": lambda path: import_network(path, mlp(3, (), 2)),
    "folder/a.npz": lambda path: import_network(path.parent, mlp(3, (), 2)),
    "mnist/train-images-idx3-ubyte": lambda path: open_data(str(path.parent)),
}


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize("name", READERS)
@pytest.mark.usefixtures("at_once")
def test_only_files_are_read(name, kind, tmp_path):
    if name == "t.pt":
        pytest.importorskip("torch")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(SparseCPUError):
        READERS[name](path)


@pytest.mark.usefixtures("at_once")
def test_commands_refuse_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "it.npz")
    network = Sequential([SparseLinear(4, 2)])
    described = Architecture.from_dict(
        {"name": "m", "input_shape": [4], "layers": [{"kind": "linear", "out_features": 2}]}
    )
    save(
        network, tmp_path / "m.npz", described, facts={"task": "classification", "classes": [0, 1]}
    )
    for words in (
        ("inspect", "/dev/zero"), ("evaluate", tmp_path / "it.npz", "iris"),
        ("predict", tmp_path / "m.npz", tmp_path / "it.npz"), ("train", tmp_path / "it.npz"),
    ):  # fmt: skip
        done = run(*words)
        assert done.exit_code == 2, done.output
        assert len(done.output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [("import", "m.npz", "--out", ""), ("export", "m.npz", "--to", "scipy", "--out", ""),
     ("export", "m.npz", "--to", "scipy", "--out="), ("compare", "iris", "--out", ""),
     ("train", "iris", "--out", ""), ("train", "iris", "--init="), ("evaluate", "m.npz", ""),
     ("inspect", "")],
)  # fmt: skip
def test_empty_words_stand_for_nothing(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert done.exit_code == 2
    assert "empty" in done.output
    assert os.listdir(tmp_path) == []


ROWS = "\n".join(f"{i},{i * i},{i % 2}" for i in range(6))


@pytest.mark.parametrize(
    "line", ["1,2\0,1", "1_0,2,1", "1,1e39,1", "1,2,", "1,2, ", '1,"2\n3",1'], ids=repr
)
def test_lines_of_tables_that_are_refused(line, tmp_path):
    path = tmp_path / "d.csv"
    path.write_text(f"{ROWS}\n{line}\n")
    with pytest.raises(DataError) as caught:
        open_data(str(path))
    assert str(caught.value).isprintable()


def test_large_whole_targets_stay_apart(tmp_path):
    near = 2**53
    rows = [f"{i},1,{near + i % 2}" for i in range(10)]  # two classes, one float
    (tmp_path / "d.csv").write_text("\n".join(rows))
    assert open_data(str(tmp_path / "d.csv")).classes.tolist() == [near, near + 1]
    rows = [f"{i},1,{(i % 2) * 1e300}" for i in range(10)]
    (tmp_path / "d.csv").write_text("\n".join(rows))
    assert open_data(str(tmp_path / "d.csv")).classes.tolist() == ["0.0", "1e+300"]


def test_labels_of_archives_are_read_as_text_or_refused(tmp_path):
    for labels in (np.array([b"no", b"yes"] * 6), np.array(["no", "yes"] * 6)):
        np.savez(tmp_path / "d.npz", x=X, y=labels)
        assert open_data(str(tmp_path / "d.npz")).classes.tolist() == ["no", "yes"]
    for labels in (np.array([b"\xff", b"a"] * 6), np.array(["\ud800", "a"] * 6)):
        np.savez(tmp_path / "d.npz", x=X, y=labels)
        with pytest.raises(DataError):
            open_data(str(tmp_path / "d.npz"))
    np.savez(tmp_path / "d.npz", x=X, y=Y, X=X)
    with pytest.raises(DataError, match="two arrays"):
        open_data(str(tmp_path / "d.npz"))


def test_whatever_is_in_a_file_a_message_is_one_line():
    for text in ("two\nlines", "\x1b[2J", "long" * 10_000, "\ud800"):
        said = str(DataError(f"{text} is wrong"))
        assert said.isprintable()
        assert len(said) < 1000
