"""A network for other frameworks: as tensors by their names, and as files of theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.files.interop.arrays import mapping_tensors
from sparsecpu.files.interop.names import torch_name
from sparsecpu.files.interop.safetensors import write_safetensors
from sparsecpu.files.interop.scipy_folders import DESCRIPTION, write_scipy
from sparsecpu.files.interop.tensors import Tensor
from sparsecpu.files.interop.torch_files import write_torch
from sparsecpu.layers import Sequential
from sparsecpu.networks.description import Architecture
from sparsecpu.registries.names import read_name
from sparsecpu.sparse.dense_parameter import Table
from sparsecpu.sparse.parameter import SparseParameter


def of_network(network: Sequential) -> dict[str, Tensor]:
    """Return a network's arrays as tensors by PyTorch's names, weights in CSR.

    Parameters
    ----------
    network : Sequential
        The network.
    """
    arrays: dict[str, Any] = {}
    for name, parameter in network.parameters().items():
        if isinstance(parameter, SparseParameter):
            arrays[torch_name(name)] = parameter.to_scipy()
        else:
            plain = parameter.values if isinstance(parameter, Table) else parameter.data
            arrays[torch_name(name)] = plain
    arrays |= {torch_name(name): buffer for name, buffer in network.buffers().items()}
    if network.offset.size:
        arrays |= {"input_offset": network.offset, "input_scale": network.scale}
    tensors = mapping_tensors(arrays)
    if (architecture := description_of(network)) is not None:
        shapes = architecture.weight_shapes()
        for name, shape in zip(network.sparse_parameters(), shapes, strict=True):
            tensors[torch_name(name)].shape = shape
    return tensors


def description_of(network: Sequential) -> Architecture | None:
    """Return the description of a network; None where it has a layer that cannot be described."""
    try:
        return Architecture.of(network)
    except ParameterError:
        return None


def export_network(
    network: Sequential, path: Path | str, to: str, *, facts: dict[str, Any] | None = None
) -> None:
    """Write a network for other frameworks.

    Parameters
    ----------
    network : Sequential
        The network.
    path : path
        The file, or the folder for ``"scipy"``.
    to : {"torch", "safetensors", "scipy"}
        A ``state_dict`` by ``torch.save``; the same tensors as safetensors, written by rows, with
        the description in its metadata; or a ``scipy.sparse.save_npz`` file per matrix.
    facts : dict, optional
        Plain values to keep beside the description; ``network.facts`` by default.

    Raises
    ------
    ParameterError
        If ``to`` is none of these.
    MissingExtraError
        For ``"torch"`` without PyTorch.
    """
    to = read_name("to", to, ("torch", "safetensors", "scipy"))
    if to == "torch":
        from sparsecpu.files.interop.torch_modules import to_torch

        return write_torch(to_torch(network), path)
    description = ""
    if (architecture := description_of(network)) is not None:
        facts = network.facts if facts is None else facts
        described = {"architecture": architecture.to_dict(), "facts": facts or {}}
        description = json.dumps(described, default=str)
    if to == "safetensors":
        return _export_safetensors(network, path, description)
    return write_scipy(network, path, description)


def _export_safetensors(network: Sequential, path: Path | str, description: str) -> None:
    kind = "F64" if network.dtype == np.float64 else "F32"
    tensors: list[tuple[str, tuple[int, ...], str, Iterator[np.ndarray]]] = []
    for name, tensor in of_network(network).items():
        tensors.append((name, tensor.shape, kind, (tile for _, tile in tensor.tiles())))
        layer, _, leaf = name.rpartition(".")
        if leaf == "running_mean":  # PyTorch wants this one, too
            counter = np.zeros(1, dtype=np.int64)
            tensors.append((f"{layer}.num_batches_tracked", (), "I64", iter([counter])))
    metadata = {DESCRIPTION: description} if description else {}
    write_safetensors(path, tensors, {"format": "pt", **metadata})
