"""What a user may say of groups: one size, or for each layer a size or its form as a matrix.

``DENSE`` stands for a layer whose rows stand alone and that computes as a full matrix (see
``Sequential.autotune``); ``AUTO`` for what is fastest on this machine (see ``group_choice``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.layers import Sequential, set_forms, tunable_layers
from sparsecpu.networks.description import Architecture
from sparsecpu.sparse.groups import SIZES, checked_group

AUTO, DENSE = "auto", "dense"
#: A size for all layers, or an entry for each.
Group = int | Sequence[Any]
_ONE = ", ".join(map(str, SIZES))


def read_group(text: Any) -> Group | str:
    """Return what a command line says: ``"4"``, ``"4,dense,1"`` or ``"auto"``."""
    parts = [part.strip().lower() for part in text.split(",")] if isinstance(text, str) else []
    known = {**{str(size): size for size in SIZES}, DENSE: DENSE}
    if parts == [AUTO]:
        return AUTO
    if not parts or not known.keys() >= set(parts) or parts == [DENSE]:
        expected = f"{_ONE} or {AUTO}; or for each layer one of these or {DENSE}, such as 4,4,1"
        raise ParameterError("group", text, expected)
    found: list[Any] = [known[part] for part in parts]
    return found[0] if len(found) == 1 else found


def group_text(group: Iterable[int | str]) -> str:
    """Return an entry for each layer as ``read_group`` reads them."""
    return ",".join(map(str, group))


def check_group(name: str, group: Any) -> None:
    """Refuse what is neither a size, nor ``AUTO``, nor a list of sizes and ``DENSE``."""
    if isinstance(group, str) and group == AUTO:
        return
    listed = isinstance(group, (list, tuple))
    try:
        for entry in group if listed else [group]:
            if not (listed and isinstance(entry, str) and entry == DENSE):
                checked_group(entry)
    except ParameterError:
        expected = f"{_ONE}, {AUTO!r}, or a list with a size or {DENSE!r} for each layer"
        raise ParameterError(name, group, expected) from None


def in_groups(architecture: Architecture, group: Group) -> Architecture:
    """Return the same network in groups; ``DENSE`` stands for rows that stand alone here."""
    if isinstance(group, (list, tuple)):
        return architecture.in_groups([1 if entry == DENSE else entry for entry in group])
    return architecture.in_groups(group)


def take_forms(network: Sequential, group: Group) -> None:
    """Put those layers of a network into dense form for which ``group`` says so."""
    entries = group if isinstance(group, (list, tuple)) else []
    names = [name.removesuffix(".weight") for name in network.sparse_parameters()]
    dense = [name for name, entry in zip(names, entries, strict=False) if entry == DENSE]
    known = dict(tunable_layers(network))
    for name in dense:
        if name not in known:
            raise ParameterError("group", DENSE, f"a size for layer {name}, which has one form")
    set_forms(network, dict.fromkeys(dense, DENSE))
