import json
import os
import pickle
import zipfile

import numpy as np
import pytest
from small import described_mlp

import sparsecpu
from sparsecpu.errors import FileFormatError, ParameterError, SparseCPUError
from sparsecpu.files.archive import atomic_write, read_arrays
from sparsecpu.files.model import load_all, save
from sparsecpu.networks.description import Architecture, LayerSpec, mlp


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["relu", "all_relu", "tanh"])
def test_round_trip(dtype, activation, rng, tmp_path):
    architecture, network = described_mlp(rng, dtype, activation=activation)
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
    architecture, network = described_mlp(rng)
    for name in "ab":
        save(network, tmp_path / name, architecture)
        os.utime(tmp_path / name, (1, 1))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_numpy_can_read_it(rng, tmp_path):
    architecture, network = described_mlp(rng)
    sparsecpu.save(network, tmp_path / "m.npz", architecture)
    with np.load(tmp_path / "m.npz", allow_pickle=False) as archive:
        header = json.loads(archive["header"].tobytes())
        assert header["format"] == "sparsecpu-model"
        np.testing.assert_array_equal(archive["0.weight.data"], network.layers[0].weight.data)


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
