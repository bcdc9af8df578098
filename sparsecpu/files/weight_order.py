"""The order in which the weights of a description come, by their names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sparsecpu.files.archive import natural_order
from sparsecpu.layers import KINDS
from sparsecpu.layers.composite import Composite
from sparsecpu.networks.description import Architecture


def in_order(names: Iterable[str], architecture: Architecture) -> list[str]:
    """Return the names of weights in the order of ``architecture.weight_shapes``.

    Layers go by their numbers, chains inside of a layer as it lists them, anything else by name.
    """
    entries = [{"kind": layer.kind, **layer.options} for layer in architecture.layers]
    return sorted(names, key=lambda name: _place(name, entries))


def _place(name: str, entries: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Return what a name is sorted by, within listed layers."""
    number, _, rest = name.partition(".")
    if not number.isdecimal() or int(number) >= len(entries):
        return natural_order(name)
    here = natural_order(number)
    options = {key: value for key, value in entries[int(number)].items() if key != "kind"}
    kind = KINDS[entries[int(number)]["kind"]]
    if not issubclass(kind, Composite):
        return here + natural_order(rest)
    for position, (chain, inner) in enumerate(kind.entries(options).items()):
        if rest.startswith(f"{chain}."):
            found = _place(rest.removeprefix(f"{chain}."), list(inner))
            return [*here, (position, ""), *found]
    return here + natural_order(rest)
