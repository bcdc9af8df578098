"""Learning curves: loss, scores, learning rate and densities over the epochs of some runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sparsecpu.experiments.curves import (
    HELD_OUT,
    TRAINING,
    VALIDATION,
    Curves,
    Series,
    far_apart,
    looks,
)
from sparsecpu.experiments.plots.figures import figure, keep
from sparsecpu.experiments.plots.style import (
    COLOURS,
    DASHES,
    FAINT,
    INK,
    MARKERS,
    legend,
    look,
    percent,
    plain_log,
    styled,
)

#: Names of the panels, in their order.
PANELS = ("loss", "score", "learning_rate", "density")
#: Runs whose densities are drawn, each in a panel of its own.
MOST_DENSITIES = 6
#: Layers that a legend names; more of them are coloured from the first to the last.
_NAMED = 12
_SIGNS = 10  # on a line, so that it stays one
#: Names of scores in evaluations within epochs.
_SCORES = ("accuracy", "r2")


def measured(runs: Sequence[Curves]) -> list[str]:
    """Return the names of the panels for which some run has measured anything."""
    return [panel for panel in PANELS if any(_has(run, panel) for run in runs)]


def _has(run: Curves, panel: str) -> bool:
    if panel == "density":
        return any(values for _, values in run.densities().values())
    if panel == "learning_rate":
        return bool(run.series(panel)[1])
    return any(values for _, values in _kinds(run, panel, "epochs").values())


def _kinds(run: Curves, panel: str, over: str) -> dict[str, Series]:
    """Return the series of a panel of losses or scores, by what they were measured on."""
    if panel == "loss":
        found = {
            TRAINING: run.series("loss", over),
            VALIDATION: run.series("validation_loss", over),
            HELD_OUT: run.held_out(("loss",), over),
        }
    else:
        found = {
            TRAINING: run.series("train_score", over),
            VALIDATION: run.series("validation_score", over),
            HELD_OUT: run.held_out(_SCORES, over),
        }
    return {kind: series for kind, series in found.items() if series[1]}


@styled()
def plot_curves(runs: Sequence[Curves], path: Path | str, over: str = "epochs") -> None:
    """Draw the curves of some runs over one another into a file; ``over`` epochs or steps."""
    panels: list[tuple[str, Sequence[Curves]]] = []
    for panel in measured(runs):
        if panel != "density":
            panels.append((panel, runs))
            continue
        with_densities = [run for run in runs if _has(run, panel)]
        panels += [(panel, [run]) for run in with_densities[:MOST_DENSITIES]]
    rows = math.ceil(len(panels) / 2)
    drawing, axes = figure(rows, 2, figsize=(9.6, 3.0 * rows), squeeze=False)
    for axis, (panel, some) in zip(axes.flat, panels, strict=False):
        draw_panel(axis, panel, some, over, alone=len(runs) == 1)
    _share([axis for axis, (panel, _) in zip(axes.flat, panels, strict=False)
            if panel == "density"])  # fmt: skip
    for axis in list(axes.flat)[len(panels) :]:
        axis.remove()
    if len(runs) == 1:
        drawing.suptitle(runs[0].name, fontsize=10, color=INK)
    else:
        _name_runs(drawing, runs)
    keep(drawing, path)


def _share(axes: Sequence[Any]) -> None:
    """Give the densities of several runs one scale, so that they can be compared."""
    if len(axes) < 2:
        return
    values = [v for axis in axes for line in axis.get_lines() for v in line.get_ydata()]
    far = far_apart(values)
    ends = (min(values) / 1.25, max(values) * 1.25) if far else (0.0, max(values) * 1.05)
    for axis in axes:
        axis.set_ylim(*ends)
        if far:
            plain_log(axis, "y")


def _name_runs(drawing: Any, runs: Sequence[Curves]) -> None:
    """Name runs by their signs, and what lines mean by their dashes, above all panels."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_colour(n), marker=_sign(n), label=run.name)
        for n, run in enumerate(runs)
    ]
    for kind, dashes in _dashes(runs).items():
        handles.append(Line2D([], [], color=FAINT, linestyle=dashes, label=kind))
    widest = max(len(str(handle.get_label())) for handle in handles)
    columns = max(1, min(len(handles), 110 // (8 + widest)))
    drawing.legend(handles=handles, loc="outside upper left", ncols=columns, handlelength=3.5)


def _looks(runs: Sequence[Curves]) -> dict[str, int]:
    """Return the look of lines by what they were measured on, the same in all panels."""
    return looks(
        kind for run in runs for panel in ("loss", "score") for kind in _kinds(run, panel, "epochs")
    )


def _dashes(runs: Sequence[Curves]) -> dict[str, Any]:
    """Return the dashes of lines, where colours and signs stand for runs; none for a lone kind."""
    found = _looks(runs)
    return {kind: DASHES[number] for kind, number in found.items()} if len(found) > 1 else {}


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _sign(number: int) -> str:
    return MARKERS[number % len(MARKERS)]


def draw_panel(
    axis: Any, panel: str, runs: Sequence[Curves], over: str = "epochs", *, alone: bool = True
) -> None:
    """Draw one panel; ``alone`` is True if there is one run, whose lines are named here."""
    from matplotlib.ticker import MaxNLocator

    draw: Callable[..., None] = {"density": _densities, "learning_rate": _rates}.get(panel, _scores)
    axis.set_xlabel("epoch" if over == "epochs" else "step")
    axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axis.grid(True)
    axis.set_ylabel(_label(panel, runs))
    draw(axis, panel, runs, over, alone)


def _label(panel: str, runs: Sequence[Curves]) -> str:
    if panel == "score":
        names = {run.score for run in runs if _has(run, panel)}
        return names.pop() if len(names) == 1 else "score"
    return panel.replace("_", " ")


def _line(axis: Any, series: Series, number: int, **options: Any) -> None:
    """Draw a series, with a sign here and there, at other places than the lines beside it."""
    every = max(1, len(series[0]) // _SIGNS)
    axis.plot(*series, markevery=(number % every, every), **options)


def _scores(axis: Any, panel: str, runs: Sequence[Curves], over: str, alone: bool) -> None:
    numbers, dashes = _looks(runs), _dashes(runs)
    for number, run in enumerate(runs):
        for kind, series in _kinds(run, panel, over).items():
            if alone:
                _line(axis, series, numbers[kind], label=kind, **look(numbers[kind]))
                continue
            fill = "none" if dashes and kind == TRAINING else "full"
            _line(axis, series, number, color=_colour(number), marker=_sign(number),
                  fillstyle=fill, linestyle=dashes.get(kind, "-"))  # fmt: skip
    if panel == "loss":
        _spread(axis)
    elif axis.get_ylabel() == "accuracy":
        percent(axis.yaxis)
    elif axis.get_ylim()[0] < -1.0:  # R² has no end below, and says no more there
        axis.set_ylim(-1.0, 1.05)
    best = runs[0].best(over) if alone else None
    if best is not None:
        axis.axvline(best, color=FAINT, linewidth=0.9, linestyle=DASHES[2], label="epoch kept")
    legend(axis)


def _spread(axis: Any) -> bool:
    """Make the scale logarithmic where values differ by much; return False where it stays."""
    far = far_apart(v for line in axis.get_lines() for v in line.get_ydata())
    if far:
        plain_log(axis, "y")
    return far


def _rates(axis: Any, panel: str, runs: Sequence[Curves], over: str, alone: bool) -> None:
    for number, run in enumerate(runs):
        signs = {} if alone else {"marker": _sign(number)}
        _line(axis, run.series(panel, over), number, color=_colour(number), **signs)
    axis.set_ylim(bottom=0)


def _densities(axis: Any, panel: str, runs: Sequence[Curves], over: str, alone: bool) -> None:
    """Draw the density of every layer of one run; of several runs each has its own colour."""
    layers = {n: series for n, series in runs[0].densities(over).items() if series[1]}
    few = len(layers) <= _NAMED
    for place, (name, series) in enumerate(layers.items()):
        if few:
            _line(axis, series, place, label=f"layer {name}", **look(place))
        else:
            axis.plot(*series, color=_shade(place, len(layers)), linewidth=1.1)
    if not alone:
        axis.set_title(f"density of {runs[0].name}")
    if not _spread(axis):
        axis.set_ylim(bottom=0)
    if few:
        legend(axis)
    else:
        _colour_bar(axis, len(layers))


def _shade(number: int, count: int) -> Any:
    from matplotlib import colormaps

    return colormaps["viridis"](0.92 * number / max(1, count - 1))


def _colour_bar(axis: Any, count: int) -> None:
    """Say which colour is which layer, where there are too many to name."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap

    colours = ListedColormap([_shade(number, count) for number in range(count)])
    scale = ScalarMappable(cmap=colours)
    scale.set_clim(0.5, count + 0.5)
    bar = axis.figure.colorbar(scale, ax=axis, ticks=[1, count])
    bar.set_label(f"layer, 1 to {count}")
