"""What groups of rows cost here, as ``--group auto`` says it."""

from __future__ import annotations

from collections.abc import Iterable

from sparsecpu.experiments.tables import Column, Table
from sparsecpu.networks.group_choice import GroupChoice
from sparsecpu.networks.groups import DENSE
from sparsecpu.sparse.groups import SIZES


def group_table(choices: Iterable[GroupChoice], batch: int) -> str:
    """Return a line for each layer: milliseconds by what it may take, and what it takes."""
    names, choices = [*map(str, SIZES), DENSE], list(choices)
    table = Table([
        Column("layer", max(9, *(len(choice.name) + 1 for choice in choices), 0), left=True),
        Column("shape", 13, optional=True), Column("density", 8, optional=True),
        *(Column(name, 8) for name in names), Column("takes", 7),
    ])  # fmt: skip
    lines = [
        f"group: milliseconds forward and backward at batch {batch}",
        table.heading(),
    ]
    for choice in choices:
        times = [f"{choice.ms[name]:.3f}" if name in choice.ms else "-" for name in names]
        shape = " x ".join(map(str, choice.shape))
        cells = [choice.name, shape, f"{choice.density:.4f}", *times, str(choice.takes)]
        lines.append(table.row(cells))
    return "\n".join(lines)
