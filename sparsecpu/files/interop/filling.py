"""Fills the parameters of a network from a file's tensors."""

from __future__ import annotations

import math

import numpy as np

from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.files.interop.names import LayerToFill
from sparsecpu.files.interop.prune import Entries, kept_entries
from sparsecpu.files.interop.tensors import Tensor
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.sparse.first_patterns import first_pattern
from sparsecpu.sparse.first_values import scaled_uniform
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern

_LEAVES = ("weight", "bias", "gamma", "beta")


class Filling:
    """The parameters and buffers of our layers, filled one after the other.

    ``wanted`` are our layers, ``offered`` the file's (see ``names.modules``), ``chosen`` says which
    of them fills which of ours; ``rng`` draws what is missing. With ``strict``, nonzeros of rows
    that should share their columns must do so; else columns with any of them are shared by all.
    """

    def __init__(self, wanted, offered, chosen, report, rng, dtype, strict) -> None:
        self.layers: list[LayerToFill] = wanted
        self.found = {name: dict(offered[theirs]) for name, theirs in chosen.items()}
        self.theirs, self.report, self.dtype = chosen, report, np.dtype(dtype)
        self.strict = strict
        self.rng = np.random.default_rng(0) if rng is None else rng
        self.parameters: dict[str, Parameter] = {}
        self.buffers: dict[str, np.ndarray] = {}
        self.used: list[Tensor] = []
        #: Biases that moved into the mean of the norm behind them, by the norm's name.
        self._moved_biases: dict[str, np.ndarray] = {}

    def weights(self, density: float | None, distribution: str) -> None:
        """Make the sparse parameters of the weights to keep; see ``prune.kept_entries``."""
        matrices = [layer for layer in self.layers if not (layer.norm or layer.plain)]
        given = [layer for layer in matrices if layer.name in self.found]
        tensors = [self.found[layer.name]["weight"] for layer in given]
        groups = [layer.group for layer in given]
        kept = kept_entries(tensors, density, distribution, groups)
        if density is None and self.strict:
            _check_shared(tensors, groups, kept)
        entries = {layer.name: found for layer, found in zip(given, kept, strict=True)}
        size = sum(tensor.size for tensor in tensors)
        overall = sum(len(keys) for keys, _ in kept) / max(1, size)
        for layer in matrices:
            if layer.name in entries:
                weight = self._given_weight(layer, *entries.pop(layer.name))
            else:
                weight = self._drawn_weight(layer, overall)
            self.parameters[f"{layer.name}.weight"] = weight

    def _given_weight(
        self, layer: LayerToFill, keys: np.ndarray, values: np.ndarray
    ) -> SparseParameter:
        tensor = self.found[layer.name]["weight"]
        self._mark_used(tensor)
        row = (layer.name, self.theirs[layer.name], layer.shapes["weight"], len(keys))
        self.report.matched.append(row)
        shape = layer.matrix_shape
        full = len(keys) == math.prod(shape)
        pattern = Pattern.full(shape) if full else Pattern.from_keys(shape, keys, group=layer.group)
        return SparseParameter(pattern, checked(tensor, values, self.dtype), self.dtype)

    def _drawn_weight(self, layer: LayerToFill, density: float) -> SparseParameter:
        nnz = max(1, round(density * math.prod(layer.matrix_shape)))
        pattern = first_pattern(layer.matrix_shape, nnz, self.rng, "random", layer.group)
        values = scaled_uniform(pattern, self.rng, gain=1.0, dtype=self.dtype)
        return SparseParameter(pattern, values, self.dtype)

    def vectors(self) -> None:
        """Make the biases and normalisations."""
        for i, layer in enumerate(self.layers):
            leaves = self.found.get(layer.name, {})
            if layer.plain:
                self._fill_plain(layer, leaves)
            elif layer.norm:
                self._fill_norm(layer, leaves)
            elif "bias" in layer.shapes:
                values = self._vector(layer, leaves, "bias", 0.0)
                self.parameters[f"{layer.name}.bias"] = Parameter(values, self.dtype)
            elif "bias" in leaves:
                self._move_bias(layer, leaves["bias"], self.layers[i + 1 : i + 2])
        self.parameters = {  # in the order of the layers
            name: self.parameters[name]
            for layer in self.layers
            for name in (f"{layer.name}.{leaf}" for leaf in (*_LEAVES, *layer.leaves.values()))
            if name in self.parameters
        }

    def _fill_plain(self, layer: LayerToFill, leaves: dict[str, Tensor]) -> None:
        """Take the tensors of a layer without sparse weights as they are; draw what is missing."""
        for leaf, shape in layer.shapes.items():
            if leaf not in leaves:
                values = _first_values(leaf, shape, self.rng)
            else:
                values = self._vector(layer, leaves, leaf, 0.0)
            name = f"{layer.name}.{layer.leaves[leaf]}"
            self.parameters[name] = Parameter(values.reshape(-1), self.dtype)
        if leaves:
            first = next(iter(layer.shapes.values()))
            self.report.matched.append((layer.name, self.theirs[layer.name], first, 0))

    def _fill_norm(self, layer: LayerToFill, leaves: dict[str, Tensor]) -> None:
        gamma, beta = (
            self._vector(layer, leaves, leaf, start)
            for leaf, start in (("weight", 1.0), ("bias", 0.0))
        )
        self.parameters[f"{layer.name}.gamma"] = Parameter(gamma, self.dtype)
        self.parameters[f"{layer.name}.beta"] = Parameter(beta, self.dtype)
        mean = self._vector(layer, leaves, "running_mean", 0.0)
        mean = mean - self._moved_biases.get(layer.name, 0.0)
        self.buffers[f"{layer.name}.running_mean"] = mean
        variance = self._vector(layer, leaves, "running_var", 1.0)
        self.buffers[f"{layer.name}.running_variance"] = variance
        if leaves:
            row = (layer.name, self.theirs[layer.name], layer.shapes["weight"], 0)
            self.report.matched.append(row)

    def _move_bias(self, layer: LayerToFill, bias: Tensor, behind: list[LayerToFill]) -> None:
        """Move a bias into the mean of the norm behind it; predictions stay the same."""
        if behind and behind[0].norm and _follows(layer.name, behind[0].name):
            self.used.append(bias)
            self._moved_biases[behind[0].name] = bias.values()
            self.report.folded.append(layer.name)

    def _vector(
        self, layer: LayerToFill, leaves: dict[str, Tensor], leaf: str, start: float
    ) -> np.ndarray:
        if leaf not in leaves:
            return np.full(layer.shapes[leaf], start, dtype=self.dtype)
        self._mark_used(leaves[leaf])
        values = checked(leaves[leaf], leaves[leaf].values(), self.dtype)
        if leaf == "running_var" and values.min(initial=0) < 0:
            raise FileFormatError(f"{leaves[leaf].name} has a variance below 0")
        return values

    def _mark_used(self, tensor: Tensor) -> None:
        self.used += [tensor, *tensor.parts]


def _check_shared(tensors: list[Tensor], groups: list[int], kept: list[Entries]) -> None:
    """Refuse matrices whose nonzeros are not whole shared columns."""
    for tensor, group, (keys, values) in zip(tensors, groups, kept, strict=True):
        zeros = len(keys) - np.count_nonzero(values)
        if zeros:
            expected = (
                f"1, or a density to choose shared columns by: {tensor.name} has {zeros} zeros "
                f"beside nonzeros in the same column of a group"
            )
            raise ParameterError("group", group, expected)


def _first_values(leaf: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return what a tensor of a layer without sparse weights begins with, as the layers have it."""
    if len(shape) > 1 or leaf not in ("weight", "bias"):
        return rng.normal(0.0, 0.02, shape)
    return np.full(shape, float(leaf == "weight"))  # of a normalisation


def checked(tensor: Tensor, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return a tensor's values in a network's type, if they are finite in it."""
    with np.errstate(over="ignore"):
        values = values.astype(dtype, copy=False)
    if not np.isfinite(values).all():
        raise FileFormatError(f"{tensor.name} has values beyond {dtype}")
    return values


def _follows(name: str, other: str) -> bool:
    """Return True if a layer comes directly behind another one in the same chain."""
    (chain, _, number), (other_chain, _, other_number) = name.rpartition("."), other.rpartition(".")
    return chain == other_chain and int(other_number) == int(number) + 1
