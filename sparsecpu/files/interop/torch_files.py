"""PyTorch's ``state_dict`` files, read with ``weights_only=True``, which runs no code."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, MissingExtraError
from sparsecpu.files.interop.tensors import Tensor, sparse_tensor
from sparsecpu.files.writing import atomic_write
from sparsecpu.reading.files import open_regular, refusing
from sparsecpu.sparse.matrices import canonical_csr

#: Keys under which checkpoints of training scripts hold the weights.
_WEIGHT_KEYS = ("state_dict", "model_state_dict", "model", "net", "module")


def require_torch(purpose: str) -> Any:
    """Import PyTorch, or raise ``MissingExtraError`` that says what ``purpose`` needs it."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", purpose, "torch") from None
    return torch


def read_torch(path: Path | str) -> dict[str, Tensor]:
    """Open the weights in a file of ``torch.save``; they stay in the file until they are needed.

    The file holds a state dict, or a dictionary with one under ``state_dict`` or ``model``. Raises
    ``FileFormatError`` if it is damaged, holds anything but plain data, or no tensors.
    """
    torch = require_torch("reading a PyTorch file")
    path = Path(path)
    held = _loaded(torch, path)
    for name in _WEIGHT_KEYS:
        if isinstance(held, dict) and isinstance(held.get(name), dict):
            held = held[name]
    tensors = {
        str(name): torch_tensor(str(name), value)
        for name, value in (held.items() if isinstance(held, dict) else ())
        if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise FileFormatError(f"{path} holds no tensors by name")
    return tensors


def _loaded(torch: Any, path: Path) -> Any:
    """Return what a file holds; nothing in it is run, and no size in it is believed."""
    with refusing(path, FileFormatError, "a PyTorch file"), open_regular(path) as file:
        zipped = zipfile.is_zipfile(file)
        if zipped:  # PyTorch packs nothing, but would unpack whatever it finds
            with zipfile.ZipFile(file) as archive:
                if any(info.compress_type for info in archive.infolist()):
                    raise FileFormatError(f"{path} is not a PyTorch file: it is compressed")
    try:
        if zipped:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        # Files that torch wrote before version 1.6 cannot be mapped into memory.
        with _Bounded(path) as bounded:
            return torch.load(bounded, map_location="cpu", weights_only=True)
    except Exception as error:  # refused globals, damaged archives, sizes that are not there
        if "eights only" in str(error) or "weights_only" in str(error):
            reason = "it holds more than plain tensors, and code in a file is never run"
        else:
            reason = f"it is damaged, or not a PyTorch file ({(str(error) or repr(error))[:200]})"
        raise FileFormatError(f"{path} cannot be read: {reason}") from error


class _Bounded(io.BufferedReader):
    """A file of which nobody can ask for more bytes than there are: they would be made room for."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def torch_tensor(name: str, value: Any) -> Tensor:
    """Return a PyTorch tensor, dense or sparse, as one of ours."""
    torch = require_torch("a PyTorch tensor")
    value = value.detach()
    if value.is_complex() or value.is_quantized or value.device.type != "cpu":
        kind = f"{value.dtype} on {value.device}"
        raise FileFormatError(f"{name} has elements of type {kind}; expected numbers on the CPU")
    if value.layout != torch.strided:
        with refusing(name, FileFormatError, "a sparse tensor"):
            return sparse_tensor(name, canonical_csr(_scipy_matrix(torch, value), name))
    if value.numel() * value.element_size() > max(value.untyped_storage().nbytes(), 1 << 20):
        raise FileFormatError(f"{name} of shape {tuple(value.shape)} repeats the same few numbers")
    shape = tuple(value.shape)
    rows = value.reshape(shape[0] if shape else 1, -1) if value.numel() else value

    def read(start: int, stop: int) -> np.ndarray:
        part = rows[start:stop]
        return (part if part.dtype in (torch.float32, torch.float64) else part.float()).numpy()

    return Tensor(name, shape, read)


def _scipy_matrix(torch: Any, value: Any) -> Any:
    """Return a sparse tensor as SciPy's matrix of the same arrays, through which nothing has read.

    PyTorch's own conversions read through indices that nobody has checked.
    """
    from scipy import sparse

    if value.dim() != 2:
        raise ValueError(f"it has {value.dim()} dimensions; expected 2")
    shape = tuple(value.shape)
    if value.layout == torch.sparse_coo:
        rows, columns = (axis.contiguous().numpy() for axis in value._indices())
        return sparse.coo_array((_numbers(torch, value._values()), (rows, columns)), shape=shape)
    by_row = value.layout in (torch.sparse_csr, torch.sparse_bsr)
    starts = value.crow_indices() if by_row else value.ccol_indices()
    places = value.col_indices() if by_row else value.row_indices()
    make = {torch.sparse_csr: sparse.csr_array, torch.sparse_csc: sparse.csc_array,
            torch.sparse_bsr: sparse.bsr_array}.get(value.layout)  # fmt: skip
    if make is None:
        raise ValueError(f"its layout is {value.layout}; expected COO, CSR, CSC or BSR")
    parts = (_numbers(torch, value.values()), places.numpy(), starts.numpy())
    return make(parts, shape=shape)


def _numbers(torch: Any, values: Any) -> np.ndarray:
    """Return values as NumPy's, of a type that it has."""
    wide = values.dtype in (torch.float32, torch.float64)
    return (values if wide else values.float()).numpy()


def write_torch(module: Any, path: Path | str) -> None:
    """Write a module's ``state_dict`` atomically."""
    torch = require_torch("writing a PyTorch file")
    with atomic_write(path) as file:
        try:
            torch.save(module.state_dict(), file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # what PyTorch stumbled over
                raise error.__context__ from None
            raise
