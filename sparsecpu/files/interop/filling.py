"""Fills the parameters of a network from a file's tensors."""

from __future__ import annotations

import math

import numpy as np

from sparsecpu.errors import FileFormatError
from sparsecpu.files.interop.names import LayerToFill
from sparsecpu.files.interop.prune import kept_entries
from sparsecpu.files.interop.tensors import Tensor
from sparsecpu.sparse.first_values import scaled_uniform
from sparsecpu.sparse.parameter import Parameter, SparseParameter
from sparsecpu.sparse.pattern import Pattern


class Filling:
    """The parameters and buffers of our layers, filled one after the other.

    ``wanted`` are our layers, ``offered`` the file's (see ``names.modules``), ``chosen`` says which
    of them fills which of ours; ``rng`` draws what is missing.
    """

    def __init__(self, wanted, offered, chosen, report, rng, dtype) -> None:
        self.layers: list[LayerToFill] = wanted
        self.found = {name: dict(offered[theirs]) for name, theirs in chosen.items()}
        self.theirs, self.report, self.dtype = chosen, report, np.dtype(dtype)
        self.rng = np.random.default_rng(0) if rng is None else rng
        self.parameters: dict[str, Parameter] = {}
        self.buffers: dict[str, np.ndarray] = {}
        self.used: list[Tensor] = []

    def weights(self, density: float | None, distribution: str) -> None:
        """Make the sparse parameters of the weights to keep; see ``prune.kept_entries``."""
        matrices = [layer for layer in self.layers if not layer.norm]
        given = [layer for layer in matrices if layer.name in self.found]
        tensors = [self.found[layer.name]["weight"] for layer in given]
        entries = dict(zip((layer.name for layer in given),
                           kept_entries(tensors, density, distribution), strict=True))  # fmt: skip
        kept = sum(len(keys) for keys, _ in entries.values())
        overall = kept / max(1, sum(tensor.size for tensor in tensors))
        for layer in matrices:
            shape = layer.shapes["weight"]
            flat = shape[0], math.prod(shape[1:])
            if layer.name in entries:
                keys, values = entries.pop(layer.name)
                tensor = self.found[layer.name]["weight"]
                pattern, values = Pattern.from_keys(flat, keys), self._checked(tensor, values)
                self._mark_used(layer, tensor)
                row = (layer.name, self.theirs[layer.name], shape, len(keys))
                self.report.matched.append(row)
            else:
                nnz = max(1, round(overall * math.prod(flat)))
                pattern = Pattern.random(flat, nnz, self.rng)
                values = scaled_uniform(pattern, self.rng, gain=1.0, dtype=self.dtype)
            weight = SparseParameter(pattern, values, self.dtype)
            self.parameters[f"{layer.name}.weight"] = weight

    def vectors(self) -> None:
        """Make the biases and normalisations."""
        for i, layer in enumerate(self.layers):
            leaves = self.found.get(layer.name, {})
            if layer.norm:
                self._norm(layer, leaves)
            elif "bias" in layer.shapes:
                values = self._vector(layer, leaves, "bias", 0.0)
                self.parameters[f"{layer.name}.bias"] = Parameter(values, self.dtype)
            elif "bias" in leaves:
                self._fold(layer, leaves["bias"], self.layers[i + 1 : i + 2])
        self.parameters = {  # in the order of the layers
            name: self.parameters[name]
            for layer in self.layers
            for name in (f"{layer.name}.{leaf}" for leaf in ("weight", "bias", "gamma", "beta"))
            if name in self.parameters
        }

    def _norm(self, layer: LayerToFill, leaves: dict[str, Tensor]) -> None:
        for leaf, ours, start in (("weight", "gamma", 1.0), ("bias", "beta", 0.0)):
            values = self._vector(layer, leaves, leaf, start)
            self.parameters[f"{layer.name}.{ours}"] = Parameter(values, self.dtype)
        for leaf, ours, start in (("running_mean", "running_mean", 0.0),
                                  ("running_var", "running_variance", 1.0)):  # fmt: skip
            key = f"{layer.name}.{ours}"
            shift = self.buffers.get(key, 0.0)
            self.buffers[key] = self._vector(layer, leaves, leaf, start) - shift
        if leaves:
            row = (layer.name, self.theirs[layer.name], layer.shapes["weight"], 0)
            self.report.matched.append(row)

    def _fold(self, layer: LayerToFill, bias: Tensor, behind: list[LayerToFill]) -> None:
        """Move a bias into the mean of the norm behind it; predictions stay the same."""
        if behind and behind[0].norm and _follows(layer.name, behind[0].name):
            self.used.append(bias)
            self.buffers[f"{behind[0].name}.running_mean"] = bias.values()
            self.report.folded.append(layer.name)

    def _vector(
        self, layer: LayerToFill, leaves: dict[str, Tensor], leaf: str, start: float
    ) -> np.ndarray:
        if leaf not in leaves:
            return np.full(layer.shapes[leaf], start, dtype=self.dtype)
        self._mark_used(layer, leaves[leaf])
        values = self._checked(leaves[leaf], leaves[leaf].values())
        if leaf == "running_var" and values.min(initial=0) < 0:
            raise FileFormatError(f"{leaves[leaf].name} has a variance below 0")
        return values

    def _checked(self, tensor: Tensor, values: np.ndarray) -> np.ndarray:
        """Return values in the network's type, if they are finite in it."""
        with np.errstate(over="ignore"):
            values = values.astype(self.dtype, copy=False)
        if not np.isfinite(values).all():
            raise FileFormatError(f"{tensor.name} has values beyond {self.dtype}")
        return values

    def _mark_used(self, layer: LayerToFill, tensor: Tensor) -> None:
        self.used.append(tensor)
        self.used += getattr(tensor, "parts", ())


def _follows(name: str, other: str) -> bool:
    """Return True if a layer comes directly behind another one in the same chain."""
    (chain, _, place), (chain_of_other, _, next_place) = name.rpartition("."), other.rpartition(".")
    return chain == chain_of_other and int(next_place) == int(place) + 1
