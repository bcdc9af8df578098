"""Model files: a sparse parameter is ``NAME.data``, ``NAME.indptr`` and ``NAME.indices``.

Where rows stand in groups that share their columns, the index is that of the groups, and
``NAME.group`` says how many rows they have.
"""

from __future__ import annotations

import json
import math
import reprlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.files.archive import read_arrays, write_arrays
from sparsecpu.files.places import model_path
from sparsecpu.files.weight_order import in_order
from sparsecpu.layers import Sequential
from sparsecpu.networks.description import Architecture
from sparsecpu.reading.files import open_regular
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.checked_arrays import behind, same_names, take
from sparsecpu.step.pattern_arrays import pattern_arrays, take_pattern
from sparsecpu.step.plain_values import anything, brief, named, one_of, table, text, whole

FORMAT = "sparsecpu-model"
VERSION = 1
#: Names of extra arrays begin so.
_EXTRA = "extra/"
#: Facts that are true no more once the network is trained further.
_OF_ONE_RUN = ("trainer", "recipe", "metrics", "estimator")
_HEADER = table(
    {
        "format": text, "version": whole(), "architecture": anything,
        "dtype": one_of(("float32", "float64")), "facts": named(anything),
    }
)  # fmt: skip


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
        The network to save.
    path : path
        The file, usually ``….npz``.
    architecture : Architecture, optional
        The network's description; by default ``network.architecture``, or what its layers say.
    facts : dict, optional
        Plain values for the header: classes, metrics; ``network.facts`` by default.
    extra : dict of str to ndarray, optional
        Further arrays, such as the optimizer's slots in a checkpoint.

    Raises
    ------
    ParameterError
        If the network has a layer that no description can have, or ``facts`` are no plain values.
    """
    architecture = Architecture.of(network) if architecture is None else architecture
    arrays = _arrays_of(network)
    for name, array in (extra or {}).items():
        arrays[f"{_EXTRA}{name}"] = array
    described = architecture.to_dict()
    for i, layer in enumerate(described["layers"]):  # nnz moves between layers in training
        weight = network.parameters().get(f"{i}.weight")
        if "nnz" in layer and isinstance(weight, SparseParameter):
            layer["nnz"] = weight.nnz
            if not _stands_in(layer, weight):  # somebody gave the layer another pattern
                layer["group"] = weight.pattern.group
    header = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": described,
        "dtype": network.dtype.name,
        "facts": (network.facts if facts is None else facts) or {},
    }
    _check_plain(header)
    write_arrays(path, header, arrays)


def _check_plain(header: dict[str, Any]) -> None:
    """Refuse what JSON cannot hold, before a file is begun."""
    try:
        json.dumps(header)
    except (TypeError, ValueError) as error:
        kept = header["facts"] or header["architecture"]
        expected = f"plain values, as JSON has them ({error})"
        raise ParameterError("facts", kept, expected) from None


def _arrays_of(network: Sequential) -> dict[str, np.ndarray]:
    """Return everything that a network holds in arrays, by the names in a file."""
    arrays: dict[str, np.ndarray] = {"input.offset": network.offset, "input.scale": network.scale}
    for name, parameter in network.parameters().items():
        arrays[f"{name}.data"] = parameter.data
        if isinstance(parameter, SparseParameter):
            index = pattern_arrays(parameter.pattern)
            arrays |= {f"{name}.{key}": array for key, array in index.items()}
    for name, buffer in network.buffers().items():
        arrays[f"{name}.buffer"] = buffer
    return arrays


def _stands_in(options: Mapping[str, Any], weight: SparseParameter) -> bool:
    """Return True if weights are in the groups that a layer describes; full ones are in none."""
    return weight.pattern.is_full or weight.pattern.group == options.get("group", 1)


def is_model(path: Path | str) -> bool:
    """Return True if a file is an archive with a header, as model files are."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            return "header.npy" in archive.namelist()
    except Exception:  # damaged archives raise many kinds, and are no models
        return False


def load(path: Path | str) -> tuple[Sequential, dict[str, Any]]:
    """Read a model file; return the network and the facts that ``save`` was given.

    Parameters
    ----------
    path : path
        The file, or the folder of a run.

    Raises
    ------
    FileFormatError
        If the file is damaged or of another kind.
    """
    network, header, _ = load_all(model_path(path))
    return network, header["facts"]


def load_all(path: Path | str) -> tuple[Sequential, dict[str, Any], dict[str, np.ndarray]]:
    """Return the network of a model file, the header, and the extra arrays that ``save`` was given.

    The header's ``architecture`` is an ``Architecture``. Raises ``FileFormatError`` if the file is
    damaged or of another kind.
    """
    header, arrays = read_arrays(path)
    if header.get("format") != FORMAT:
        raise FileFormatError(f"{path} is not a sparsecpu model")
    if header.get("version") != VERSION:
        version = reprlib.repr(header.get("version"))
        raise FileFormatError(f"{path} has version {version}; expected {VERSION}")
    extra = behind(arrays, _EXTRA)
    for name in extra:
        del arrays[_EXTRA + name]
    try:
        _HEADER(header, "the header")
        architecture = Architecture.from_dict(header["architecture"])
        network = _build(architecture, arrays, np.dtype(header["dtype"]))
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {brief(error)}") from error
    except MemoryError:
        raise
    except Exception as error:  # layers of users may raise anything
        raise FileFormatError(f"{path} is damaged: {brief(error)}") from error
    header["architecture"] = architecture
    network.facts = {k: v for k, v in header["facts"].items() if k not in _OF_ONE_RUN}
    return network, header, extra


def _build(
    architecture: Architecture, arrays: dict[str, np.ndarray], dtype: np.dtype
) -> Sequential:
    """Build the network from a description and arrays, each checked against the other."""
    parameters = _dense_parameters(arrays, dtype) | _sparse_parameters(architecture, arrays, dtype)
    network = architecture.build(dtype=dtype, parameters=parameters)
    same_names(arrays, _arrays_of(network), "the network")
    weights = network.sparse_parameters()
    for i, layer in enumerate(architecture.layers):
        weight, nnz = weights.get(f"{i}.weight"), layer.options.get("nnz")
        if weight is not None and nnz not in (None, weight.nnz):
            raise FileFormatError(f"{i}.weight has {weight.nnz} weights; {nnz} are described")
        if weight is not None and not _stands_in(layer.options, weight):
            group = layer.options.get("group", 1)
            raise FileFormatError(
                f"{i}.weight has rows in groups of {weight.pattern.group}; {group} are described"
            )
    for name, buffer in network.buffers().items():
        least = 0.0 if name.endswith("variance") else None
        buffer[...] = take(arrays, f"{name}.buffer", buffer.dtype, buffer.shape, least=least)
    for name in ("offset", "scale"):
        found = arrays[f"input.{name}"]
        size = math.prod(architecture.input_shape) if len(arrays["input.offset"]) else 0
        kind = found.dtype if found.dtype.kind == "f" else dtype
        with np.errstate(over="ignore"):
            found = take(arrays, f"input.{name}", kind, (size,)).astype(dtype)
        setattr(network, name, take({name: found}, name, dtype, (size,)))
    return network


def _dense_parameters(arrays: dict[str, np.ndarray], dtype: np.dtype) -> dict[str, Parameter]:
    names = [name.removesuffix(".data") for name in sorted(arrays) if name.endswith(".data")]
    return {
        name: Parameter(take(arrays, f"{name}.data", dtype, (None,)), dtype)
        for name in names
        if f"{name}.indptr" not in arrays
    }


def _sparse_parameters(
    architecture: Architecture, arrays: dict[str, np.ndarray], dtype: np.dtype
) -> dict[str, Parameter]:
    """Return the weights; the file does not hold their shapes, so they come by order of layers."""
    names = [name.removesuffix(".indptr") for name in arrays if name.endswith(".indptr")]
    shapes = architecture.weight_shapes()
    if len(names) != len(shapes):
        raise FileFormatError(f"{len(names)} sparse parameters; expected {len(shapes)}")
    found: dict[str, Parameter] = {}
    for name, shape in zip(in_order(names, architecture), shapes, strict=True):
        pattern = take_pattern(arrays, f"{name}.", (shape[0], math.prod(shape[1:])))
        data = take(arrays, f"{name}.data", dtype, (pattern.nnz,))
        found[name] = SparseParameter(pattern, data, dtype)
    return found
