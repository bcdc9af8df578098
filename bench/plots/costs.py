"""Pictures of what updates of the topology cost, of time over width, and of sources of momentum."""

from __future__ import annotations

from typing import Any

from sparsecpu.experiments.plots.style import (
    COLOURS,
    FAINT,
    INK,
    legend,
    look,
    percent,
    plain_log,
)


def _grouped(result: dict[str, Any]) -> str:
    return f", group {result['group']}" if result["group"] > 1 else ""


def draw_topology(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw what observing gradients and updates take of an epoch."""
    names = [f"{r['algorithm']}\n{'-'.join(map(str, r['sizes']))}{_grouped(r)}" for r in results]
    places = range(len(results))
    observing = [r["watch_ms"] / r["interval_ms"] for r in results]
    updates = [r["update_ms"] / r["interval_ms"] for r in results]
    axes.barh(places, observing, color=COLOURS[0], label="observing gradients")
    axes.barh(places, updates, left=observing, color=COLOURS[1], hatch="//", edgecolor="white",
              label="the update")  # fmt: skip
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    percent(axes.xaxis)
    axes.set(xlabel="share of the time of an epoch's steps")
    axes.set_title("What a change of the topology costs")
    legend(axes)


def draw_scale(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw the time of a step over the number of neurons."""
    kinds = dict.fromkeys((r["lean"], r["group"]) for r in results if "ms" in r)
    for number, (lean, group) in enumerate(kinds):
        found = [r for r in results if (r["lean"], r["group"]) == (lean, group) and "ms" in r]
        neurons = [r["neurons"] for r in found]
        title = ("lean" if lean else "normal") + _grouped(found[0])
        axes.plot(neurons, [r["ms"] for r in found], label=title, **look(number))
        if number > 0:
            continue
        line = [found[0]["ms"] * n / neurons[0] for n in neurons]
        axes.plot(neurons, line, "--", color=FAINT, linewidth=1, label="linear")
        for r in found:
            axes.annotate(r["level"], (r["neurons"], r["ms"]), fontsize=8, xytext=(-4, 4),
                          textcoords="offset points", ha="right", color=INK)  # fmt: skip
    plain_log(axes, "x")
    plain_log(axes, "y")
    axes.set(xlabel="hidden neurons, 8 connections each", ylabel="milliseconds per step")
    axes.set_title("Time over width; at each point, the cache level that holds a tile")
    legend(axes)


def draw_sources(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw how much momentum each source finds, layer by layer."""
    layers = list(results[0]["mass"])
    for number, layer in enumerate(layers):
        places = [i + (number - (len(layers) - 1) / 2) * 0.25 for i in range(len(results))]
        axes.bar(places, [r["mass"][layer] for r in results], width=0.23,
                 hatch=("", "//", "..", "xx")[number % 4], edgecolor="white",
                 color=COLOURS[number % len(COLOURS)], label=f"layer {layer}")  # fmt: skip
    names = [r["source"] for r in results]
    axes.set_xticks(range(len(results)), names, rotation=20, ha="right")
    axes.set_ylabel("momentum found, over that of the best choice")
    percent(axes.yaxis)
    legend(axes)
