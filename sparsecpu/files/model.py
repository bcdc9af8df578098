"""Model files: every parameter is ``NAME.data``, and ``NAME.indptr`` and ``NAME.indices``."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, ParameterError, SparseCPUError
from sparsecpu.files.archive import read_arrays, write_arrays
from sparsecpu.layers import Sequential
from sparsecpu.networks.description import Architecture
from sparsecpu.sparse.parameter import Parameter, SparseParameter
from sparsecpu.sparse.pattern import Pattern

FORMAT = "sparsecpu-model"


VERSION = 1


def save(
    network: Sequential,
    path: Path | str,
    architecture: Architecture | None = None,
    *,
    facts: dict[str, Any] | None = None,
    extra: dict[str, np.ndarray] | None = None,
) -> None:
    """Write a model file.

    Parameters
    ----------
    network : Sequential
        The network.
    path : path
        The file, usually ``….npz``.
    architecture : Architecture, optional
        What the network was built from; ``network.architecture`` by default.
    facts : dict, optional
        Plain values to keep in the header: classes, metrics, versions.
    extra : dict of str to ndarray, optional
        Further arrays; a checkpoint keeps its slots here.

    Raises
    ------
    ParameterError
        If the network was put together by hand and no description is given.
    """
    architecture = network.architecture if architecture is None else architecture
    if architecture is None:
        raise ParameterError("architecture", None, "the description of a network made by hand")
    arrays: dict[str, np.ndarray] = {"input.offset": network.offset, "input.scale": network.scale}
    for name, parameter in network.parameters().items():
        arrays[f"{name}.data"] = parameter.data
        if isinstance(parameter, SparseParameter):
            arrays[f"{name}.indptr"] = parameter.pattern.indptr
            arrays[f"{name}.indices"] = parameter.pattern.indices
    for name, buffer in network.buffers().items():
        arrays[f"{name}.buffer"] = buffer
    for name, array in (extra or {}).items():
        arrays[f"extra/{name}"] = array
    described = architecture.to_dict()
    for i, layer in enumerate(described["layers"]):  # nnz moves between layers in training
        weight = network.parameters().get(f"{i}.weight")
        if "nnz" in layer and isinstance(weight, SparseParameter):
            layer["nnz"] = weight.nnz
    header = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": described,
        "dtype": network.dtype.name,
        "facts": facts or {},
    }
    write_arrays(path, header, arrays)


def is_model(path: Path | str) -> bool:
    """Return whether a file looks like one of ours, damaged or not.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    bool
        Whether it is an archive with a header.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return "header.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def load(path: Path | str) -> tuple[Sequential, dict[str, Any]]:
    """Read a model file.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    network : Sequential
        The network.
    facts : dict
        What ``save`` was given.

    Raises
    ------
    FileFormatError
        If the file is damaged, or something else.
    """
    network, header, _ = load_all(path)
    return network, header["facts"]


def load_all(path: Path | str) -> tuple[Sequential, dict[str, Any], dict[str, np.ndarray]]:
    """Read a model file with everything in it.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    network : Sequential
        The network.
    header : dict
        ``architecture`` as an ``Architecture``, ``facts``, and the rest of the header.
    extra : dict of str to ndarray
        What ``save`` was given.

    Raises
    ------
    FileFormatError
        If the file is damaged, or something else.
    """
    header, arrays = read_arrays(path)
    if header.get("format") != FORMAT:
        raise FileFormatError(f"{path} is not a sparsecpu model")
    if header.get("version") != VERSION:
        raise FileFormatError(f"{path} has version {header.get('version')}; expected {VERSION}")
    if header.get("dtype") not in ("float32", "float64") or "facts" not in header:
        raise FileFormatError(f"{path}: the header is incomplete")
    dtype = np.dtype(header["dtype"])
    try:
        architecture = Architecture.from_dict(header["architecture"])
        network = _rebuild(architecture, arrays, dtype)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error
    except (SparseCPUError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(f"{path} is damaged: {error}") from error
    header["architecture"] = architecture
    prefix = "extra/"
    extra = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    return network, header, extra


def _rebuild(
    architecture: Architecture, arrays: dict[str, np.ndarray], dtype: np.dtype
) -> Sequential:
    """Return the network of a description and arrays, each checked against the other."""
    parameters: dict[str, Parameter] = {}
    sparse = []
    for name in sorted(arrays):
        if not name.endswith(".data"):
            continue
        key, data = name.removesuffix(".data"), arrays[name]
        if data.dtype != dtype or data.ndim != 1 or not np.isfinite(data).all():
            raise FileFormatError(f"{name} must be a vector of finite {dtype.name}")
        if f"{key}.indptr" in arrays:
            sparse.append(key)
        else:
            parameters[key] = Parameter(data, dtype)
    shapes = architecture.weight_shapes()
    if len(sparse) != len(shapes):
        raise FileFormatError(f"{len(sparse)} sparse parameters; expected {len(shapes)}")
    for key, shape in zip(sorted(sparse, key=_in_order), shapes, strict=True):
        flat = (shape[0], math.prod(shape[1:]))
        pattern = Pattern(flat, arrays[f"{key}.indptr"], arrays[f"{key}.indices"])
        parameters[key] = SparseParameter(pattern, arrays[f"{key}.data"], dtype)
    network = architecture.build(dtype=dtype, parameters=parameters)
    for name, buffer in network.buffers().items():
        _fill(buffer, arrays[f"{name}.buffer"], name)
    offset, scale = arrays["input.offset"], arrays["input.scale"]
    features = int(np.prod(architecture.input_shape))
    if offset.shape != scale.shape or offset.shape not in ((0,), (features,)):
        raise FileFormatError(f"input.offset and input.scale must have {features} entries")
    network.offset, network.scale = offset.astype(dtype), scale.astype(dtype)
    return network


def _in_order(key: str) -> list[tuple[int, str]]:
    """Return what sorts names as the layers of a description come: 2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in key.split(".")]


def _fill(buffer: np.ndarray, values: np.ndarray, name: str) -> None:
    if buffer.shape != values.shape:
        raise FileFormatError(f"{name} has shape {values.shape}; expected {buffer.shape}")
    buffer[...] = values
