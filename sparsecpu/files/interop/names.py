"""Decides which tensor of a file belongs to which layer of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.files.interop.tensors import MaskedTensor, Tensor
from sparsecpu.networks.description import Architecture
from sparsecpu.sparse.groups import SIZES
from sparsecpu.sparse.parameter import SparseParameter

Shape = tuple[int, ...]
#: PyTorch's names for what we call otherwise.
_LEAVES = {"gamma": "weight", "beta": "bias", "running_variance": "running_var"}
#: Endings of names that pruning and other conventions leave, and the plain ones.
_PRUNED = (
    (".parametrizations.weight.original", ".weight"),
    (".parametrizations.weight.0.mask", ".weight_mask"),
    (".weight_orig", ".weight"),
    (".gamma", ".weight"),
    (".beta", ".bias"),
    (".running_variance", ".running_var"),
)


def torch_name(name: str) -> str:
    """Return PyTorch's name of a parameter or buffer of ours: ``"1.gamma"`` is ``"1.weight"``."""
    layer, _, leaf = name.rpartition(".")
    return f"{layer}.{_LEAVES.get(leaf, leaf)}"


@dataclass(frozen=True)
class LayerToFill:
    """A layer of ours that has tensors to fill.

    ``norm`` is True for normalisations over batches, ``plain`` for other layers without sparse
    weights, such as an embedding, whose tensors become parameters as they are; ``shapes`` are by
    the names that PyTorch gives the tensors, and so are our names in ``leaves``; ``group`` is how
    many rows of the weights share their columns.
    """

    name: str
    norm: bool
    shapes: dict[str, Shape]
    group: int = 1
    plain: bool = False
    leaves: dict[str, str] = field(default_factory=dict)

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """Shape of the weights as a matrix, a row per filter."""
        n_out, *rest = self.shapes["weight"]
        return n_out, math.prod(rest)


@dataclass
class ImportReport:
    """What became of a file's tensors.

    Parameters
    ----------
    matched : list of tuple
        Our layer, the file's layer, shape and nonzeros of the weights.
    missing : list of str
        Layers of ours that nothing fitted, and that were drawn at random.
    folded : list of str
        Layers whose bias went into the normalisation behind them, as ours have none there.
    unused : list of str
        Tensors that no layer took.
    thin : str
        Layers to which a density has left too few weights, in words; "" for none.
    """

    matched: list[tuple[str, str, Shape, int]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    folded: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    thin: str = ""

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Return layer, the file's layer, shape, nonzeros and density of each match, as texts."""
        return [
            (
                ours, theirs, "x".join(map(str, shape)),
                f"{nnz:,}" if len(shape) > 1 else "",
                f"{nnz / max(math.prod(shape), 1):.4f}" if len(shape) > 1 else "",
            )
            for ours, theirs, shape, nnz in self.matched
        ]  # fmt: skip

    def notes(self) -> list[str]:
        """Return a line for each thing that is to be said beside the matches."""
        lines = [
            f"{label}: {', '.join(names)}"
            for label, names in (
                ("drawn at random, as nothing fits", self.missing),
                ("bias moved into the normalisation behind", self.folded),
                ("not used", self.unused),
            )
            if names
        ]
        if self.thin:
            advice = "another distribution (erk, uniform) divides them more evenly"
            lines.append(f"note: {self.thin}; {advice}, or keep more")
        return lines

    def __str__(self) -> str:
        rows = [("layer", "from", "shape", "nnz", "density"), *self.rows()]
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            f"{ours:<{wide[0]}}  {theirs:<{wide[1]}}"
            f"  {shape:>{wide[2]}}  {nnz:>{wide[3]}}  {density:>{wide[4]}}"
            for ours, theirs, shape, nnz, density in rows
        ]
        return "\n".join([*lines, *self.notes()])


def layers_to_fill(architecture: Architecture) -> list[LayerToFill]:
    """Return the layers of a description that have tensors, in order, inner ones included."""
    if not architecture.weight_shapes():
        return []
    template = architecture.sparsify(1e-12).build()  # one weight per layer
    shapes = dict(zip(template.sparse_parameters(), architecture.weight_shapes(), strict=True))
    found: dict[str, dict[str, Shape]] = {}
    ours: dict[str, dict[str, str]] = {}
    for name, values in (*template.parameters().items(), *template.buffers().items()):
        layer, _, leaf = torch_name(name).rpartition(".")
        found.setdefault(layer, {})[leaf] = tuple(shapes.get(name) or _shape(values))
        ours.setdefault(layer, {})[leaf] = name.rpartition(".")[2]
    weights = template.sparse_parameters()
    made = []
    for name, leaves in found.items():
        weight, norm = weights.get(f"{name}.weight"), "running_mean" in leaves
        plain = weight is None and not norm
        made.append(LayerToFill(name, norm, leaves, _group(weight), plain, ours[name]))
    return made


def _shape(values: Any) -> Shape:
    """Return the shape of a parameter, that of a table where it is one, or of a buffer."""
    return getattr(values, "shape", None) or values.data.shape


def _group(weight: SparseParameter | None) -> int:
    """Return the size of the groups of a layer, from one that should have a single weight."""
    if weight is None:
        return 1
    if weight.pattern.is_full:  # one shared column is all there is
        return next(size for size in SIZES if size >= weight.shape[0])
    return weight.pattern.group


def modules(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return tensors by layer and by name within the layer; a mask and what it masks are one."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        plain = name
        for start in ("module.", "_orig_mod."):
            plain = plain.removeprefix(start)
        for old, new in _PRUNED:
            plain = plain.removesuffix(old) + new if plain.endswith(old) else plain
        layer, _, leaf = plain.rpartition(".")
        leaves = found.setdefault(layer, {})
        if leaf in leaves:  # which of them is meant?
            raise FileFormatError(
                f"{leaves[leaf].name} and {name} are both the {leaf} of {layer!r}"
            )
        leaves[leaf] = tensor
    for leaves in found.values():
        mask = leaves.pop("weight_mask", None) or leaves.pop("mask", None)
        if mask is not None and "weight" in leaves:
            leaves["weight"] = MaskedTensor(leaves["weight"], mask)
    return found


def match(
    wanted: list[LayerToFill],
    offered: Mapping[str, Mapping[str, Tensor]],
    names: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return which layer of the file fills each of ours; those that nothing fits are left out.

    Layers match by name where the file has all our names, in our shapes except for the last.
    Otherwise they match in order: each takes the first of its kind and shape that is left.
    ``names`` (ours to the file's) overrides both.
    """
    names = dict(names or {})
    ours = {layer.name: layer for layer in wanted}
    for own, theirs in names.items():
        if own not in ours:
            raise ParameterError("names", own, f"one of the network's layers: {', '.join(ours)}")
        if theirs not in offered:
            raise ParameterError("names", theirs, f"one of the file's layers: {', '.join(offered)}")
        if not _fits(ours[own], offered[theirs]):
            raise FileFormatError(f"{theirs} does not have the shape of {own}")
    taken = set(names.values())
    by_name = all(layer.name in offered for layer in wanted) and all(
        _fits(layer, offered[layer.name]) for layer in wanted[:-1]
    )
    for layer in wanted:
        if layer.name in names:
            continue
        candidates = [layer.name] if by_name else offered
        for theirs in candidates:
            if theirs not in taken and _fits(layer, offered[theirs]):
                names[layer.name] = theirs
                taken.add(theirs)
                break
    return {layer.name: names[layer.name] for layer in wanted if layer.name in names}


def _fits(layer: LayerToFill, leaves: Mapping[str, Tensor]) -> bool:
    """Return True if a layer of the file has the kind and shapes of ours."""
    if layer.plain:
        return all(leaf in leaves and leaves[leaf].shape == s for leaf, s in layer.shapes.items())
    flat = "running_mean" in leaves or ("weight" in leaves and len(leaves["weight"].shape) == 1)
    if layer.norm != flat or ("weight" not in leaves and not layer.norm):
        return False
    return all(
        leaves[leaf].shape == shape or _flat(leaves[leaf].shape) == _flat(shape)
        for leaf, shape in layer.shapes.items()
        if leaf in leaves
    )


def _flat(shape: Shape) -> Shape:
    """Return a shape as that of a matrix: a row per filter; 1x1 filters are linear weights."""
    return shape if len(shape) < 2 else (shape[0], math.prod(shape[1:]))
