"""What ``sparsecpu import`` says of the tensors that it found, as wide as the terminal."""

from __future__ import annotations

from sparsecpu.experiments.tables import Column, Table, folded
from sparsecpu.files.interop.names import ImportReport


def import_table(report: ImportReport) -> str:
    """Return which tensor went where, and what else is to be said, for people."""
    rows = report.rows()
    wide = [max((len(row[at]) for row in rows), default=0) for at in range(5)]
    table = Table([
        Column("layer", max(wide[0], 5) + 1, left=True),
        Column("shape", max(wide[2], 5) + 1),
        Column("nnz", max(wide[3], 3) + 2),
        Column("density", 9),
        Column("  from", max(wide[1], 4) + 3, left=True, below="from"),
    ])  # fmt: skip
    lines = [table.heading()]
    for layer, source, shape, nnz, density in rows:
        inside = len(table.inside) == len(table.columns)
        lines.append(table.row([layer, shape, nnz, density, f"  {source}" if inside else source]))
    return "\n".join([*lines, *map(folded, report.notes())])
