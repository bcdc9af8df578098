"""Pictures of what updates of the topology cost, of time over width, and of sources of momentum."""

from __future__ import annotations

from typing import Any

from sparsecpu.bench.plots.looks import COLOURS


def _grouped(result: dict[str, Any]) -> str:
    return f", group {result['group']}" if result["group"] > 1 else ""


def draw_topology(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw what observing gradients and updates take of an epoch."""
    names = [f"{r['algorithm']}\n{'-'.join(map(str, r['sizes']))}{_grouped(r)}" for r in results]
    places = range(len(results))
    observing = [100 * r["watch_ms"] / r["interval_ms"] for r in results]
    updates = [100 * r["update_ms"] / r["interval_ms"] for r in results]
    axes.barh(places, observing, color=COLOURS[0], label="observing gradients")
    axes.barh(places, updates, left=observing, color=COLOURS[1], label="the update")
    axes.set_yticks(places, names, fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="per cent of the time of an epoch's steps")
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("What a change of the topology costs", loc="left", fontsize=11)


def draw_scale(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw the time of a step over the number of neurons."""
    kinds = dict.fromkeys((r["lean"], r["group"]) for r in results if "ms" in r)
    for (lean, group), colour in zip(kinds, COLOURS, strict=False):
        found = [r for r in results if (r["lean"], r["group"]) == (lean, group) and "ms" in r]
        neurons, marker = [r["neurons"] for r in found], "s-" if lean else "o-"
        title = ("lean" if lean else "normal") + _grouped(found[0])
        axes.loglog(neurons, [r["ms"] for r in found], marker, color=colour, label=title)
        if (lean, group) != next(iter(kinds)):
            continue
        line = [found[0]["ms"] * n / neurons[0] for n in neurons]
        axes.loglog(neurons, line, "--", color="#888888", label="linear")
        for r in found:
            axes.annotate(r["level"], (r["neurons"], r["ms"]), fontsize=7, xytext=(0, 6),
                          textcoords="offset points", ha="center", color="#555555")  # fmt: skip
    axes.set(xlabel="hidden neurons, 8 connections each", ylabel="milliseconds per step")
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("Time over width; at each point, the cache level that holds a tile",
                   loc="left", fontsize=11)  # fmt: skip


def draw_sources(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw how much momentum each source finds, layer by layer."""
    layers = list(results[0]["mass"])
    for number, layer in enumerate(layers):
        places = [i + (number - (len(layers) - 1) / 2) * 0.25 for i in range(len(results))]
        axes.bar(places, [r["mass"][layer] for r in results], width=0.23,
                 color=COLOURS[number], label=f"layer {layer}")  # fmt: skip
    names = [r["source"] for r in results]
    axes.set_xticks(range(len(results)), names, fontsize=7, rotation=20, ha="right")
    axes.set_ylabel("momentum found, over that of the best choice")
    axes.set_ylim(0, 1.15)  # room for the legend
    axes.legend(frameon=False, fontsize=8, ncols=len(layers))
