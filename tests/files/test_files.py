import json
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sparsecpu
from sparsecpu.errors import FileFormatError, ParameterError, SparseCPUError
from sparsecpu.files.archive import atomic_write, read_arrays, write_arrays
from sparsecpu.files.model import load_all, save
from sparsecpu.networks.description import Architecture, LayerSpec, mlp


def small(rng, dtype=np.float32, **options):
    options = {"batch_norm": True, "dropout": 0.1, **options}
    architecture = mlp(6, (9, 7), 3, **options).sparsify(0.4)
    network = architecture.build(rng, dtype=dtype)
    for buffer in network.buffers().values():
        buffer[...] = rng.random(buffer.shape)
    network.offset, network.scale = rng.random((2, 6)).astype(dtype)
    return architecture, network


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["relu", "all_relu", "tanh"])
def test_round_trip(dtype, activation, rng, tmp_path):
    architecture, network = small(rng, dtype, activation=activation)
    extra = {"slot/x": np.arange(5.0)}
    save(network, tmp_path / "m.npz", architecture, facts={"a": [1, "b"]}, extra=extra)
    found, header, arrays = load_all(tmp_path / "m.npz")
    x = rng.standard_normal((11, 6))
    np.testing.assert_array_equal(found.predict(x), network.predict(x))
    assert header["facts"] == {"a": [1, "b"]}
    assert header["architecture"] == architecture
    np.testing.assert_array_equal(arrays["slot/x"], extra["slot/x"])
    for name, p in network.parameters().items():
        np.testing.assert_array_equal(found.parameters()[name].data, p.data)


def test_equal_models_are_equal_bytes(rng, tmp_path):
    architecture, network = small(rng)
    for name in "ab":
        save(network, tmp_path / name, architecture)
        os.utime(tmp_path / name, (1, 1))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_numpy_can_read_it(rng, tmp_path):
    architecture, network = small(rng)
    sparsecpu.save(network, tmp_path / "m.npz", architecture)
    with np.load(tmp_path / "m.npz", allow_pickle=False) as archive:
        header = json.loads(archive["header"].tobytes())
        assert header["format"] == "sparsecpu-model"
        np.testing.assert_array_equal(archive["0.weight.data"], network.layers[0].weight.data)


@pytest.fixture(scope="module")
def model_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.npz"
    architecture, network = small(np.random.default_rng(0))
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
}


@pytest.mark.parametrize("name", LIES)
def test_lying_models_are_refused(name, model_bytes):
    bad = rewrite(model_bytes[0], LIES[name])
    with pytest.raises(FileFormatError):
        load_all(bad)


def test_a_shape_that_claims_too_much_is_refused(tmp_path):
    import io

    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f4", "fortran_order": False, "shape": (10**15,)}
    )
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr("header.npy", stream.getvalue() + b"1234")
    with pytest.raises(FileFormatError):
        read_arrays(tmp_path / "m.npz")


def test_pickles_are_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    (tmp_path / "m.npz").write_bytes(pickle.dumps(Bomb()))
    np.savez(tmp_path / "n.npz", header=np.array([Bomb()], dtype=object))
    for name in ("m.npz", "n.npz", "missing.npz"):
        with pytest.raises(FileFormatError):
            load_all(tmp_path / name)
    from sparsecpu.datasets import open_data
    from sparsecpu.errors import DataError

    np.savez(tmp_path / "d.npz", x=np.array([Bomb()], dtype=object), y=[1])
    for name in ("m.npz", "d.npz"):
        with pytest.raises(DataError):
            open_data(str(tmp_path / name))
    assert not (tmp_path / "exploded").exists()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "f"
    path.write_text("old")

    def fail():
        with atomic_write(path) as file:
            file.write(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


def test_descriptions():
    architecture = mlp((1, 4, 4), (8,), 3, activation="all_relu", dropout=0.2).sparsify(0.5)
    assert Architecture.from_dict(json.loads(json.dumps(architecture.to_dict()))) == architecture
    assert "linear" in str(architecture)
    network = architecture.build()
    assert network.nnz == round(0.5 * (16 * 8 + 8 * 3))
    assert "linear 16 -> 8" in network.summary()
    with pytest.raises(ParameterError):
        LayerSpec("teleport")
    for bad in (dict(activation="x"), dict(hidden=(0,)), dict(hidden=(2.5,))):
        with pytest.raises(ParameterError):
            mlp(**{"input_shape": 4, "hidden": (3,), "n_outputs": 2, **bad})
    for bad in (None, {}, {"layers": 3}, {"layers": [], "input_shape": [], "name": ""}, []):
        with pytest.raises(SparseCPUError):
            Architecture.from_dict(bad)


def test_parameter_counts():
    from sparsecpu.networks.models import MODELS

    network = MODELS["lenet-300-100"]((784,), 10)
    assert sum(a * b for a, b in network.weight_shapes()) == 266_200
