"""PyTorch's ``state_dict`` files, read with ``weights_only=True``, which runs no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, MissingExtraError
from sparsecpu.files.interop.tensors import SparseTensor, Tensor
from sparsecpu.files.writing import atomic_write

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
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file")
    try:
        try:
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            # Files that torch wrote before version 1.6 cannot be mapped into memory.
            held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # refused globals, damaged archives, sizes that are not there
        if "eights only" in str(error) or "weights_only" in str(error):
            reason = "it holds more than plain tensors, and code in a file is never run"
        else:
            reason = f"it is damaged, or not a PyTorch file ({(str(error) or repr(error))[:200]})"
        raise FileFormatError(f"{path} cannot be read: {reason}") from error
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


def torch_tensor(name: str, value: Any) -> Tensor:
    """Return a PyTorch tensor, dense or sparse, as one of ours."""
    torch = require_torch("a PyTorch tensor")
    value = value.detach()
    if value.is_complex() or value.is_quantized:
        raise FileFormatError(f"{name} has elements of type {value.dtype}; expected numbers")
    if value.layout != torch.strided:
        from scipy.sparse import csr_array

        csr = value if value.layout == torch.sparse_csr else value.to_sparse_csr()
        parts = (csr.values().float(), csr.col_indices(), csr.crow_indices())
        return SparseTensor(name, csr_array(tuple(p.numpy() for p in parts), shape=csr.shape))
    shape = tuple(value.shape)
    rows = value.reshape(shape[0] if shape else 1, -1) if value.numel() else value

    def read(start: int, stop: int) -> np.ndarray:
        part = rows[start:stop]
        return (part if part.dtype in (torch.float32, torch.float64) else part.float()).numpy()

    return Tensor(name, shape, read)


def write_torch(module: Any, path: Path | str) -> None:
    """Write a module's ``state_dict`` atomically."""
    torch = require_torch("writing a PyTorch file")
    with atomic_write(path) as file:
        torch.save(module.state_dict(), file)
