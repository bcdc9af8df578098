"""Learning curves of a comparison: mean losses over epochs or steps, a panel per density."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from sparsecpu.experiments.comparison.histories import MeanCurves
from sparsecpu.experiments.curves import far_apart
from sparsecpu.experiments.plots.figures import figure, keep
from sparsecpu.experiments.plots.style import look, plain_log, styled

_SIGNS = 10  # on a line


@styled()
def plot_comparison_curves(
    shown: Mapping[float, Sequence[MeanCurves]], path: Path | str, over: str = "epochs"
) -> None:
    """Draw training losses of each density in a panel of its own, all at one scale, into a file."""
    from matplotlib.ticker import MaxNLocator

    columns = min(2, len(shown))
    rows = math.ceil(len(shown) / columns)
    drawing, axes = figure(
        rows, columns, figsize=(4.8 * columns, 3.0 * rows + 0.5), squeeze=False, sharey=True
    )
    labels = list(dict.fromkeys(one.label for some in shown.values() for one in some))
    lines = {}
    for axis, (density, some) in zip(axes.flat, shown.items(), strict=False):
        for one in some:
            places, losses = one.curves.series("loss", over)
            number, every = labels.index(one.label), max(1, len(places) // _SIGNS)
            marks = (number % every, every)
            (line,) = axis.plot(places, losses, markevery=marks, **look(number))
            lines[one.label] = line
        axis.set_title(f"density {density:g}")
        axis.set_xlabel("epoch" if over == "epochs" else "step")
        if axis in axes[:, 0]:
            axis.set_ylabel("training loss")
        axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
        axis.grid(True)
    values = [v for axis in axes.flat for line in axis.get_lines() for v in line.get_ydata()]
    if far_apart(values):
        plain_log(axes.flat[0], "y")
    for axis in list(axes.flat)[len(shown) :]:
        axis.remove()
    handles = [lines[label] for label in labels]
    wide = max(1, 120 // (8 + max(map(len, labels))))
    drawing.legend(handles, labels, loc="outside upper left", ncols=wide, handlelength=3.5)
    keep(drawing, path)
