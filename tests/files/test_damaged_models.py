"""Model files that are damaged, or that lie with checksums that are right."""

import json
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import described_mlp

from sparsecpu.errors import FileFormatError
from sparsecpu.experiments.trained_models import read_model
from sparsecpu.files.archive import read_arrays, write_arrays
from sparsecpu.files.model import load_all, save


@pytest.fixture(scope="module")
def model_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.npz"
    architecture, network = described_mlp(np.random.default_rng(0))
    save(network, path, architecture, facts={"task": "classification", "classes": [0, 1, 2]})
    return path, path.read_bytes()


def arrays_of(path):
    network, header, _ = load_all(path)
    vectors = {n: p.data.tobytes() for n, p in network.parameters().items()}
    keys = {n: p.pattern.keys().tobytes() for n, p in network.sparse_parameters().items()}
    buffers = {n: b.tobytes() for n, b in network.buffers().items()}
    return vectors, keys, buffers, str(header), network.offset.tobytes(), network.scale.tobytes()


@given(part=st.floats(0, 0.9999))
def test_truncated_models_are_refused(model_bytes, part):
    path, content = model_bytes
    bad = path.with_name("bad.npz")
    bad.write_bytes(content[: int(part * len(content))])
    with pytest.raises(FileFormatError):
        load_all(bad)


@given(place=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_flipped_bits_never_change_a_model(model_bytes, place, bit):
    """A flipped bit is noticed, or lies where nothing is read (a time stamp, say)."""
    path, content = model_bytes
    damaged = bytearray(content)
    damaged[place % len(content)] ^= 1 << bit
    bad = path.with_name("bad.npz")
    bad.write_bytes(bytes(damaged))
    try:
        found = arrays_of(bad)
    except FileFormatError:
        return
    assert found == arrays_of(path)


def rewrite(path, change):
    """Write a model again with valid checksums but changed contents."""
    header, arrays = read_arrays(path)
    arrays = dict(arrays)
    change(header, arrays)
    bad = path.with_name("bad.npz")
    write_arrays(bad, header, arrays)
    return bad


def layers(header):
    return header["architecture"]["layers"]


MEAN, VARIANCE = "1.running_mean.buffer", "1.running_variance.buffer"
INDICES, INDPTR = "0.weight.indices", "0.weight.indptr"
LIES = {
    "index out of range": lambda h, a: a.update({"0.weight.indices": a["0.weight.indices"] + 50}),
    "missing data": lambda h, a: a.pop("0.weight.data"),
    "missing bias": lambda h, a: a.update({"0.bias.data": a["0.bias.data"][:-1]}),
    "short data": lambda h, a: a.update({"0.weight.data": a["0.weight.data"][:-1]}),
    "nan weight": lambda h, a: a.update({"0.weight.data": a["0.weight.data"] * np.nan}),
    "wrong type": lambda h, a: a.update({"0.weight.data": a["0.weight.data"].astype("f8")}),
    "unknown layer": lambda h, a: h["architecture"]["layers"].append({"kind": "teleport"}),
    "bad option": lambda h, a: h["architecture"]["layers"][2].update({"power": 9}),
    "wider": lambda h, a: h["architecture"]["layers"][0].update({"out_features": 10**9}),
    "no layers": lambda h, a: h["architecture"].pop("layers"),
    "negative input": lambda h, a: h["architecture"].update({"input_shape": [-6]}),
    "future version": lambda h, a: h.update({"version": 99}),
    "other format": lambda h, a: h.update({"format": "x"}),
    "no facts": lambda h, a: h.pop("facts"),
    "buffer shape": lambda h, a: a.update({"1.running_mean.buffer": np.zeros(3, "f4")}),
    "gamma shape": lambda h, a: a.update({"1.gamma.data": np.zeros(3, "f4")}),
    "beta shape": lambda h, a: a.update({"1.beta.data": np.zeros(3, "f4")}),
    "offset shape": lambda h, a: a.update({"input.offset": np.zeros(3, "f4")}),
    "offset without scale": lambda h, a: a.update({"input.offset": np.zeros(0, "f4")}),
    "nan offset": lambda h, a: a.update({"input.offset": a["input.offset"] * np.nan}),
    "infinite scale": lambda h, a: a.update({"input.scale": a["input.scale"] * np.inf}),
    "a scale beyond float32": lambda h, a: a.update({"input.scale": np.full(6, 1e300)}),
    "nan mean": lambda h, a: a.update({MEAN: a[MEAN] * np.nan}),
    "negative variance": lambda h, a: a.update({VARIANCE: -a[VARIANCE] - 1}),
    "no bias at all": lambda h, a: a.pop("0.bias.data"),
    "a bias that is not described": lambda h, a: layers(h)[0].update({"bias": False}),
    "no gamma": lambda h, a: a.pop("1.gamma.data"),
    "no buffer": lambda h, a: a.pop(MEAN),
    "no offset": lambda h, a: a.pop("input.offset"),
    "another array": lambda h, a: a.update({"more": a["0.bias.data"]}),
    "an array of another layer": lambda h, a: a.update({"2.alpha.data": a["0.bias.data"]}),
    "an attribute of a layer": lambda h, a: a.update({"1.forward.data": a["1.beta.data"]}),
    "a buffer as a parameter": lambda h, a: a.update({"1.running_mean.data": a["1.beta.data"]}),
    "wide indices": lambda h, a: a.update({INDICES: a[INDICES].astype("i8")}),
    "narrow indptr": lambda h, a: a.update({INDPTR: a[INDPTR].astype("i4")}),
    "a matrix of data": lambda h, a: a.update({"0.bias.data": a["0.bias.data"][:, None]}),
    "other counts": lambda h, a: layers(h)[0].update({"nnz": 3}),
    "a size of text": lambda h, a: layers(h)[0].update({"out_features": "9"}),
    "a size with a fraction": lambda h, a: layers(h)[0].update({"out_features": 9.5}),
    "a size that is true": lambda h, a: layers(h)[0].update({"out_features": True}),
    "an unknown option": lambda h, a: layers(h)[0].update({"power": 9}),
    "an option of text": lambda h, a: layers(h)[0].update({"fixed": "no"}),
    "a rate of text": lambda h, a: layers(h)[3].update({"rate": "0.1"}),
    "a rate that is none": lambda h, a: layers(h)[3].update({"rate": float("nan")}),
    "a kind that is a list": lambda h, a: layers(h)[0].update({"kind": ["linear"]}),
    "a layer that is a number": lambda h, a: layers(h).append(3),
    "a stride of 0": lambda h, a: layers(h).append(
        {"kind": "subsample", "channels": 3, "stride": 0}
    ),
    "input of text": lambda h, a: h["architecture"].update({"input_shape": "6"}),
    "input with a fraction": lambda h, a: h["architecture"].update({"input_shape": [6.5]}),
    "two axes of input": lambda h, a: h["architecture"].update({"input_shape": [2, 3]}),
    "input beyond all": lambda h, a: h["architecture"].update({"input_shape": [10**30]}),
    "a name of a list": lambda h, a: h["architecture"].update({"name": []}),
    "an architecture of text": lambda h, a: h.update({"architecture": "mlp"}),
    "facts of text": lambda h, a: h.update({"facts": "x"}),
    "a type of text": lambda h, a: h.update({"dtype": "float16"}),
    "more in the header": lambda h, a: h.update({"more": 1}),
    "a header too deep": lambda h, a: h["facts"].update({"x": json.loads("[" * 300 + "]" * 300)}),
}


@pytest.mark.parametrize("name", LIES)
def test_lying_models_are_refused(name, model_bytes):
    bad = rewrite(model_bytes[0], LIES[name])
    with pytest.raises(FileFormatError) as caught:
        load_all(bad)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("classes", [
    ["a", "a", "b"], ["a", 1, 2], [1, True, 2], [1, 2], "abc", {"a": 1}, [[1], [2], [3]],
    [None, "a", "b"], [1.0, float("nan"), 2.0],
])  # fmt: skip
def test_classes_that_could_not_be_labels_are_refused(classes, model_bytes):
    bad = rewrite(model_bytes[0], lambda h, a: h["facts"].update({"classes": classes}))
    with pytest.raises(FileFormatError):
        read_model(bad)


@pytest.mark.parametrize("facts", [
    {"task": ["classification"]}, {"task": "x"}, {},
    {"task": "regression", "target_mean": [0, 0, 0]},
    {"task": "regression", "target_mean": ["0", 0, 0], "target_scale": [1, 1, 1]},
    {"task": "regression", "target_mean": [0, 0, 0], "target_scale": [1, 0, 1]},
    {"task": "regression", "target_mean": [0, 0, 10**400], "target_scale": [1, 1, 1]},
])  # fmt: skip
def test_tasks_and_scales_that_could_not_be_are_refused(facts, model_bytes):
    def change(header, arrays):
        header["facts"] = facts

    with pytest.raises(FileFormatError):
        read_model(rewrite(model_bytes[0], change))


def test_members_that_lie_are_refused(model_bytes):
    """Two of one name, and one that claims more bytes than it has."""
    path, content = model_bytes
    bad = path.with_name("bad.npz")
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(bad, "w") as archive:
        for name, data in [*members.items(), ("header.npy", members["header.npy"])]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                archive.writestr(name, data)
    with pytest.raises(FileFormatError):
        load_all(bad)
    place = content.rfind(b"PK\x01\x02")  # the last member's record
    bad.write_bytes(content[: place + 20] + b"\xff\xff\xff\x0f" + content[place + 24 :])
    with pytest.raises(FileFormatError):
        load_all(bad)
