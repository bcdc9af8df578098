"""Which tensor of a file belongs to which layer of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.files.interop.tensors import MaskedTensor, Tensor
from sparsecpu.networks.description import Architecture

Shape = tuple[int, ...]
#: What PyTorch calls what we call otherwise.
_LEAVES = {"gamma": "weight", "beta": "bias", "running_variance": "running_var"}
#: What pruning leaves in names, and what it stands for.
_PRUNED = (
    (".parametrizations.weight.original", ".weight"),
    (".parametrizations.weight.0.mask", ".weight_mask"),
    (".weight_orig", ".weight"),
    (".gamma", ".weight"),
    (".beta", ".bias"),
    (".running_variance", ".running_var"),
)


def torch_name(name: str) -> str:
    """Return what PyTorch would call a parameter or buffer of ours.

    Parameters
    ----------
    name : str
        For example ``"1.gamma"``.

    Returns
    -------
    str
        ``"1.weight"``.
    """
    layer, _, leaf = name.rpartition(".")
    return f"{layer}.{_LEAVES.get(leaf, leaf)}"


@dataclass(frozen=True)
class Slot:
    """A layer of ours that has something to fill.

    Parameters
    ----------
    name : str
        For example ``"3.branch.0"``.
    norm : bool
        Whether it normalises.
    shapes : dict of str to tuple
        Of its tensors, by the names that PyTorch gives them.
    """

    name: str
    norm: bool
    shapes: dict[str, Shape]


@dataclass
class ImportReport:
    """What became of a file's tensors.

    Parameters
    ----------
    matched : list of tuple
        Our layer, theirs, shape and nonzeros of its weights.
    missing : list of str
        Layers of ours that got nothing, and were drawn.
    folded : list of str
        Layers whose bias went into the normalisation behind, for ours has none there.
    unused : list of str
        Tensors that nothing took.
    """

    matched: list[tuple[str, str, Shape, int]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    folded: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{'layer':<20}{'from':<32}{'shape':>18}{'nnz':>12}{'density':>9}"]
        for ours, theirs, shape, nnz in self.matched:
            density = f"{nnz / max(math.prod(shape), 1):.4f}" if len(shape) > 1 else ""
            text = "x".join(map(str, shape))
            count = f"{nnz:,}" if density else ""
            lines.append(f"{ours:<20}{theirs:<32}{text:>18}{count:>12}{density:>9}")
        for label, names in (
            ("drawn at random, for nothing fits", self.missing),
            ("bias folded into the normalisation behind", self.folded),
            ("not used", self.unused),
        ):
            if names:
                lines.append(f"{label}: {', '.join(names)}")
        return "\n".join(lines)


def slots(architecture: Architecture) -> list[Slot]:
    """Return the layers of a description that have something to fill, in order.

    Parameters
    ----------
    architecture : Architecture
        The description.

    Returns
    -------
    list of Slot
        Linear layers, convolutions, normalisations; those inside of others, too.
    """
    if not architecture.weight_shapes():
        return []
    template = architecture.sparsify(1e-12).build()  # one weight per layer
    shapes = dict(zip(template.sparse_parameters(), architecture.weight_shapes(), strict=True))
    found: dict[str, dict[str, Shape]] = {}
    for name, held in (*template.parameters().items(), *template.buffers().items()):
        shape = shapes.get(name) or getattr(held, "data", held).shape
        layer, _, leaf = torch_name(name).rpartition(".")
        found.setdefault(layer, {})[leaf] = tuple(shape)
    return [Slot(name, "running_mean" in leaves, leaves) for name, leaves in found.items()]


def modules(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return tensors by the layer they belong to; a mask and what it masks are one.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        By full name.

    Returns
    -------
    dict of str to dict
        Layer to name within it to tensor, in order.

    Raises
    ------
    FileFormatError
        If a mask does not fit.
    """
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        plain = name
        for start in ("module.", "_orig_mod."):
            plain = plain.removeprefix(start)
        for old, new in _PRUNED:
            plain = plain.removesuffix(old) + new if plain.endswith(old) else plain
        layer, _, leaf = plain.rpartition(".")
        found.setdefault(layer, {})[leaf] = tensor
    for leaves in found.values():
        mask = leaves.pop("weight_mask", None) or leaves.pop("mask", None)
        if mask is not None and "weight" in leaves:
            leaves["weight"] = MaskedTensor(leaves["weight"], mask)
    return found


def match(
    wanted: list[Slot],
    offered: Mapping[str, Mapping[str, Tensor]],
    names: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Decide which layer of a file fills which layer of ours.

    By name where the file has all our names, in our shapes but for the last. Otherwise in order:
    each layer takes the first that is left of its kind and shape.

    Parameters
    ----------
    wanted : list of Slot
        Our layers.
    offered : mapping
        As ``modules`` returns it.
    names : mapping of str to str, optional
        Our layer to theirs, where the user knows better.

    Returns
    -------
    dict of str to str
        Our layer to theirs; those that nothing fits are left out.

    Raises
    ------
    ParameterError
        If ``names`` names what is not there.
    FileFormatError
        If it asks for shapes that differ.
    """
    names = dict(names or {})
    ours = {slot.name: slot for slot in wanted}
    for mine, theirs in names.items():
        if mine not in ours:
            raise ParameterError("names", mine, f"layers of the network: {', '.join(ours)}")
        if theirs not in offered:
            raise ParameterError("names", theirs, f"layers of the file: {', '.join(offered)}")
        if not _fits(ours[mine], offered[theirs]):
            raise FileFormatError(f"{theirs} does not have the shape of {mine}")
    taken = set(names.values())
    by_name = all(slot.name in offered for slot in wanted) and all(
        _fits(slot, offered[slot.name]) for slot in wanted[:-1]
    )
    for slot in wanted:
        if slot.name in names:
            continue
        candidates = [slot.name] if by_name else offered
        for theirs in candidates:
            if theirs not in taken and _fits(slot, offered[theirs]):
                names[slot.name] = theirs
                taken.add(theirs)
                break
    return {slot.name: names[slot.name] for slot in wanted if slot.name in names}


def _fits(slot: Slot, leaves: Mapping[str, Tensor]) -> bool:
    """Return whether a layer of a file is of the kind and shape of ours."""
    flat = "running_mean" in leaves or ("weight" in leaves and len(leaves["weight"].shape) == 1)
    if slot.norm != flat or ("weight" not in leaves and not slot.norm):
        return False
    return all(
        leaves[leaf].shape == shape or _flat(leaves[leaf].shape) == _flat(shape)
        for leaf, shape in slot.shapes.items()
        if leaf in leaves
    )


def _flat(shape: Shape) -> Shape:
    """Return a shape as a matrix has it: filters as rows, 1x1 filters as linear weights."""
    return shape if len(shape) < 2 else (shape[0], math.prod(shape[1:]))
