"""Tensors by name: of a file or folder, whoever wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsecpu.errors import FileFormatError
from sparsecpu.files.documents import parse_json
from sparsecpu.files.interop.exporting import of_network
from sparsecpu.files.interop.npz_files import read_npz
from sparsecpu.files.interop.safetensors import read_safetensors
from sparsecpu.files.interop.scipy_folders import DESCRIPTION, read_scipy
from sparsecpu.files.interop.tensors import Tensor
from sparsecpu.files.interop.torch_files import read_torch
from sparsecpu.files.model import is_model, load_all
from sparsecpu.networks.description import Architecture
from sparsecpu.reading.files import read_content, refusing
from sparsecpu.step.plain_values import anything, named, table


def open_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Open a file or folder of tensors; return them by name, and what else the file says.

    The latter has ``architecture`` (an ``Architecture``) and ``facts`` where the file has them.

    Parameters
    ----------
    path : path
        ``….safetensors``; ``….npz``, of arrays or one of our models; a folder of SciPy matrices;
        anything else is read as a PyTorch file.

    Raises
    ------
    FileFormatError
        If it is damaged.
    MissingExtraError
        For a PyTorch file without PyTorch.
    """
    path = Path(path)
    if path.is_dir():
        file = path / DESCRIPTION
        return read_scipy(path), _described(_content(file), path)
    if path.suffix == ".safetensors":
        tensors, metadata = read_safetensors(path)
        return tensors, _described(metadata.get(DESCRIPTION, ""), path)
    if path.suffix == ".npz":
        if is_model(path):
            network, header, _ = load_all(path)
            known = {"architecture": header["architecture"], "facts": header["facts"]}
            return of_network(network), known
        return read_npz(path), {}
    return read_torch(path), {}


def _content(path: Path) -> bytes:
    """Return the bytes of a file, none if it is not there."""
    with refusing(path, FileFormatError, "a description of a network"):
        return read_content(path) if path.exists() else b""


def _described(text: str | bytes, path: Path) -> dict[str, Any]:
    if not text:
        return {}
    where = f"{path}: its description"
    found = parse_json(text, where, table({"architecture": anything, "facts": named(anything)}))
    try:
        return {**found, "architecture": Architecture.from_dict(found["architecture"])}
    except FileFormatError as error:
        raise FileFormatError(f"{where} is damaged ({error})") from error
