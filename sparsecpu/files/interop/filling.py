"""Parameters from a file's tensors."""

from __future__ import annotations

import math

import numpy as np

from sparsecpu.errors import FileFormatError
from sparsecpu.files.interop.names import Slot
from sparsecpu.files.interop.prune import kept_entries
from sparsecpu.files.interop.tensors import Tensor
from sparsecpu.sparse.first_values import scaled_uniform
from sparsecpu.sparse.parameter import Parameter, SparseParameter
from sparsecpu.sparse.pattern import Pattern


class Filling:
    """Parameters and buffers as they are found.

    Parameters
    ----------
    wanted : list of Slot
        Our layers.
    offered : mapping
        As ``names.modules`` returns it.
    chosen : mapping of str to str
        Our layer to theirs.
    report : ImportReport
        Gets what is noted.
    rng : numpy.random.Generator or None
        Draws what is missing.
    dtype : dtype
        Of all values.

    Attributes
    ----------
    parameters : dict of str to Parameter
        By name, in order.
    buffers : dict of str to ndarray
        By name.
    used : list of Tensor
        What was read.
    """

    def __init__(self, wanted, offered, chosen, report, rng, dtype) -> None:
        self.slots: list[Slot] = wanted
        self.found = {name: dict(offered[theirs]) for name, theirs in chosen.items()}
        self.theirs, self.report, self.dtype = chosen, report, np.dtype(dtype)
        self.rng = np.random.default_rng(0) if rng is None else rng
        self.parameters: dict[str, Parameter] = {}
        self.buffers: dict[str, np.ndarray] = {}
        self.used: list[Tensor] = []

    def weights(self, density: float | None, distribution: str) -> None:
        """Make the sparse parameters.

        Parameters
        ----------
        density : float or None
            See ``prune.kept_entries``.
        distribution : str
            See there.
        """
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
                tensor = self.found[slot.name]["weight"]
                pattern, values = Pattern.from_keys(flat, keys), self._checked(tensor, values)
                self._took(slot, tensor)
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
        if behind and behind[0].norm and _follows(slot.name, behind[0].name):
            self.used.append(bias)
            self.buffers[f"{behind[0].name}.running_mean"] = bias.values()
            self.report.folded.append(slot.name)

    def _vector(self, slot: Slot, leaves: dict[str, Tensor], leaf: str, start: float) -> np.ndarray:
        if leaf not in leaves:
            return np.full(slot.shapes[leaf], start, dtype=self.dtype)
        self._took(slot, leaves[leaf])
        values = self._checked(leaves[leaf], leaves[leaf].values())
        if leaf == "running_var" and values.min(initial=0) < 0:
            raise FileFormatError(f"{leaves[leaf].name} has a variance below 0")
        return values

    def _checked(self, tensor: Tensor, values: np.ndarray) -> np.ndarray:
        """Return values in the network's type, if they fit into it."""
        with np.errstate(over="ignore"):
            values = values.astype(self.dtype, copy=False)
        if not np.isfinite(values).all():
            raise FileFormatError(f"{tensor.name} has values beyond {self.dtype}")
        return values

    def _took(self, slot: Slot, tensor: Tensor) -> None:
        self.used.append(tensor)
        self.used += getattr(tensor, "parts", ())


def _follows(name: str, other: str) -> bool:
    """Return whether a layer stands right behind another in the same chain."""
    (chain, _, place), (chain_of_other, _, next_place) = name.rpartition("."), other.rpartition(".")
    return chain == chain_of_other and int(next_place) == int(place) + 1
