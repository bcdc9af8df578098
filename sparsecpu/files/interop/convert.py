"""Networks from the tensors of other frameworks, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.files.documents import parse_json
from sparsecpu.files.interop.arrays import mapping_tensors
from sparsecpu.files.interop.filling import Filling, checked
from sparsecpu.files.interop.gpt2 import as_ours
from sparsecpu.files.interop.names import ImportReport, layers_to_fill, match, modules, torch_name
from sparsecpu.files.interop.npz_files import read_npz
from sparsecpu.files.interop.safetensors import read_safetensors, write_safetensors
from sparsecpu.files.interop.scipy_folders import DESCRIPTION, read_scipy, write_scipy
from sparsecpu.files.interop.tensors import Tensor
from sparsecpu.files.interop.torch_files import read_torch, write_torch
from sparsecpu.files.model import is_model, load_all
from sparsecpu.layers import Sequential
from sparsecpu.networks.description import Architecture
from sparsecpu.networks.thin_layers import thin_layers
from sparsecpu.reading.files import read_content, refusing
from sparsecpu.reading.memory import check_memory
from sparsecpu.registries.names import read_name
from sparsecpu.sparse.dense_parameter import Table
from sparsecpu.sparse.groups import checked_group
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.plain_values import anything, named, table

Offered = Mapping[str, Mapping[str, Tensor]]
#: What a layer takes for each of its outputs and inputs, whether or not there is a weight.
_BYTES_PER_ROW = 32
#: Layers of a file that a refusal names.
_NAMED = 3


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
    if (architecture := _description_of(network)) is not None:
        shapes = architecture.weight_shapes()
        for name, shape in zip(network.sparse_parameters(), shapes, strict=True):
            tensors[torch_name(name)].shape = shape
    return tensors


def _description_of(network: Sequential) -> Architecture | None:
    """Return the description of a network; None where it has a layer that cannot be described."""
    try:
        return Architecture.of(network)
    except ParameterError:
        return None


def import_network(
    source: Any,
    architecture: Architecture | None = None,
    *,
    density: float | None = None,
    distribution: str = "global",
    names: Mapping[str, str] | None = None,
    missing: str = "raise",
    rng: np.random.Generator | None = None,
    dtype: Any = np.float32,
    group: int = 1,
) -> tuple[Sequential, ImportReport]:
    r"""Return the sparse network of a file, a ``state_dict``, or arrays by name, and a report.

    Exact zeros and masked positions become the pattern. No weights are held dense, except those
    that are dense in ``source`` itself. Tensors are matched to layers by name, or else by order and
    shape. The ``ImportReport`` says what matched and what did not; print it.

    Parameters
    ----------
    source : path or mapping of str to array_like
        A file or folder as in ``open_tensors``; or arrays, SciPy matrices, PyTorch tensors by name.
    architecture : Architecture, optional
        The network; needed unless the file describes it.
    density : float, optional
        Fraction of the weights to keep, those of largest \|w\|; all nonzeros by default.
    distribution : {"global", "uniform", "erk", "er"}
        One threshold for all layers, or a rule that gives each layer a number of weights.
    names : mapping of str to str, optional
        Our layer to the file's, where order and shape would mislead.
    missing : {"raise", "draw"}
        What to do about layers that nothing fits, such as a last layer for other classes: raise an
        error, or draw random weights at the overall density of the others.
    rng : numpy.random.Generator, optional
        Draws these; ``numpy.random.default_rng(0)`` by default.
    dtype : dtype
        float32 or float64.
    group : {1, 2, 4, 8}
        So many neighbouring rows share their columns in every layer; 1 leaves that to the
        description. With a density, shared columns are kept by the means over their rows.

    Raises
    ------
    ParameterError
        If an argument is out of range; or if there is a group, no density, and nonzeros are not
        those of whole shared columns.
    FileFormatError
        If the file is damaged or does not fit.

    Notes
    -----
    Nikdan et al., SparseProp (2023), section 4, continues to train such networks.
    """
    missing = read_name("missing", missing, ("raise", "draw"))
    if isinstance(source, Mapping):
        tensors, known = mapping_tensors(source), dict[str, Any]()
    else:
        tensors, known = open_tensors(source)
    architecture = known.get("architecture") if architecture is None else architecture
    if architecture is None:
        raise ParameterError("architecture", None, "a description; the file has none")
    asked = checked_group(group) > 1
    described = architecture.in_groups(group) if asked else architecture
    strict, architecture = described != architecture, described
    tensors = as_ours(tensors)
    offered = modules(tensors)
    _check_sizes(architecture, tensors, offered, missing)
    wanted = layers_to_fill(architecture)
    chosen = match(wanted, offered, names)
    report = ImportReport(missing=[layer.name for layer in wanted if layer.name not in chosen])
    if not wanted:
        raise FileFormatError(f"{architecture.name} has no layers to fill from a file")
    if len(report.missing) == len(wanted) or (report.missing and missing == "raise"):
        layer = next(layer for layer in wanted if layer.name in report.missing)
        shape = next(iter(layer.shapes.values()))
        left = {name: offered[name] for name in offered if name not in chosen.values()}
        raise _nothing_fits(f"layer {layer.name}", layer.shapes.get("weight", shape), left)
    filled = Filling(wanted, offered, chosen, report, rng, dtype, strict)
    filled.weights(density, distribution)
    filled.vectors()
    counts = iter([p.nnz for p in filled.parameters.values() if isinstance(p, SparseParameter)])
    network = architecture.with_counts(counts).build(dtype=dtype, parameters=filled.parameters)
    for name, buffer in network.buffers().items():
        if name in filled.buffers:
            buffer[...] = filled.buffers[name]
    _set_scale(network, tensors)
    report.unused = _unused(tensors, filled.used)
    if density is not None:
        report.thin = thin_layers(network.sparse_parameters())
    return network, report


def _check_sizes(
    architecture: Architecture, tensors: Mapping[str, Tensor], offered: Offered, missing: str
) -> None:
    """Refuse a description that the file cannot fill, or this machine hold, before it is built."""
    shapes = architecture.weight_shapes()
    there = {tensor.size for tensor in tensors.values()}
    for shape in shapes:
        if missing == "raise" and math.prod(shape) not in there:
            raise _nothing_fits("a layer", shape, offered)
    needed = sum(_BYTES_PER_ROW * (shape[0] + math.prod(shape[1:])) for shape in shapes)
    check_memory(needed, f"a network such as {architecture.name}", FileFormatError)


def _nothing_fits(layer: str, shape: tuple[int, ...], offered: Offered) -> FileFormatError:
    """Return what to raise; ``offered`` are the file's layers that nothing has taken yet.

    Of these, it names the first few of as many axes, which may be the ones that were meant.
    """
    there = {name: leaves["weight"].shape for name, leaves in offered.items() if "weight" in leaves}
    alike = [name for name in there if len(there[name]) == len(shape)] or list(there)
    named = [f"{name} {there[name]}" for name in alike[:_NAMED]]
    others = [f"{len(there) - len(named)} others"] if len(there) > len(named) else []
    found = " and ".join([", ".join(named), *others]) if named else "no weights"
    return FileFormatError(
        f"nothing fits {layer} of shape {shape}; the file has {found}. Give its own model, width "
        "and shape of samples, or a name for the layer (--map), or draw it at random (--new-head)"
    )


def _unused(tensors: Mapping[str, Tensor], used: list[Tensor]) -> list[str]:
    """Return the names of tensors that nothing took, but for counters, masks and the scale."""
    taken = {id(tensor) for tensor in used}
    return [
        name for name, tensor in tensors.items()
        if id(tensor) not in taken and not name.startswith(("input_", "input."))
        and not name.endswith(("num_batches_tracked", "mask"))
    ]  # fmt: skip


def _set_scale(network: Sequential, tensors: Mapping[str, Tensor]) -> None:
    """Set the scale of the inputs, where the file has one: half of one would predict wrongly."""
    offset, scale = (
        tensors.get(f"input_{name}") or tensors.get(f"input.{name}") for name in ("offset", "scale")
    )
    if offset is None or scale is None:
        if "input_offset" in tensors or "input_scale" in tensors:
            raise FileFormatError("the file has one of input_offset and input_scale; expected both")
        return
    features = network.widths[0]
    if offset.size != scale.size or offset.size not in (0, features):
        sizes = f"{offset.size} and {scale.size}"
        raise FileFormatError(
            f"the offset and scale of the inputs have {sizes} entries, not {features}"
        )
    if offset.size:
        network.offset = checked(offset, offset.values(), network.dtype)
        network.scale = checked(scale, scale.values(), network.dtype)


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
    if (architecture := _description_of(network)) is not None:
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
