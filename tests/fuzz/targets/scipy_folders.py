"""Folders of SciPy's sparse matrices."""

import io
import json

import numpy as np
from scipy import sparse

from sparsecpu.files.interop.scipy_folders import read_scipy
from sparsecpu.files.interop.tensors import SparseTensor
from sparsecpu.interop import import_network
from sparsecpu.layers import SparseLinear
from sparsecpu.networks.description import mlp
from tests.fuzz.alter_archive import alter_archive
from tests.fuzz.alter_bytes import boundary
from tests.fuzz.alter_json import alter_json_text
from tests.fuzz.target import Target
from tests.fuzz.zips import Array, Member, write_zip

_ARCHITECTURE = mlp(4, (3,), 2).in_groups([1, 2])
_DESCRIPTION = {"architecture": _ARCHITECTURE.to_dict(), "facts": {"task": "classification"}}


def _saved(matrix):
    file = io.BytesIO()
    sparse.save_npz(file, matrix, compressed=False)
    file.seek(0)
    with np.load(file) as arrays:
        return {name: Array.of(arrays[name]) for name in arrays.files}


def _folders():
    rng = np.random.default_rng(0)
    first = sparse.random_array((3, 4), density=0.6, rng=rng, format="csr")
    second = sparse.random_array((2, 3), density=0.9, rng=rng, format="csr")
    vectors = {"0.bias": np.arange(3.0), "2.bias": np.zeros(2), "input.offset": np.zeros(4),
               "input.scale": np.ones(4)}  # fmt: skip
    vectors = {name: Array.of(values.astype(np.float32)) for name, values in vectors.items()}
    found = []
    for kind in ("csr", "csc", "coo", "dia", "bsr"):
        matrices = {"0.weight": _saved(first.asformat(kind)), "2.weight": _saved(second)}
        found.append(({**matrices, "vectors": vectors}, kind in ("csr", "coo")))
    shared = SparseLinear(3, 2, nnz=4, group=2).weight.to_scipy("bsr")
    found.append(
        ({"0.weight": _saved(first), "2.weight": _saved(shared), "vectors": vectors}, True)
    )
    return found


_FOLDERS = _folders()


def _file(arrays):
    return write_zip([Member(f"{n}.npy", a.content()) for n, a in arrays.items()])


class ScipyFolders(Target):
    """``read_scipy`` and ``import_network`` on a folder."""

    name = "scipy-folders"

    def valid(self):
        return [_files(archives, described) for archives, described in _FOLDERS]

    def case(self, rng):
        archives, described = rng.choice(_FOLDERS)
        files = _files(archives, described)
        name = rng.choice(sorted(archives))
        choice = rng.randrange(10)
        if choice <= 5 and name != "vectors":
            arrays = _new_index(rng, archives[name])
            files[f"{name}.npz"] = _file(arrays)
            if rng.random() < 0.3:
                files[f"{name}.npz"] = alter_archive(rng, arrays, honest=True)
        elif choice <= 8:
            files[f"{name}.npz"] = alter_archive(rng, archives[name])
        elif described:
            files["sparsecpu.json"] = alter_json_text(rng, _DESCRIPTION)
        else:
            new = rng.choice(("1.weight.npz", "٣.npz", "9" * 60 + ".npz", "x", "0.weight.npz"))
            files[new] = files.pop(f"{name}.npz")
        return files

    def read(self, folder):
        tensors = read_scipy(folder)
        for tensor in tensors.values():
            if isinstance(tensor, SparseTensor) and tensor.size <= 1 << 20:
                for keys, values in tensor.entries():
                    assert len(keys) == len(values)
                    assert np.all(np.diff(keys) > 0)
                    assert not keys.size or 0 <= keys[0] <= keys[-1] < tensor.size
        described = (folder / "sparsecpu.json").exists()
        network, report = import_network(folder, None if described else _ARCHITECTURE)
        assert np.isfinite(network.predict(np.zeros((1, network.widths[0])))).all()
        assert str(report)


def _files(archives, described):
    files = {f"{name}.npz": _file(arrays) for name, arrays in archives.items()}
    if described:
        files["sparsecpu.json"] = json.dumps(_DESCRIPTION).encode()
    return files


def _new_index(rng, arrays):
    """Change numbers of an index, or of the shape, and nothing else."""
    arrays = dict(arrays)
    index = [name for name in arrays if name not in ("format", "data", "_is_array")]
    for name in rng.choices(index, k=rng.choice((1, 1, 2))):
        values = np.frombuffer(arrays[name].data, arrays[name].descr).copy()
        if values.size and values.dtype.kind in "iu":
            at, kind = rng.randrange(values.size), np.iinfo(values.dtype)
            if rng.random() < 0.5:
                values[at] = min(max(boundary(rng), kind.min), kind.max)
            elif rng.random() < 0.5:
                values[at] = max(rng.randrange(-2, 8), kind.min)
            else:
                values = rng.choice((values[::-1], values[:-1], np.append(values, values[-1:])))
        if rng.random() < 0.1:
            with np.errstate(invalid="ignore"):  # a number that does not fit becomes another one
                values = values.astype(rng.choice(("<i8", "<f8", "|u1", ">i4", "<u8")))
        arrays[name] = Array.of(values)
    return arrays


TARGET = ScipyFolders()
