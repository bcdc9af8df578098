"""Pictures of speed-ups over the fastest dense rival, over density."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.bench.measuring.speedups import known
from sparsecpu.experiments.plots.style import COLOURS, DASHES, INK, MARKERS, legend, plain_log

#: Density, speed-up over the fastest dense rival, and whether the latter is certain.
Point = tuple[float, float, bool]


def draw_linear(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw single layers, and where they are as fast as dense ones."""
    from sparsecpu.bench.measuring.precisions import break_evens

    def ended(own: list[dict[str, Any]], precision: str) -> str:
        sparsity, measured = break_evens(own, precision)
        if sparsity is None or not measured:
            return ""
        axes.plot([1 - sparsity], [1], "|", color=INK, markersize=14)
        return f" (break-even at {sparsity:.0%} sparsity)"

    _draw(axes, results, "forward + dx + dW", ended)
    axes.set_title("One sparse layer beside the fastest dense one")


def draw_conv(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw single convolutions."""
    _draw(axes, results, "one convolution")
    axes.set_title("Forward, dx and dW of a convolution beside PyTorch's")


def draw_attention(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw a bar for each shape and each precision of PyTorch's attention."""
    precisions = list(dict.fromkeys(p for r in results for p in r["results"][0]["by_precision"]))
    if not precisions:
        _say_that_nothing_ran(axes)
        return
    for number, precision in enumerate(precisions):
        beside = [r["results"][0]["by_precision"][precision] for r in results]
        ratios = [known(found) for found in beside]
        labels = ["too noisy" if ratio is None else f"{ratio:.1f}x" for ratio in ratios]
        places = np.arange(len(results)) + 0.4 * number - 0.2 * (len(precisions) - 1)
        bars = axes.bar(places, [ratio or 0.0 for ratio in ratios], 0.36,
                        label=f"beside PyTorch {precision}", color=COLOURS[number])  # fmt: skip
        axes.bar_label(bars, labels, fontsize=9)
    axes.axhline(1.0, color=INK, linewidth=1)
    axes.set_xticks(range(len(results)), [result["case"] for result in results], fontsize=9)
    way = "of tokens to those before them" if results[0]["causal"] else "of all tokens to all"
    axes.set(ylabel="forward + backward: PyTorch's time / ours", title=f"Attention {way}")
    axes.legend(frameon=False)


def draw_train(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw steps of whole networks."""
    _draw(axes, results, "training step")
    axes.set_title("A whole training step beside the fastest dense one")


def draw_infer(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw predictions of whole networks."""
    _draw(axes, results, "prediction")
    axes.set_title("A prediction beside the fastest dense one")


def _draw(
    axes: Any,
    results: list[dict[str, Any]],
    what: str,
    ended: Callable[[list[dict[str, Any]], str], str] = lambda own, precision: "",
) -> None:
    """Draw a line for each of our layers or networks and each size of groups.

    They stand over the fastest dense rival in float32; others are lines of their own.
    """
    rows = [found for result in results for found in result["results"]]
    precisions = list(dict.fromkeys(p for found in rows for p in found["by_precision"]))
    base, *others = precisions or ["dense"]
    several = {found["group"] for found in rows} != {1}
    lines: dict[str, list[Point]] = {}
    beside: dict[str, list[float]] = {other: [] for other in others}
    for result in results:
        for group in dict.fromkeys(found["group"] for found in result["results"]):
            own = [found for found in result["results"] if found["group"] == group]
            name = name_of(result) + (f", group {group}" if several else "")
            name += f", batch {result['batch']}" + (ended(own, base) if precisions else "")
            lines[name] = [_point(found, base) for found in own]
        for other in others:
            ms = [result["results"][0]["by_precision"][p]["dense_ms"] for p in (base, other)]
            beside[other].append(ms[0] / ms[1])
    if _draw_lines(axes, lines, f"{what}: time of the fastest dense {base} / ours"):
        _draw_others(axes, base, beside)


def name_of(result: dict[str, Any]) -> str:
    """Return what was timed: a network, or the shape of a layer."""
    if "n_out" in result:
        return f"{result['n_out']}x{result['n_in']}"
    return result.get("network") or result["case"]


def _say_that_nothing_ran(axes: Any) -> None:
    axes.text(0.5, 0.5, "nothing dense ran: no ratio to draw", ha="center", fontsize=11)
    axes.set(xticks=[], yticks=[])


def _point(found: dict[str, Any], precision: str) -> Point:
    """Return the point of one of ours beside the fastest dense rival of a precision."""
    ms = found["ms"]["total"] if isinstance(found["ms"], dict) else found["ms"]
    dense = found["by_precision"].get(precision, {"dense_ms": np.nan, "dense_speedup": None})
    return 1 - found["sparsity"], dense["dense_ms"] / ms, dense["dense_speedup"] is not None


def _draw_lines(axes: Any, lines: dict[str, list[Point]], label: str) -> bool:
    """Draw speed-ups over density; those that are too noisy to print are hollow."""
    lines = {name: [p for p in points if np.isfinite(p[1])] for name, points in lines.items()}
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        _say_that_nothing_ran(axes)
        return False
    looks = _looks(list(lines))
    for name, points in lines.items():
        x, y, clear = zip(*sorted(points), strict=True)
        axes.plot(x, y, label=name, **looks[name])
        noisy = [place for place, sure in enumerate(clear) if not sure]
        axes.plot([x[i] for i in noisy], [y[i] for i in noisy],
                  **{**looks[name], "linestyle": ""}, markerfacecolor="white")  # fmt: skip
    if not all(point[2] for points in lines.values() for point in points):
        axes.plot([], [], "o", color=INK, markerfacecolor="white",
                  label="hollow: too noisy for a figure")  # fmt: skip
    _decorate(axes, [point for points in lines.values() for point in points], label)
    legend(axes)
    return True


def _decorate(axes: Any, points: list[Point], label: str) -> None:
    """Draw labels and ticks."""
    axes.set(xlabel="density: the fraction of the weights that is kept", ylabel=label)
    plain_log(axes, "x", at={density for density, _, _ in points})
    most = 2 * max(speedup for _, speedup, _ in points)
    ticks = [tick for tick in (0.5, 1, 2, 4, 8, 16, 32, 64, 128) if tick <= most]
    plain_log(axes, "y", unit="x", at=ticks)
    axes.invert_xaxis()


def _draw_others(axes: Any, base: str, beside: dict[str, list[float]]) -> None:
    """Draw where ours is as fast as the fastest dense rival of each precision."""
    for precision, ratios in {base: [1.0], **beside}.items():
        for ratio in ratios:
            style = "--" if precision == base else ":"
            axes.axhline(ratio, color=INK, linewidth=1, linestyle=style)
        axes.annotate(f"as fast as dense {precision}", (0.99, max(ratios)), va="bottom", ha="right",
                      xycoords=("axes fraction", "data"), fontsize=8, color=INK)  # fmt: skip


def _looks(names: list[str]) -> dict[str, dict[str, Any]]:
    """Return how each line looks: those that differ only in the batch differ only in dashes."""
    things: dict[str, int] = {}
    batches: dict[str, int] = {}
    found = {}
    for name in names:
        what, _, rest = name.partition(", batch ")
        number = things.setdefault(what, len(things))
        batch = batches.setdefault(rest.split(" ")[0], len(batches))
        found[name] = {
            "color": COLOURS[number % len(COLOURS)],
            "marker": MARKERS[number % len(MARKERS)],
            "linestyle": DASHES[batch % len(DASHES)],
        }
    return found
