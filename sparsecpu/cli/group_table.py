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
        f"{'layer':<14}{'shape':>13}{'density':>8}"
        + "".join(f"{name:>8}" for name in names) + f"{'':>2}takes",
    ]  # fmt: skip
    for choice in choices:
        shape = " x ".join(map(str, choice.shape))
        times = (f"{choice.ms[name]:.3f}" if name in choice.ms else "-" for name in names)
        lines.append(
            f"{choice.name:<14}{shape:>13}{choice.density:>8.3f}"
            + "".join(f"{time:>8}" for time in times) + f"{'':>2}{choice.takes}"
        )  # fmt: skip
    return "\n".join(lines)
