"""The linear layers inside of larger ones: drawn, or as descriptions list them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sparsecpu.layers.base import Layer
from sparsecpu.layers.linear import SparseLinear

#: Options of a layer that all linear layers inside it have.
_SHARED = ("bias", "gain", "group")


def linear_chains(
    sizes: dict[str, tuple[int, int]], given: dict[str, Iterable[Layer] | None], **options: Any
) -> dict[str, Iterable[Layer]]:
    """Return what is given by name, or else a linear layer with so many inputs and outputs.

    ``options`` are those of ``SparseLinear``; its generator draws one layer after the other.
    """
    chains: dict[str, Iterable[Layer]] = {}
    for name, (n_in, n_out) in sizes.items():
        layers = given[name]
        chains[name] = [SparseLinear(n_in, n_out, **options)] if layers is None else layers
    return chains


def linear_entries(
    sizes: dict[str, int], options: dict[str, Any]
) -> dict[str, Iterable[dict[str, Any]]]:
    """Return what options list by name, or else a linear layer with so many outputs."""
    shared = {"gain": 1.0, **{key: options[key] for key in _SHARED if key in options}}
    return {
        name: options.get(name) or [{"kind": "linear", "out_features": size, "nnz": None, **shared}]
        for name, size in sizes.items()
    }
