"""Networks from the tensors of other frameworks, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.architecture import Architecture
from sparsecpu.checkpoint import atomic_write, is_model, load_all
from sparsecpu.csr import Pattern
from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.initializers import scaled_uniform
from sparsecpu.interop.arrays import of_mapping, read_npz, read_scipy, write_scipy
from sparsecpu.interop.names import ImportReport, Slot, match, modules, slots, torch_name
from sparsecpu.interop.prune import kept_entries
from sparsecpu.interop.safetensors import read_safetensors, write_safetensors
from sparsecpu.interop.tensors import Tensor
from sparsecpu.interop.torch_files import read_torch, write_torch
from sparsecpu.layers import Sequential
from sparsecpu.parameters import Parameter, SparseParameter

#: File in a folder of SciPy matrices, and key in a safetensors file's metadata, with what we know.
_ABOUT = "sparsecpu.json"


def open_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Open a file or folder of tensors by what it is.

    Parameters
    ----------
    path : path
        ``….safetensors``; ``….npz``, of arrays or one of our models; a folder of SciPy matrices;
        anything else is taken for a PyTorch file.

    Returns
    -------
    tensors : dict of str to Tensor
        By name.
    about : dict
        ``architecture`` (an ``Architecture``) and ``facts``, where the file says them.

    Raises
    ------
    FileFormatError
        If it is damaged.
    MissingExtraError
        For a PyTorch file without PyTorch.
    """
    path = Path(path)
    if path.is_dir():
        file = path / _ABOUT
        return read_scipy(path), _about(file.read_text() if file.is_file() else "", path)
    if path.suffix == ".safetensors":
        tensors, metadata = read_safetensors(path)
        return tensors, _about(metadata.get(_ABOUT, ""), path)
    if path.suffix == ".npz":
        if is_model(path):
            network, header, _ = load_all(path)
            about = {"architecture": header["architecture"], "facts": header["facts"]}
            return of_network(network), about
        return read_npz(path), {}
    return read_torch(path), {}


def _about(text: str, path: Path) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
        return {"architecture": Architecture.from_dict(found["architecture"]),
                "facts": dict(found["facts"])}  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"{path}: its description is damaged ({error})") from error


def of_network(network: Sequential) -> dict[str, Tensor]:
    """Return a network's arrays as tensors, by PyTorch's names.

    Parameters
    ----------
    network : Sequential
        The network.

    Returns
    -------
    dict of str to Tensor
        Weights in CSR.
    """
    held: dict[str, Any] = {}
    for name, parameter in network.parameters().items():
        sparse = isinstance(parameter, SparseParameter)
        held[torch_name(name)] = parameter.to_scipy() if sparse else parameter.data
    held |= {torch_name(name): buffer for name, buffer in network.buffers().items()}
    if network.offset.size:
        held |= {"input_offset": network.offset, "input_scale": network.scale}
    tensors = of_mapping(held)
    if network.architecture is not None:
        shapes = network.architecture.weight_shapes()
        for name, shape in zip(network.sparse_parameters(), shapes, strict=True):
            tensors[torch_name(name)].shape = shape
    return tensors


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
) -> tuple[Sequential, ImportReport]:
    r"""Return the sparse network of a file, a ``state_dict``, or arrays by name.

    Exact zeros and masked positions become the pattern; no weights are ever held dense, but for
    those that ``source`` holds itself. See ``names.match`` for which tensor goes where.

    Parameters
    ----------
    source : path or mapping of str to array_like
        See ``open_tensors``; or arrays, SciPy matrices, PyTorch tensors by name.
    architecture : Architecture, optional
        The network; needed unless the file says it.
    density : float, optional
        Fraction of the weights to keep, those of largest \|w\|; all nonzeros by default.
    distribution : {"global", "uniform", "erk", "er"}
        One threshold over all layers, or how they share the weights.
    names : mapping of str to str, optional
        Our layer to the file's, where order and shape would mislead.
    missing : {"raise", "draw"}
        What becomes of layers that nothing fits, such as a head for other classes: an error, or
        random weights, of the overall density of the others.
    rng : numpy.random.Generator, optional
        Draws these; ``numpy.random.default_rng(0)`` by default.
    dtype : dtype
        float32 or float64.

    Returns
    -------
    network : Sequential
        The network.
    report : ImportReport
        What matched and what did not; print it.

    Raises
    ------
    ParameterError
        If an argument is out of range.
    FileFormatError
        If the file is damaged or does not fit.

    Notes
    -----
    Nikdan et al., SparseProp (2023), section 4, trains such networks on.
    """
    if missing not in ("raise", "draw"):
        raise ParameterError("missing", missing, "'raise' or 'draw'")
    if isinstance(source, Mapping):
        tensors, about = of_mapping(source), dict[str, Any]()
    else:
        tensors, about = open_tensors(source)
    architecture = about.get("architecture") if architecture is None else architecture
    if architecture is None:
        raise ParameterError("architecture", None, "a description; the file has none")
    wanted, offered = slots(architecture), modules(tensors)
    chosen = match(wanted, offered, names)
    report = ImportReport(missing=[slot.name for slot in wanted if slot.name not in chosen])
    if len(report.missing) == len(wanted) or (report.missing and missing == "raise"):
        slot = next(slot for slot in wanted if slot.name in report.missing)
        there = ", ".join(
            f"{name} {leaves['weight'].shape}" for name, leaves in offered.items()
            if "weight" in leaves
        )  # fmt: skip
        raise FileFormatError(f"nothing fits layer {slot.name} of shape {slot.shapes['weight']}; "
                              f"the file has {there or 'no weights'}")  # fmt: skip
    filled = _Filling(wanted, offered, chosen, report, rng, dtype)
    filled.weights(density, distribution)
    filled.vectors()
    counts = iter([p.nnz for p in filled.parameters.values() if isinstance(p, SparseParameter)])
    network = architecture.with_counts(counts).build(dtype=dtype, parameters=filled.parameters)
    for name, buffer in network.buffers().items():
        if name in filled.buffers:
            buffer[...] = filled.buffers[name]
    _set_scale(network, tensors)
    used = {id(tensor) for tensor in filled.used}
    report.unused = [
        name for name, tensor in tensors.items()
        if id(tensor) not in used and not name.startswith(("input_", "input."))
        and not name.endswith(("num_batches_tracked", "mask"))
    ]  # fmt: skip
    return network, report


class _Filling:
    """Parameters and buffers as they are found."""

    def __init__(self, wanted, offered, chosen, report, rng, dtype) -> None:
        self.slots: list[Slot] = wanted
        self.found = {name: dict(offered[theirs]) for name, theirs in chosen.items()}
        self.theirs, self.report, self.dtype = chosen, report, np.dtype(dtype)
        self.rng = np.random.default_rng(0) if rng is None else rng
        self.parameters: dict[str, Parameter] = {}
        self.buffers: dict[str, np.ndarray] = {}
        self.used: list[Tensor] = []

    def weights(self, density: float | None, distribution: str) -> None:
        """Make the sparse parameters."""
        matrices = [slot for slot in self.slots if not slot.norm]
        there = [slot for slot in matrices if slot.name in self.found]
        tensors = [self.found[slot.name]["weight"] for slot in there]
        entries = dict(zip((slot.name for slot in there),
                           kept_entries(tensors, density, distribution), strict=True))  # fmt: skip
        kept = sum(len(keys) for keys, _ in entries.values())
        overall = kept / max(1, sum(tensor.size for tensor in tensors))
        for slot in matrices:
            shape = slot.shapes["weight"]
            flat = shape[0], math.prod(shape[1:])
            if slot.name in entries:
                keys, values = entries.pop(slot.name)
                pattern = Pattern.from_keys(flat, keys)
                self._took(slot, self.found[slot.name]["weight"])
                row = (slot.name, self.theirs[slot.name], shape, len(keys))
                self.report.matched.append(row)
            else:
                nnz = max(1, round(overall * math.prod(flat)))
                pattern = Pattern.random(flat, nnz, self.rng)
                values = scaled_uniform(pattern, self.rng, gain=1.0, dtype=self.dtype)
            weight = SparseParameter(pattern, values, self.dtype)
            self.parameters[f"{slot.name}.weight"] = weight

    def vectors(self) -> None:
        """Make the biases and normalisations."""
        for i, slot in enumerate(self.slots):
            leaves = self.found.get(slot.name, {})
            if slot.norm:
                self._norm(slot, leaves)
            elif "bias" in slot.shapes:
                values = self._vector(slot, leaves, "bias", 0.0)
                self.parameters[f"{slot.name}.bias"] = Parameter(values, self.dtype)
            elif "bias" in leaves:
                self._fold(slot, leaves["bias"], self.slots[i + 1 : i + 2])
        self.parameters = {  # in the order of the layers
            name: self.parameters[name]
            for slot in self.slots
            for name in (f"{slot.name}.{leaf}" for leaf in ("weight", "bias", "gamma", "beta"))
            if name in self.parameters
        }

    def _norm(self, slot: Slot, leaves: dict[str, Tensor]) -> None:
        for leaf, ours, start in (("weight", "gamma", 1.0), ("bias", "beta", 0.0)):
            values = self._vector(slot, leaves, leaf, start)
            self.parameters[f"{slot.name}.{ours}"] = Parameter(values, self.dtype)
        for leaf, ours, start in (("running_mean", "running_mean", 0.0),
                                  ("running_var", "running_variance", 1.0)):  # fmt: skip
            key = f"{slot.name}.{ours}"
            shift = self.buffers.get(key, 0.0)
            self.buffers[key] = self._vector(slot, leaves, leaf, start) - shift
        if leaves:
            row = (slot.name, self.theirs[slot.name], slot.shapes["weight"], 0)
            self.report.matched.append(row)

    def _fold(self, slot: Slot, bias: Tensor, behind: list[Slot]) -> None:
        """Give the bias before a normalisation to its running mean: the same, in prediction."""
        if behind and behind[0].norm and behind[0].shapes["weight"] == bias.shape:
            self.used.append(bias)
            self.buffers[f"{behind[0].name}.running_mean"] = bias.values()
            self.report.folded.append(slot.name)

    def _vector(self, slot: Slot, leaves: dict[str, Tensor], leaf: str, start: float) -> np.ndarray:
        if leaf not in leaves:
            return np.full(slot.shapes[leaf], start, dtype=self.dtype)
        self._took(slot, leaves[leaf])
        return leaves[leaf].values()

    def _took(self, slot: Slot, tensor: Tensor) -> None:
        self.used.append(tensor)
        self.used += getattr(tensor, "parts", ())


def _set_scale(network: Sequential, tensors: Mapping[str, Tensor]) -> None:
    """Take up the scale of the inputs, where a file has one."""
    pair = [tensors.get(f"input_{n}") or tensors.get(f"input.{n}") for n in ("offset", "scale")]
    if all(tensor is not None and tensor.size == network.widths[0] for tensor in pair):
        offset, scale = (tensor.values().astype(network.dtype) for tensor in pair)  # type: ignore[union-attr]
        network.offset, network.scale = offset, scale


def export_network(
    network: Sequential, path: Path | str, to: str, *, facts: dict[str, Any] | None = None
) -> None:
    """Write a network for others to read.

    Parameters
    ----------
    network : Sequential
        The network; built from a description, unless ``to`` is ``"scipy"``.
    path : path
        File, or folder for ``"scipy"``.
    to : {"torch", "safetensors", "scipy"}
        A ``state_dict`` by ``torch.save``; the same tensors as safetensors, written by rows, with
        the description in its metadata; or a ``scipy.sparse.save_npz`` file per matrix.
    facts : dict, optional
        Plain values to keep beside the description.

    Raises
    ------
    ParameterError
        If there is no such form.
    MissingExtraError
        For ``"torch"`` without PyTorch.
    """
    if to == "torch":
        from sparsecpu.interop.torch_modules import to_torch

        return write_torch(to_torch(network), path)
    if to not in ("safetensors", "scipy"):
        raise ParameterError("to", to, "torch, safetensors or scipy")
    about = ""
    if network.architecture is not None:
        described = {"architecture": network.architecture.to_dict(), "facts": facts or {}}
        about = json.dumps(described, default=str)
    if to == "scipy":
        write_scipy(network, path)
        if about:
            with atomic_write(Path(path) / _ABOUT) as file:
                file.write(about.encode())
        return None
    kind = "F64" if network.dtype == np.float64 else "F32"
    tensors: list[tuple[str, tuple[int, ...], str, Iterator[np.ndarray]]] = []
    for name, tensor in of_network(network).items():
        tensors.append((name, tensor.shape, kind, (tile for _, tile in tensor.tiles())))
        layer, _, leaf = name.rpartition(".")
        if leaf == "running_mean":  # PyTorch asks for this one, too
            counter = np.zeros(1, dtype=np.int64)
            tensors.append((f"{layer}.num_batches_tracked", (), "I64", iter([counter])))
    write_safetensors(path, tensors, {"format": "pt", **({_ABOUT: about} if about else {})})
    return None
