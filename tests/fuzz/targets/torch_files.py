"""PyTorch's files of weights, in both of its formats."""

import importlib.util
import io
import zipfile

import numpy as np

from sparsecpu.interop import import_network, open_tensors
from sparsecpu.networks.description import mlp
from tests.fuzz.alter_bytes import alter_bytes, set_integer
from tests.fuzz.promises import check_tensors
from tests.fuzz.target import Target
from tests.fuzz.zips import Member, write_zip

_ARCHITECTURE = mlp(3, (), 2)
_FILES: list[bytes] = []


def _files():
    """Return files as ``torch.save`` writes them, made once."""
    if not _FILES:
        import torch

        state = {"0.weight": torch.arange(6.0).reshape(2, 3), "0.bias": torch.ones(2)}
        mixed = {**state, "half": torch.ones(2, 2).half(), "count": torch.tensor(3),
                 "view": torch.arange(12.0)[2:8:2], "empty": torch.zeros(0, 3),
                 "coo": torch.eye(3).to_sparse(), "csr": torch.eye(3).to_sparse_csr(),
                 "bsr": torch.eye(4).to_sparse_bsr((2, 2)), "csc": torch.eye(3).to_sparse_csc(),
                 "bsc": torch.eye(4).to_sparse_bsc((2, 1)),
                 "filters": torch.eye(4).reshape(2, 2, 2, 2).to_sparse(3)}  # fmt: skip
        for held in (state, {"state_dict": mixed, "epoch": 3, "name": "x"}):
            for zipped in (True, False):
                file = io.BytesIO()
                torch.save(held, file, _use_new_zipfile_serialization=zipped)
                _FILES.append(file.getvalue())
    return _FILES


class TorchFiles(Target):
    """``open_tensors`` and ``import_network`` on a .pt."""

    name = "torch"
    seconds = 10.0

    def available(self):
        return importlib.util.find_spec("torch") is not None

    def valid(self):
        return [{"it.pt": content} for content in _files()]

    def case(self, rng):
        content = rng.choice(_files())
        if content[:2] == b"PK" and rng.random() < 0.7:
            content = _rewritten(rng, content)
        else:
            at = rng.randrange(min(len(content), rng.choice((64, 400, 1 << 20))))
            width = rng.choice((1, 2, 4))
            changed = set_integer(rng, content, at, width)
            content = changed if rng.random() < 0.5 else alter_bytes(rng, content, content)
        return {"it.pt": content}

    def read(self, folder):
        path = folder / "it.pt"
        tensors, known = open_tensors(path)
        assert not known
        check_tensors(tensors, 1 << 20)
        if "0.weight" in tensors:
            network, _ = import_network(path, _ARCHITECTURE)
            assert np.isfinite(network.predict(np.zeros((1, 3)))).all()


def _rewritten(rng, content):
    """Change the pickle, or another member, and write the archive anew with its checksums."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in held if name.endswith("data.pkl"))
    name = pickled if rng.random() < 0.8 else rng.choice(sorted(held))
    at = rng.randrange(len(held[name]) + 1)
    choice = rng.randrange(4)
    if choice == 0:
        held[name] = alter_bytes(rng, held[name], held[name])
    elif choice == 1:  # a number of the pickle: sizes, strides, offsets
        places = [i for i, byte in enumerate(held[name]) if byte in b"KMJ"] or [at]
        held[name] = set_integer(rng, held[name], rng.choice(places) + 1, rng.choice((1, 2, 4)))
    elif choice == 2:
        held[name] = held[name][:at] + bytes([rng.randrange(256)]) + held[name][at + 1 :]
    else:
        del held[rng.choice(sorted(held))]
    return write_zip([Member(name, content) for name, content in held.items()])


TARGET = TorchFiles()
