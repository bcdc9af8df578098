"""Tensors of types that nobody here reads: refused where they are needed, and nowhere else."""

import importlib.util
import json

import numpy as np
import pytest
from commands import run

from sparsecpu.errors import FileFormatError
from sparsecpu.interop import import_network, open_tensors
from sparsecpu.networks.description import mlp

needs_torch = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="no PyTorch")
#: Of safetensors: a type, and the bytes of six elements.
KINDS = {"F8_E4M3": 6, "F8_E5M2": 6, "F8_E8M0": 6, "F4": 3, "C64": 48, "F128_OF_LATER": 96}
WEIGHT = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
NETWORK = mlp(3, (), 2)


def safetensors(path, kind, size, name="other", **more):
    held = {"0.weight": ("F32", [2, 3], WEIGHT.tobytes()), "0.bias": ("F32", [2], bytes(8)),
            "count": ("I64", [], bytes(8)), **more}  # fmt: skip
    held[name] = kind, [2, 3], bytes(size)
    table, end = {}, 0
    for each, (said, shape, values) in held.items():
        offsets = [end, end := end + len(values)]
        table[each] = {"dtype": said, "shape": shape, "data_offsets": offsets}
    text = json.dumps(table).encode()
    content = b"".join(values for *_, values in held.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_safetensors(kind, tmp_path):
    path = safetensors(tmp_path / "it.safetensors", kind, KINDS[kind])
    network, report = import_network(path, NETWORK)
    np.testing.assert_array_equal(network.layers[0].weight.data, WEIGHT.ravel())
    assert report.unused == ["count", "other"]
    with pytest.raises(FileFormatError, match=kind):
        import_network(safetensors(path, kind, KINDS[kind], "0.weight"), NETWORK)
    if kind != "F128_OF_LATER":
        with pytest.raises(FileFormatError, match="bytes"):
            open_tensors(safetensors(path, kind, KINDS[kind] + 1))


def test_safetensors_from_the_command_line(tmp_path):
    head = {"2.weight": ("F32", [2, 2], np.ones(4, "f4").tobytes())}
    path = safetensors(tmp_path / "it.safetensors", "F8_E4M3", 6, **head)
    found = run("import", path, "--model", "2", "--out", tmp_path / "it.npz")
    assert found.exit_code == 0, found.output
    assert "other" in found.output
    safetensors(path, "C64", 48, "0.weight", **head)
    found = run("import", path, "--model", "2", "--out", tmp_path / "it.npz")
    assert found.exit_code == 2
    assert "C64" in found.output


OTHERS = {
    "text": np.array([["a"] * 3] * 2),
    "complex": WEIGHT.astype(np.complex64),
    "objects": np.array([[None] * 3] * 2),
    "times": np.zeros((2, 3), "datetime64[s]"),
    "fields": np.zeros((2, 3), [("a", "f4")]),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_arrays_of_numpy(kind, tmp_path):
    held = {"0.weight": WEIGHT, "other": OTHERS[kind]}
    wrong = {"0.weight": OTHERS[kind], "0.bias": np.zeros(2)}
    np.savez(tmp_path / "it.npz", **held)
    np.savez(tmp_path / "wrong.npz", **wrong)
    for source in (held, tmp_path / "it.npz"):
        network, report = import_network(source, NETWORK)
        np.testing.assert_array_equal(network.layers[0].weight.data, WEIGHT.ravel())
        assert report.unused == ["other"]
    for source in (wrong, tmp_path / "wrong.npz"):
        with pytest.raises(FileFormatError, match=r"0\.weight has elements of type"):
            import_network(source, NETWORK)


def test_what_is_no_array_at_all():
    held = {"0.weight": WEIGHT, "epochs": [[1], [2, 3]], "name": None}
    assert import_network(held, NETWORK)[1].unused == ["epochs", "name"]
    with pytest.raises(FileFormatError):
        import_network({**held, "0.bias": [[1], [2, 3]]}, NETWORK)


def test_pickled_objects_are_named_with_the_way_to_save_them_anew(tmp_path):
    np.savez(tmp_path / "it.npz", x=np.array([[1.0]] * 10, dtype=object), y=np.arange(10) % 2)
    found = run("train", tmp_path / "it.npz")
    assert found.exit_code == 2
    assert "np.savez(" in found.output


def others_of_torch():
    import torch

    weight = torch.from_numpy(WEIGHT)
    return {
        "complex": weight.to(torch.complex64),
        "float8": weight.to(torch.float8_e4m3fn),
        "meta": weight.to("meta"),
        "quantized": torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
        "bits": torch.zeros(2, 3, dtype=torch.uint8).view(torch.bits8),
        "batch": torch.stack([weight, weight]).to_sparse_csr(),
        "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "repeated": torch.ones(1).expand(1 << 20, 3),
    }


@needs_torch
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_tensors_of_pytorch(tmp_path):
    import torch

    good = {"0.weight": torch.from_numpy(WEIGHT)}
    torch.save({**good, **others_of_torch()}, tmp_path / "it.pt")
    network, report = import_network(tmp_path / "it.pt", NETWORK)
    np.testing.assert_array_equal(network.layers[0].weight.data, WEIGHT.ravel())
    assert report.unused == list(others_of_torch())
    for name, value in others_of_torch().items():
        torch.save({"0.weight": value}, tmp_path / "it.pt")
        tensor = open_tensors(tmp_path / "it.pt")[0]["0.weight"]
        if name == "nested":
            continue  # it has no elements that could be asked for
        with pytest.raises(FileFormatError, match=r"0\.weight"):
            tensor.values()
        if tensor.shape == (2, 3):
            with pytest.raises(FileFormatError, match=r"0\.weight"):
                import_network(tmp_path / "it.pt", NETWORK)


@needs_torch
@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("zipped", [True, False], ids=["now", "before 1.6"])
def test_sparse_tensors_of_pytorch_in_every_layout(zipped, rng, tmp_path):
    import torch

    dense = rng.standard_normal((6, 8)) * (rng.random((6, 8)) < 0.4)
    whole = torch.from_numpy(dense.astype(np.float32))
    filters = torch.from_numpy(rng.standard_normal((4, 3, 3, 3)) * (rng.random((4, 3, 3, 3)) < 0.2))
    held = {
        "coo": whole.to_sparse(), "csr": whole.to_sparse_csr(), "csc": whole.to_sparse_csc(),
        "bsr": whole.to_sparse_bsr((2, 4)), "bsc": whole.to_sparse_bsc((3, 2)),
        "half": whole.half().to_sparse_bsr((2, 2)), "rows": whole.to_sparse(1),
        "none": torch.zeros(6, 8).to_sparse_bsr((2, 4)),
        "vector": whole[0].to_sparse(),
        **{f"filters{n}": filters.to_sparse(n) for n in range(1, 5)},
    }  # fmt: skip
    torch.save(held, tmp_path / "it.pt", _use_new_zipfile_serialization=zipped)
    tensors, _ = open_tensors(tmp_path / "it.pt")
    for name, value in held.items():
        expected = value.to_dense().numpy()
        assert tensors[name].shape == expected.shape
        np.testing.assert_array_equal(tensors[name].values(), expected.ravel())
        keys = np.concatenate([keys for keys, _ in tensors[name].entries()])
        np.testing.assert_array_equal(keys, np.flatnonzero(expected))
    torch.save({"0.weight": held["bsr"]}, tmp_path / "it.pt")
    network, _ = import_network(tmp_path / "it.pt", mlp(8, (), 6))
    np.testing.assert_array_equal(network.layers[0].weight.data, whole[whole != 0].numpy())


@needs_torch
@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_sparse_tensors_of_pytorch_whose_index_lies():
    import torch

    lies = {"check_invariants": False}
    ones, starts = torch.ones(1, 1, 3), torch.tensor([0, 1, 9, 9])
    made = {  # of a wrong axis, 0 and 4 would be position 0 of row 1 by arithmetic alone
        "coo": torch.sparse_coo_tensor([[0], [0], [4]], [1.0], size=(2, 2, 2), **lies),
        "rows": torch.sparse_coo_tensor([[7]], torch.ones(1, 3), size=(2, 3), **lies),
        "bsc": torch.sparse_bsc_tensor(starts, torch.tensor([0]), ones, size=(2, 9), **lies),
    }
    for name, value in made.items():
        with pytest.raises(FileFormatError, match=name):
            list(open_mapping(name, value).entries())


def open_mapping(name, value):
    from sparsecpu.files.interop.arrays import mapping_tensors

    return mapping_tensors({name: value})[name]


@needs_torch
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_a_refused_pickle_says_how_to_save_the_weights(tmp_path):
    import argparse
    import pickle

    import torch

    torch.save(torch.nn.Linear(3, 2), tmp_path / "module.pt")
    torch.save({"model": {"0.weight": torch.ones(2, 3)}, "best": np.float64(3)}, tmp_path / "np.pt")
    torch.save({"args": argparse.Namespace(a=1)}, tmp_path / "args.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"0.weight": np.ones((2, 3))}))
    torch.jit.script(torch.nn.Linear(3, 2)).save(tmp_path / "script.pt")
    for path in sorted(tmp_path.glob("*.pt")):
        found = run("import", path, "--model", "2", "--out", tmp_path / "it.npz")
        assert found.exit_code == 2, path
        assert "torch.save(model.state_dict()" in found.output, path
        assert found.output.count("\n") == 1, path
