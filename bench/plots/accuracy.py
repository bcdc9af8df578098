"""Pictures of accuracy: over seconds of training, and over the milliseconds of a step."""

from __future__ import annotations

from typing import Any

from sparsecpu.experiments.plots.style import COLOURS, DASHES, MARKERS, legend, plain_log
from sparsecpu.experiments.plots.trade import Trained, draw_trade


def draw_race(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw the test error of all contestants over seconds.

    Each has a colour and a sign of its own; lines of a density have the same dashes.
    """
    from sparsecpu.bench.subjects.accuracy import label

    dashes = {1.0: DASHES[0]}
    for number, result in enumerate(results):
        dash = dashes.setdefault(result["density"], DASHES[len(dashes) % len(DASHES)])
        error = [100 * (1 - a) for a in result["accuracy"]]
        axes.plot(result["seconds"], error, linestyle=dash, label=label(result),
                  color=COLOURS[number % len(COLOURS)],
                  marker=MARKERS[number % len(MARKERS)])  # fmt: skip
    plain_log(axes, "x")
    plain_log(axes, "y")
    axes.set_xlabel("seconds of training, without compiling")
    axes.set_ylabel("test error, %")
    hidden = results[0]["hidden"].replace(",", "-")
    axes.set_title(f"digits28, 784-{hidden}-10: a sign per epoch")
    legend(axes)


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
    axes.set_title("After all epochs; densities beside the signs")
