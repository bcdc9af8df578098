"""The picture by which to choose a group size: test error over the milliseconds of a step."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sparsecpu.experiments.plots.style import INK, legend, look, plain_log

#: Dense networks may lie close together: the legend tells them apart, not words beside them.
DENSE = "*dhp8<>"


class Trained(NamedTuple):
    """What training gave: milliseconds per step, test error in per cent, and what to write there.

    ``half`` is half of a 95 % interval of the error.
    """

    ms: float
    error: float
    half: float = 0.0
    words: str = ""


def draw_trade(
    axes: Any, lines: Mapping[str, Sequence[Trained]], dense: Mapping[str, Trained]
) -> None:
    """Draw sparse networks as lines through their densities, and dense ones as signs.

    Lower is more accurate, and further left is faster: a line that lies below and to the left of
    another is the better choice.
    """
    for number, (name, points) in enumerate(lines.items()):
        own = sorted(points)
        drawn = axes.errorbar(
            [p.ms for p in own], [p.error for p in own], yerr=[p.half for p in own], label=name,
            **look(number),
        )  # fmt: skip
        for p in own:
            axes.annotate(p.words, (p.ms, p.error), fontsize=7, xytext=(4, 3),
                          textcoords="offset points", color=drawn[0].get_color())  # fmt: skip
    for (name, p), marker in zip(dense.items(), itertools.cycle(DENSE)):
        axes.errorbar([p.ms], [p.error], yerr=[p.half], fmt=marker, color=INK, markersize=8,
                      alpha=0.7, label=name)  # fmt: skip
    axes.set(xlabel="milliseconds per training step", ylabel="test error, %")
    plain_log(axes, "x")
    plain_log(axes, "y")
    axes.grid(True)
    legend(axes)
