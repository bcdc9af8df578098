"""Layers as files describe them: each option of the type that its layer takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from sparsecpu.errors import FileFormatError
from sparsecpu.layers import KINDS
from sparsecpu.step.plain_values import (
    Kind,
    anything,
    listed,
    maybe,
    one_of,
    real,
    shown,
    table,
    text,
    truth,
    whole,
)


def described_layer(entry: Any, where: str) -> dict[str, Any]:
    """Check the description of a layer, and of those inside it; see ``plain_values``.

    The arguments of the layer's class say what there may be, and of which type; what a type leaves
    open, the layer itself checks when it is made.
    """
    table({"kind": one_of(KINDS)}, others=anything)(entry, where)
    made: Any = KINDS[entry["kind"]]
    known = _arguments(made)
    ours = made.__module__.startswith("sparsecpu.")
    for name, value in entry.items():
        if name in known:
            _TYPES.get(str(known[name].annotation), anything)(value, f"{where}.{name}")
        elif name != "kind" and ours:
            raise FileFormatError(f"{where}: {made.kind} takes no option {shown(name)}")
    return entry


@cache
def _arguments(made: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(made).parameters


#: What stands behind the arguments of layers, as text, and what a file may say there.
_TYPES: dict[str, Kind] = {
    "int": whole(),
    "float": real(),
    "bool": truth,
    "str": text,
    "int | None": maybe(whole()),
    "float | None": maybe(real()),
    "Iterable[Layer]": listed(described_layer),
    "Iterable[Layer] | None": maybe(listed(described_layer)),
    "Iterable[Iterable[Layer]]": listed(listed(described_layer)),
}
