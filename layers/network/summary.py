"""A network as a table, in 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from sparsecpu.sparse.parameter import SparseParameter

if TYPE_CHECKING:
    from sparsecpu.layers.sequential import Sequential

_HEADS = ("layer", "nnz", "of", "density", "bytes", "FLOPs", "dense")
#: Characters of a line, and the least that the names of layers have.
_WIDE, _NAMES = 80, 20


class _Row(NamedTuple):
    """A layer without weights, or weights; numbers of the latter are as ``_HEADS`` has them."""

    name: str
    numbers: Sequence[str] = ()


def summary(network: Sequential) -> str:
    """Return the table; see ``Sequential.summary``."""
    rows = [_Row(_HEADS[0], _HEADS[1:])]
    stored = sparse = dense = 0
    for i, layer in enumerate(network.layers):
        found = layer.parameters().items()
        weights = [(n, p) for n, p in found if isinstance(p, SparseParameter)]
        name = f"{i} {layer.describe()}"
        if len(weights) != 1:
            rows.append(_Row(name))
        for inner, p in weights:
            flops = 2 * p.nnz * p.uses, 2 * p.pattern.size * p.uses
            stored += p.stored_bytes
            sparse, dense = sparse + flops[0], dense + flops[1]
            name = f"  {i}.{inner}" if len(weights) > 1 else name
            rows.append(_Row(name, _numbers(p.nnz, p.pattern.size, p.stored_bytes, *flops)))
    whole = _numbers(network.nnz, network.size, stored, sparse, dense)
    return _lines([*rows, _Row("all weights", whole)])


def _numbers(nnz: int, size: int, stored: int, sparse: int, dense: int) -> list[str]:
    """Return what stands behind a name; what is only compared has three digits."""
    density = f"{nnz / size:.4f}" if size else ""
    return [f"{nnz:,}", f"{size:,}", density, *map(_short, (stored, sparse, dense))]


def _short(value: int) -> str:
    """Return a number in three digits and a letter, exactly where it is below a thousand."""
    letters = iter("kMGTPE")
    number, letter = float(value), ""
    while round(number, 1) >= 1000:
        number, letter = number / 1000, f" {next(letters)}"
    digits = 0 if not letter or number >= 100 else 1 if number >= 10 else 2
    return f"{number:.{digits}f}{letter}"


def _lines(rows: Sequence[_Row]) -> str:
    """Return lines that fit; numbers go below a name that leaves no room for them."""
    columns = list(zip(*(row.numbers for row in rows if row.numbers), strict=True))
    widths = [max(map(len, column)) + 2 for column in columns]
    longest = max(len(row.name) for row in rows if row.numbers)
    names = min(longest, max(_NAMES, _WIDE - sum(widths)))
    lines = []
    for row in rows:
        numbers = "".join(f"{n:>{wide}}" for n, wide in zip(row.numbers, widths, strict=False))
        if numbers and len(row.name) > names:
            lines += [row.name, f"{'':<{names}}{numbers}"]
        else:
            lines.append(f"{row.name:<{names}}{numbers}" if numbers else row.name)
    return "\n".join(lines)
