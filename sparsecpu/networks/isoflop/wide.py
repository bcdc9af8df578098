"""Sparse wide: all widths are multiplied, and the FLOPs stay what they were."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.networks.description import Architecture
from sparsecpu.networks.isoflop.placed_layers import (
    Entry,
    PlacedLayer,
    fixed,
    flops,
    kept_dense,
    rewrite,
    weighted_layers,
)
from sparsecpu.networks.isoflop.scale import SLACK, scale_of
from sparsecpu.sparse.densities import allocate


def sparse_wide(
    architecture: Architecture, sparsity: float, distribution: str = "uniform"
) -> Architecture:
    r"""Multiply all widths by :math:`k = \sqrt{1 / (1 - s)}` and keep as many FLOPs as before.

    Layers that stay dense get wider too, so the others are made sparser than s, until the FLOPs of
    the whole network are within 0.1 % of the dense one's.

    Parameters
    ----------
    architecture : Architecture
        The dense network.
    sparsity : float
        s, in [0, 1).
    distribution : {"uniform", "erk", "er"}
        How the sparse layers divide the weights among them.

    Raises
    ------
    ParameterError
        If the layers that stay dense take more than all FLOPs.
    """
    factor = math.sqrt(scale_of(sparsity))
    kept = kept_dense(architecture)

    def widen(layer: PlacedLayer, number: int) -> list[Entry]:
        size = "out_features" if layer.kind == "linear" else "out_channels"
        if number == kept[-1]:
            return [fixed(layer.entry)]
        wide = {**layer.entry, size: int(layer.entry[size] * factor + SLACK)}
        return [fixed(wide) if number in kept else wide]

    wide = rewrite(architecture, widen, lambda entry: _widen_other(entry, factor))
    wide = replace(wide, name=f"{architecture.name}-wide-{sparsity:g}")
    return _match(wide, flops(architecture), sparsity, distribution)


def _widen_other(entry: Entry, factor: float) -> Entry:
    """Return a layer that has no weights of its own, for inputs that are so much wider."""

    def wider(size: int) -> int:
        return int(size * factor + SLACK)

    if entry["kind"] == "subsample":
        return {**entry, "channels": wider(entry["channels"])}
    if entry["kind"] == "embedding":
        return {**entry, "features": wider(entry["features"])}
    if entry["kind"] == "attention":
        features, heads = int(entry["features"]), int(entry["heads"])
        size = wider(entry.get("head_size") or features // heads)
        found = {**entry, "features": wider(features), "head_size": size}
        for name in ("query", "key", "value"):  # the heads share out what is wider
            *before, last = entry[name]
            found[name] = [*before, {**last, "out_features": heads * size}]
        return found
    return entry


def _match(
    architecture: Architecture, wanted: int, sparsity: float, distribution: str
) -> Architecture:
    """Distribute as many weights over the layers that are not fixed as ``wanted`` FLOPs allow."""
    layers = weighted_layers(architecture)
    free = [layer for layer in layers if not layer.entry.get("fixed")]
    spent = 2 * sum(layer.products for layer in layers if layer.entry.get("fixed"))
    if not free or spent >= wanted:
        expected = f"less: the dense layers of {architecture.name} take all FLOPs"
        raise ParameterError("sparsity", sparsity, expected)
    shapes = [layer.weight_shape for layer in free]
    uses = np.array([layer.uses for layer in free], dtype=np.int64)

    def counts(density: float) -> list[int]:
        wanted = allocate(shapes, max(density, 1e-12), distribution)
        return [layer.nearest_nnz(nnz) for layer, nnz in zip(free, wanted, strict=True)]

    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if spent + 2 * int(np.dot(counts(middle), uses)) > wanted:
            high = middle
        else:
            low = middle
    given = iter(counts(low))

    def set_nnz(layer: PlacedLayer, number: int) -> list[Entry]:
        stays = layer.entry.get("fixed")
        return [layer.entry if stays else {**layer.entry, "nnz": next(given)}]

    return rewrite(architecture, set_nnz)
