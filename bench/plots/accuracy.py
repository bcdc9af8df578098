"""Pictures of accuracy: over seconds of training, and over the milliseconds of a step."""

from __future__ import annotations

import itertools
from typing import Any

from sparsecpu.experiments.plots.style import COLOURS, DASHES, INK, MARKERS, legend, plain_log
from sparsecpu.experiments.plots.trade import DENSE, Trained, draw_trade


def draw_race(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw the test error of all contestants over seconds.

    Sparse ones have the colour and the sign of their group, as in the picture beside it, and the
    dashes of their density; dense ones are ink, with signs of their own.
    """
    from sparsecpu.bench.subjects.accuracy import label

    groups = list(dict.fromkeys(r["group"] for r in results if r["kind"] == "sparsecpu"))
    sparse = list(dict.fromkeys(r["density"] for r in results if r["kind"] == "sparsecpu"))
    signs = itertools.cycle(DENSE)
    for result in results:
        error, look = [100 * (1 - a) for a in result["accuracy"]], {"color": INK, "alpha": 0.7}
        if result["kind"] == "sparsecpu":
            number = groups.index(result["group"])
            look = {"color": COLOURS[number % len(COLOURS)]}
            look["marker"] = MARKERS[number % len(MARKERS)]
            look["linestyle"] = DASHES[sparse.index(result["density"]) % len(DASHES)]
        else:
            look["marker"] = next(signs)
        axes.plot(result["seconds"], error, label=label(result), **look)
    plain_log(axes, "x")
    plain_log(axes, "y")
    axes.set_xlabel("seconds of training, after a warm-up")
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
