"""PyTorch's ``state_dict`` files; read by ``torch.load(weights_only=True)``, which runs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, MissingExtraError
from sparsecpu.files.archive import atomic_write
from sparsecpu.files.interop.tensors import SparseTensor, Tensor

#: Where trainers put the weights among their other things.
_INSIDE = ("state_dict", "model_state_dict", "model", "net", "module")


def require_torch(purpose: str) -> Any:
    """Return PyTorch.

    Parameters
    ----------
    purpose : str
        What needs it.

    Returns
    -------
    module
        ``torch``.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", purpose, "torch") from None
    return torch


def read_torch(path: Path | str) -> dict[str, Tensor]:
    """Open the weights in a file of ``torch.save``; they stay in the file until they are read.

    Parameters
    ----------
    path : path
        A state dict, or a dictionary with one under ``state_dict`` or ``model``.

    Returns
    -------
    dict of str to Tensor
        By name, in order.

    Raises
    ------
    FileFormatError
        If the file is damaged, holds anything that is not plain data, or no tensors.
    MissingExtraError
        Without PyTorch.
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
            held = torch.load(path, map_location="cpu", weights_only=True)  # before torch 1.6
    except Exception as error:  # refused globals, damaged archives, sizes that are not there
        if "eights only" in str(error) or "weights_only" in str(error):
            reason = "it holds more than plain tensors, and nothing in a file is ever run"
        else:
            reason = f"it is damaged, or no PyTorch file ({(str(error) or repr(error))[:200]})"
        raise FileFormatError(f"{path} was not read: {reason}") from error
    for name in _INSIDE:
        if isinstance(held, dict) and isinstance(held.get(name), dict):
            held = held[name]
    tensors = {
        str(name): of_torch(str(name), value)
        for name, value in (held.items() if isinstance(held, dict) else ())
        if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise FileFormatError(f"{path} holds no tensors by name")
    return tensors


def of_torch(name: str, value: Any) -> Tensor:
    """Return a tensor of PyTorch as one of ours.

    Parameters
    ----------
    name : str
        Its name.
    value : torch.Tensor
        Strided, or sparse in CSR or COO.

    Returns
    -------
    Tensor
        The same numbers.

    Raises
    ------
    FileFormatError
        If it is complex or quantised.
    """
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
    """Write a module's ``state_dict``, atomically.

    Parameters
    ----------
    module : torch.nn.Module
        For example what ``to_torch`` returned.
    path : path
        The file.
    """
    torch = require_torch("writing a PyTorch file")
    with atomic_write(path) as file:
        torch.save(module.state_dict(), file)
