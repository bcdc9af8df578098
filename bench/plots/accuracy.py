"""Pictures of accuracy: over seconds of training, and over the milliseconds of a step."""

from __future__ import annotations

import itertools
from typing import Any

from sparsecpu.bench.plots.looks import COLOURS, STYLES
from sparsecpu.experiments.plots.trade import Trained, draw_trade


def draw_race(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw the test error of all contestants over seconds.

    Each has a colour of its own; lines of a density have the same style.
    """
    from sparsecpu.bench.subjects.accuracy import label

    styles: dict[float, str] = {1.0: STYLES[0]}
    for result, colour in zip(results, itertools.cycle(COLOURS)):
        style = styles.setdefault(result["density"], STYLES[len(styles) % len(STYLES)])
        error = [100 * (1 - a) for a in result["accuracy"]]
        axes.plot(result["seconds"], error, style, marker="o", markersize=3, color=colour,
                  linewidth=1.4, label=label(result))  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}")
    axes.tick_params(labelsize=8, which="both")
    axes.set_xlabel("seconds of training, without compiling")
    axes.set_ylabel("test error, %")
    hidden = results[0]["hidden"].replace(",", "-")
    axes.set_title(f"digits28, 784-{hidden}-10: a dot per epoch", fontsize=10)
    axes.legend(frameon=False, fontsize=7)


def draw_step(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw what each network reached over what a step of it takes."""
    from sparsecpu.bench.subjects.accuracy import label

    lines: dict[str, list[Trained]] = {}
    dense: dict[str, Trained] = {}
    for result in results:
        error = 100 * (1 - result["accuracy"][-1])
        if result["kind"] == "sparsecpu":
            point = Trained(result["step_ms"], error, words=f"{result['density']:.2g}")
            lines.setdefault(f"group {result['group']}", []).append(point)
        else:
            dense[label(result)] = Trained(result["step_ms"], error)
    draw_trade(axes, lines, dense)
    axes.set_title("After all epochs; densities beside the dots", fontsize=10)
