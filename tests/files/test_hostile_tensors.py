"""Tensors of others' files that lie, repeat themselves, or are only half there."""

import importlib.util
import io
import json

import numpy as np
import pytest
from scipy.sparse import csr_array

from sparsecpu.errors import FileFormatError, SparseCPUError
from sparsecpu.files.interop.npz_files import read_npz
from sparsecpu.files.interop.safetensors import read_safetensors
from sparsecpu.interop import export_network, import_network
from sparsecpu.layers import SparseLinear
from sparsecpu.networks.description import mlp
from sparsecpu.reading.npy import read_header
from tests.fuzz.zips import Array

needs_torch = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="no PyTorch")
WEIGHT = np.arange(1, 7, dtype=np.float32).reshape(2, 3)


def safetensors(path, table, values):
    text = json.dumps(table).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + values)
    return path


def test_endless_rows_of_nothing_take_no_time(tmp_path):
    entry = {"dtype": "F32", "shape": [2**62, 0], "data_offsets": [0, 0]}
    path = safetensors(tmp_path / "it.safetensors", {"w": entry}, b"")
    assert read_safetensors(path)[0]["w"].values().size == 0
    np.savez(tmp_path / "it.npz", w=np.zeros((0, 5)))
    assert read_npz(tmp_path / "it.npz")["w"].values().size == 0


@pytest.mark.parametrize("kind", [["F32"], {"a": 1}, None, 3, "x" * 99])
def test_types_that_are_no_types(kind, tmp_path):
    entry = {"dtype": kind, "shape": [1], "data_offsets": [0, 4]}
    with pytest.raises(FileFormatError):
        read_safetensors(safetensors(tmp_path / "it.safetensors", {"w": entry}, bytes(4)))


def test_a_name_that_stands_twice_in_a_table(tmp_path):
    entry = '"w": {"dtype": "F32", "shape": [1], "data_offsets": [%d, %d]}'
    text = ("{" + entry % (0, 4) + "," + entry % (0, 4) + "}").encode()
    path = tmp_path / "it.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(FileFormatError):
        read_safetensors(path)


def test_a_network_larger_than_its_file_is_not_built(tmp_path):
    wide = mlp(3, (), 2).to_dict()
    wide["layers"][0]["out_features"] = 2**31 - 1
    said = {"sparsecpu.json": json.dumps({"architecture": wide, "facts": {}})}
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    table = {"__metadata__": said, "0.weight": entry}
    path = safetensors(tmp_path / "it.safetensors", table, WEIGHT.tobytes())
    with pytest.raises(FileFormatError, match="fits"):
        import_network(path)


def test_two_tensors_for_one_place_are_refused():
    held = {"0.weight": WEIGHT, "module.0.weight": WEIGHT + 1}
    with pytest.raises(FileFormatError, match="both"):
        import_network(held, mlp(3, (), 2))


@pytest.mark.parametrize("left", ["input.offset", "input.scale"])
def test_half_of_a_scale_is_refused(left, tmp_path):
    network = mlp(3, (), 2).build()
    network.offset, network.scale = np.ones((2, 3), np.float32)
    export_network(network, tmp_path / "it", "scipy")
    with np.load(tmp_path / "it" / "vectors.npz") as held:
        kept = {name: held[name] for name in held.files if name != left}
    np.savez(tmp_path / "it" / "vectors.npz", **kept)
    with pytest.raises(FileFormatError, match="half"):
        import_network(tmp_path / "it")


def test_matrices_in_memory_are_checked_and_left_alone():
    broken = csr_array(WEIGHT)
    broken.indptr = np.array([0, 99, 6], dtype=np.int32)
    with pytest.raises(SparseCPUError):
        import_network({"0.weight": broken}, mlp(3, (), 2))
    twice = csr_array((np.ones(3, "f4"), [2, 0, 2], [0, 3, 3]), shape=(2, 3))
    network, _ = import_network({"0.weight": twice}, mlp(3, (), 2))
    assert network.layers[0].weight.data.tolist() == [1, 2]
    assert (twice.nnz, twice.indices.tolist()) == (3, [2, 0, 2])


def test_a_gain_beyond_float32_is_refused():
    with pytest.raises(SparseCPUError):
        SparseLinear(3, 2, gain=1e39)


@needs_torch
@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("layout", ["coo", "csr", "csc", "bsr"])
def test_sparse_tensors_of_pytorch_with_a_broken_index(layout, tmp_path):
    import torch

    good = torch.from_numpy(WEIGHT)
    options = {"size": (2, 3), "check_invariants": False}
    starts, places, values = torch.tensor([0, 2, 4]), torch.tensor([0, 1, 0, 99]), torch.ones(4)
    made = {
        "coo": lambda: torch.sparse_coo_tensor([[0, 1], [0, 99]], [1.0, 2.0], **options),
        "csr": lambda: torch.sparse_csr_tensor(starts, places, values, **options),
        "csc": lambda: torch.sparse_csc_tensor(
            torch.tensor([0, 2, 4, 4]), places, values, **options
        ),
        "bsr": lambda: torch.sparse_bsr_tensor(
            torch.tensor([0, 1, 9]), torch.tensor([0]), torch.ones(1, 1, 3), **options
        ),
    }[layout]()
    with pytest.raises(SparseCPUError):
        import_network({"0.weight": made}, mlp(3, (), 2))
    whole = {"coo": good.to_sparse, "csr": good.to_sparse_csr, "csc": good.to_sparse_csc,
             "bsr": lambda: good.to_sparse_bsr((1, 3))}[layout]()  # fmt: skip
    network, _ = import_network({"0.weight": whole}, mlp(3, (), 2))
    np.testing.assert_array_equal(network.layers[0].weight.data, WEIGHT.ravel())


@needs_torch
def test_tensors_of_pytorch_that_repeat_one_number(tmp_path):
    import torch

    torch.save({"0.weight": torch.ones(1).expand(1 << 20, 1 << 10)}, tmp_path / "it.pt")
    with pytest.raises(FileFormatError, match="repeats"):
        import_network(tmp_path / "it.pt", mlp(1 << 10, (), 1 << 20))


@pytest.mark.parametrize(
    "text",
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (3), }", "{'descr': '<f4'}", "", "{",
     "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }",
     "{'descr': '<f4', 'fortran_order': False, 'shape': (9**9**9,), }",
     "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
     "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'x': 1}",
     "{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (3,), }",
     "__import__('os').abort()", "(" * 9000],
)  # fmt: skip
def test_headers_of_arrays_are_read_and_not_evaluated(text):
    with pytest.raises(ValueError):
        read_header(io.BytesIO(Array("<f4", (3,), bytes(12)).content(text)))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize(
    "text",
    ["{'shape': (3, 2), 'fortran_order': True, 'descr': '<f4'}",
     '{"descr":"<f4","fortran_order":True,"shape":(3,2)}',
     "{'descr': '<f4', 'fortran_order': True, 'shape': (3L, 2L), }"],
)  # fmt: skip
def test_headers_in_other_spellings(text, version):
    made = Array("<f4", (3, 2), bytes(24), version=version).content(text)
    header = read_header(io.BytesIO(made))
    assert (header.shape, header.dtype, header.fortran) == ((3, 2), np.float32, True)
    assert header.start + header.nbytes == len(made)
