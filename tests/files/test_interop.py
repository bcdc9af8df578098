"""Doors to other frameworks: what goes out comes back, and damaged files are refused."""

import importlib.util
import json
import tracemalloc

import numpy as np
import pytest
from commands import run

from sparsecpu import load, save
from sparsecpu.errors import FileFormatError, MissingExtraError
from sparsecpu.files.interop.npz_files import read_npz
from sparsecpu.files.interop.safetensors import read_safetensors
from sparsecpu.interop import export_network, import_network, of_network
from sparsecpu.networks.description import Architecture, LayerSpec, mlp
from sparsecpu.networks.models import find_model
from sparsecpu.sparse.parameter import SparseParameter

needs_torch = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="no PyTorch")


def stir(network, rng):
    """Give everything that training moves a value of its own."""
    for name, parameter in network.parameters().items():
        if not isinstance(parameter, SparseParameter):
            parameter.data[...] = rng.uniform(0.5, 1.5, parameter.data.shape)
            parameter.data[...] -= 1.0 if name.endswith(("bias", "beta")) else 0.0
    for buffer in network.buffers().values():
        buffer[...] = rng.uniform(0.5, 1.5, buffer.shape)
    return network


@pytest.fixture
def small(rng):
    network = find_model("resnet-8")((3, 12, 12), 5, width=0.25).sparsify(0.3).build(rng)
    stir(network, rng)
    network.offset = np.full(432, 100, np.float32)
    network.scale = rng.uniform(0.01, 0.02, 432).astype(np.float32)
    return network


def same(one, other):
    for (name, a), (key, b) in zip(
        one.parameters().items(), other.parameters().items(), strict=True
    ):
        assert name == key
        np.testing.assert_array_equal(a.data, b.data)
        if isinstance(a, SparseParameter):
            np.testing.assert_array_equal(a.pattern.indptr, b.pattern.indptr)
            np.testing.assert_array_equal(a.pattern.indices, b.pattern.indices)
    for a, b in zip(one.buffers().values(), other.buffers().values(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.offset, other.offset)
    np.testing.assert_array_equal(one.scale, other.scale)


@pytest.mark.parametrize("to", ["safetensors", "scipy"])
def test_what_goes_out_comes_back(to, small, tmp_path):
    path = tmp_path / ("it.safetensors" if to == "safetensors" else "it")
    export_network(small, path, to, facts={"task": "classification"})
    again, report = import_network(path)
    same(small, again)
    assert report.missing == report.unused == report.folded == []
    assert sum(row[3] for row in report.matched) == small.nnz


def test_safetensors_are_what_their_package_reads(small, tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    export_network(small, tmp_path / "it.safetensors", "safetensors")
    theirs = numpy.load_file(tmp_path / "it.safetensors")
    ours, _ = read_safetensors(tmp_path / "it.safetensors")
    assert set(theirs) == set(ours)
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name].values(), array.reshape(-1))
    numpy.save_file({f"{n}.weight": np.eye(3, dtype=np.float32) for n in (10, 9, 2)},
                    tmp_path / "by_name.safetensors")  # fmt: skip
    assert list(read_safetensors(tmp_path / "by_name.safetensors")[0]) == [
        "2.weight", "9.weight", "10.weight",
    ]  # fmt: skip


@needs_torch
@pytest.mark.parametrize("name", ["lenet-5-caffe", "vgg-like", "resnet-18"])
def test_from_pytorch_and_back(name, rng, tmp_path):
    import torch

    from sparsecpu.interop import to_torch, torch_network

    shape = (1, 28, 28) if name == "lenet-5-caffe" else (3, 32, 32)
    described = find_model(name)(shape, 10, width=0.25)
    theirs = torch_network(described)
    with torch.no_grad():
        for key, value in theirs.state_dict().items():
            if value.ndim > 1:
                value *= 4 * (torch.rand_like(value) < 0.1)
            elif "num" not in key:
                value += torch.rand_like(value)
    torch.save({"state_dict": theirs.state_dict(), "epoch": 3}, tmp_path / "it.pt")
    ours, report = import_network(tmp_path / "it.pt", described)
    assert ours.density < 0.15
    assert report.missing == report.unused == []
    x = rng.standard_normal((5, *shape)).astype(np.float32)
    with torch.no_grad():
        wanted = theirs.eval()(torch.from_numpy(x)).numpy()
        back = to_torch(ours)(torch.from_numpy(x)).numpy()
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(ours.predict(x), wanted, atol=1e-5 * scale)
    np.testing.assert_allclose(back, wanted, atol=1e-5 * scale)
    export_network(ours, tmp_path / "back.pt", "torch")
    again, _ = import_network(tmp_path / "back.pt", described)
    same(ours, again)
    export_network(ours, tmp_path / "it.safetensors", "safetensors")
    loaded = torch_network(described)
    tensors = {
        key: torch.from_numpy(tensor.values().reshape(tensor.shape).copy())
        for key, tensor in read_safetensors(tmp_path / "it.safetensors")[0].items()
    }
    loaded.load_state_dict(tensors)  # strict: all names and shapes are PyTorch's
    with torch.no_grad():
        got = loaded.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, wanted, atol=1e-5 * scale)


@needs_torch
@pytest.mark.parametrize(
    "kind",
    ["leaky_relu", "all_relu", "tanh", "sigmoid", "gelu", "silu", "identity", "layer_norm",
     "rms_norm"],
)  # fmt: skip
def test_activations_have_pytorch_twins(kind, rng):
    import torch

    from sparsecpu.interop import to_torch

    layers = (LayerSpec("linear", {"out_features": 7, "nnz": None}),
              LayerSpec(kind, {"layer": 2} if kind == "all_relu" else {}))  # fmt: skip
    network = Architecture((5,), layers).build(rng)
    network.offset, network.scale = np.arange(5, dtype=np.float32), np.full(5, 2, np.float32)
    x = rng.standard_normal((4, 5)).astype(np.float32)
    with torch.no_grad():
        got = to_torch(network)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, network.predict(x), atol=1e-6)


@needs_torch
def test_masks_and_sparse_tensors_of_pytorch(rng):
    import torch
    from torch import nn
    from torch.nn.utils import prune

    from sparsecpu.interop import torch_network

    described = mlp(6, (8,), 3)
    theirs = torch_network(described)
    prune.random_unstructured(theirs[0], "weight", 0.5)
    wanted = theirs[0].weight.detach().numpy()
    ours, report = import_network(theirs.state_dict(), described)
    assert ours.layers[0].weight.nnz == 24
    assert not report.unused
    x = rng.standard_normal((4, 6)).astype(np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(ours.predict(x), theirs(torch.from_numpy(x)), atol=1e-6)
    state = dict(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).state_dict())
    for layout in (torch.sparse_csr, torch.sparse_coo):
        state["0.weight"] = torch.from_numpy(wanted.copy()).to_sparse(layout=layout)
        again, _ = import_network(state, described)
        np.testing.assert_array_equal(again.layers[0].weight.data, ours.layers[0].weight.data)


@needs_torch
def test_nothing_in_a_pytorch_file_is_run(tmp_path):
    import torch

    class Runs:
        def __reduce__(self):
            return (open, (str(tmp_path / "it ran"), "w"))

    torch.save({"0.weight": torch.ones(2, 2), "x": Runs()}, tmp_path / "bad.pt")
    good = tmp_path / "good.pt"
    torch.save({"0.weight": torch.ones(2, 2)}, good)
    (tmp_path / "cut.pt").write_bytes(good.read_bytes()[:-200])
    (tmp_path / "rubbish.pt").write_bytes(b"\x80\x04rubbish")
    torch.save(torch.ones(3), tmp_path / "nameless.pt")
    for name in ("bad.pt", "cut.pt", "rubbish.pt", "nameless.pt", "none.pt"):
        with pytest.raises(FileFormatError):
            import_network(tmp_path / name, mlp(2, (), 2))
        assert run("import", tmp_path / name, "--model", "2").exit_code == 2
    assert not (tmp_path / "it ran").exists()


def test_pytorch_is_asked_for_by_name(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sparsecpu\[torch\]'"):
        import_network(tmp_path / "it.pt", mlp(2, (), 2))


def test_arrays_of_numpy(tmp_path, rng):
    weight = rng.standard_normal((4, 6)) * (rng.random((4, 6)) < 0.5)
    arrays = {"fc.weight": np.asfortranarray(weight), "fc.bias": np.arange(4.0)}
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "it.npz", **arrays)
        network, _ = import_network(tmp_path / "it.npz", mlp(6, (), 4), dtype=np.float64)
        x = rng.standard_normal((3, 6))
        np.testing.assert_allclose(network.predict(x), x @ weight.T + np.arange(4.0), atol=1e-12)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "it.npz").read_bytes()[:300])
    for name in ("cut.npz", "none.npz"):
        with pytest.raises(FileFormatError):
            read_npz(tmp_path / name)


def test_matrices_of_scipy(tmp_path, rng):
    from scipy.sparse import csr_array, random_array, save_npz

    first = csr_array(random_array((8, 6), density=0.4, rng=rng))
    held = {"a.weight": first, "b.weight": np.eye(3, 8)}
    network, report = import_network(held, mlp(6, (8,), 3))
    assert network.layers[0].weight.nnz == first.nnz
    assert network.layers[2].weight.nnz == 3
    assert [row[1] for row in report.matched] == ["a", "b"]
    folder = tmp_path / "them"
    folder.mkdir()
    save_npz(folder / "x.weight.npz", first)
    (folder / "y.weight.npz").write_bytes(b"rubbish")
    with pytest.raises(FileFormatError):
        import_network(folder, mlp(6, (8,), 3))


def test_from_the_command_line(small, tmp_path, rng):
    save(small, tmp_path / "model.npz", facts={"task": "classification",
                                               "classes": list("abcde")})  # fmt: skip
    for to in ("safetensors", "scipy"):
        out = tmp_path / f"out.{to}"
        result = run("export", tmp_path / "model.npz", "--to", to, "--out", out)
        assert result.exit_code == 0, result.output
        result = run("import", out, "--out", tmp_path / "again.npz", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["nnz"] == small.nnz
        assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "model.npz").read_bytes()
    result = run("import", tmp_path / "model.npz", "--density", 0.05, "--out",
                 tmp_path / "thin.npz")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert load(tmp_path / "thin.npz")[0].nnz == round(0.05 * small.size)
    np.savez(tmp_path / "it.npz", **{"a.weight": rng.standard_normal((9, 12)),
                                     "b.weight": rng.standard_normal((2, 9))})  # fmt: skip
    common = ("import", tmp_path / "it.npz", "--out", tmp_path / "x.npz")
    result = run(*common, "--model", "9", "--mean", "1", "--std", "2")
    assert result.exit_code == 0, result.output
    network, facts = load(tmp_path / "x.npz")
    assert (network.input_shape, network.n_outputs) == ((12,), 2)
    assert facts["classes"] == [0, 1]
    np.testing.assert_array_equal(network.scale, 0.5)
    result = run("import", tmp_path / "x.npz", "--model", "9", "--outputs", 4, "--new-head",
                 "--out", tmp_path / "other.npz", "--input-shape", 12)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert load(tmp_path / "other.npz")[1]["classes"] == [0, 1, 2, 3]
    for bad in (("--model", "9", "--outputs", 0), ("--model", "9", "--input-shape", "-3")):
        assert run(*common, *bad).exit_code == 2, bad
    for bad in (("--model", "8"), ("--model", "nothing"), (), ("--model", "9", "--density", 2),
                ("--model", "9", "--std", "0"), ("--model", "9", "--mean", "1,2"),
                ("--model", "9", "--map", "x"), ("--model", "9", "--input-shape", "a"),
                ("--model", "9", "--out", tmp_path / "no" / "x.npz")):  # fmt: skip
        assert run(*common, *bad).exit_code == 2, bad
    assert run("export", tmp_path / "none.npz", "--to", "scipy").exit_code == 2


def test_a_network_made_by_hand_is_described_along_with_its_arrays(tmp_path):
    from sparsecpu.layers import Sequential, SparseLinear

    network = Sequential([SparseLinear(3, 2, density=1.0)])
    network.facts = {"task": "regression"}
    export_network(network, tmp_path / "it.safetensors", "safetensors")
    again, _ = import_network(tmp_path / "it.safetensors")
    same(network, again)
    inside = Sequential([network], (3,))  # which no description can have
    assert set(of_network(inside)) == {"0.0.weight", "0.0.bias"}
    export_network(inside, tmp_path / "inside", "scipy")
    assert (tmp_path / "inside" / "0.0.weight.npz").exists()


def test_importing_holds_no_dense_matrix(tmp_path, rng):
    wide = 3000
    network = mlp(wide, (wide,), 4).sparsify(0.01).build(rng)
    export_network(network, tmp_path / "it.safetensors", "safetensors")
    tracemalloc.start()
    again, _ = import_network(tmp_path / "it.safetensors")
    export_network(again, tmp_path / "again.safetensors", "safetensors")
    import_network(tmp_path / "it.safetensors", density=0.005)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    same(network, again)
    assert peak < 3 * wide * wide  # bytes; one dense matrix has four times as many
