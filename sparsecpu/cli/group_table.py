"""What groups of rows cost here, as ``--group auto`` says it."""

from __future__ import annotations

from collections.abc import Iterable

from sparsecpu.networks.group_choice import GroupChoice
from sparsecpu.networks.groups import DENSE
from sparsecpu.sparse.groups import SIZES


def group_table(choices: Iterable[GroupChoice], batch: int) -> str:
    """Return a line for each layer: milliseconds by what it may take, and what it takes."""
    names = [*map(str, SIZES), DENSE]
    lines = [
        f"group: milliseconds forward and backward at batch {batch}",
        _line("layer", "shape", "density", names, "takes"),
    ]
    for choice in choices:
        shape = " x ".join(map(str, choice.shape))
        times = [f"{choice.ms[name]:.3f}" if name in choice.ms else "-" for name in names]
        lines.append(_line(choice.name, shape, f"{choice.density:.4f}", times, str(choice.takes)))
    return "\n".join(lines)


def _line(name: str, shape: str, density: str, times: list[str], takes: str) -> str:
    return f"{name:<11}{shape:>14}{density:>8}{''.join(f'{t:>8}' for t in times)}{takes:>7}"
