"""Networks from the tensors of other frameworks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.files.interop.arrays import mapping_tensors
from sparsecpu.files.interop.filling import Filling, checked
from sparsecpu.files.interop.gpt2 import as_ours
from sparsecpu.files.interop.names import ImportReport, layers_to_fill, match, modules
from sparsecpu.files.interop.opening import open_tensors
from sparsecpu.files.interop.tensors import Tensor
from sparsecpu.layers import Sequential
from sparsecpu.networks.description import Architecture
from sparsecpu.networks.thin_layers import thin_layers
from sparsecpu.reading.memory import check_memory
from sparsecpu.registries.names import read_name
from sparsecpu.sparse.groups import checked_group
from sparsecpu.sparse.parameter import SparseParameter

Offered = Mapping[str, Mapping[str, Tensor]]
#: What a layer takes for each of its outputs and inputs, whether or not there is a weight.
_BYTES_PER_ROW = 32
#: Layers of a file that a refusal names.
_NAMED = 3


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
