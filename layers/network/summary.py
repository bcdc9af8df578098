"""A network as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsecpu.sparse.parameter import SparseParameter

if TYPE_CHECKING:
    from sparsecpu.layers.sequential import Sequential


def summary(network: Sequential) -> str:
    """Return the table; see ``Sequential.summary``."""
    head = f"{'layer':<34}{'nnz':>12}{'of':>14}{'density':>10}{'bytes':>12}"
    lines = [head + f"{'FLOPs':>16}{'dense':>16}"]
    sparse = dense = 0
    for i, layer in enumerate(network.layers):
        found = layer.parameters().items()
        weights = [(n, p) for n, p in found if isinstance(p, SparseParameter)]
        line = f"{i} {layer.describe()}"
        if len(weights) != 1:
            lines.append(line)
        for name, p in weights:
            line = f"  {i}.{name}" if len(weights) > 1 else line
            flops = 2 * p.nnz * p.uses, 2 * p.pattern.size * p.uses
            sparse, dense = sparse + flops[0], dense + flops[1]
            line = f"{line:<34}{p.nnz:>12,}{p.pattern.size:>14,}{p.density:>10.4f}"
            lines.append(line + f"{p.stored_bytes:>12,}{flops[0]:>16,}{flops[1]:>16,}")
    nnz, size = network.nnz, network.size
    line = f"{'all weights':<34}{nnz:>12,}{size:>14,}{network.density:>10.4f}{'':>12}"
    lines.append(line + f"{sparse:>16,}{dense:>16,}")
    return "\n".join(lines)
