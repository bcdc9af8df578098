"""Pictures of measurements, with matplotlib (the ``plot`` extra)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.experiments.plots.figures import figure, keep

_COLOURS = ("#2b6ca3", "#c8553d", "#4f8f5b", "#8a6bb1", "#b8860b", "#4d4d4d", "#d17ba5", "#5fa8a8")
_STYLES = ("-", "--", ":", "-.")
#: With more lines than this, the legend stands beside the axes.
_FEW = 6
#: Density, speed-up over the fastest dense contestant, and whether the latter is certain.
Point = tuple[float, float, bool]


def plot(kind: str, results: list[dict[str, Any]], document: dict[str, Any], path: Path) -> None:
    """Draw a benchmark's results into a .png, .svg or .pdf; the machine is named below."""
    fig, axes = figure(1, 1, figsize=(8, 5))
    draw = {
        "linear": _linear, "conv": _conv, "train": _train, "topology": _topology, "scale": _scale,
        "kernels": _kernels, "accuracy": _accuracy, "sources": _sources, "infer": _infer,
    }  # fmt: skip
    draw[kind](axes, results)
    machine = document["machine"]
    note = f"{machine['cpu']}, {machine['instruction_set']}, {machine['threads']} thread(s)"
    fig.supxlabel(f"{note}; {machine['date']}", fontsize=8, color="#666666")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    keep(fig, path)


def _conv(axes: Any, results: list[dict[str, Any]]) -> None:
    lines = {}
    for result in results:
        rival = min(result["rival_ms"].values(), default=float("nan"))
        lines[f"{result['case']}, batch {result['batch']}"] = [
            (1 - f["sparsity"], rival / f["ms"]["total"], f["dense_speedup"] is not None)
            for f in result["results"]
        ]
    _speedups(axes, lines, "one convolution")
    axes.set_title("Forward, dx and dW of a convolution beside PyTorch's", loc="left", fontsize=11)


def _speedups(axes: Any, lines: dict[str, list[Point]], what: str) -> None:
    """Draw speed-ups over density; those that are too noisy to print are hollow."""
    lines = {name: [p for p in points if np.isfinite(p[1])] for name, points in lines.items()}
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        axes.text(0.5, 0.5, "nothing dense ran: no ratio to draw", ha="center", fontsize=11)
        axes.set(xticks=[], yticks=[])
        return
    looks = _colours_and_styles(list(lines))
    for name, points in lines.items():
        x, y, clear = zip(*sorted(points), strict=True)
        colour, style = looks[name]
        axes.plot(x, y, style, color=colour, label=name, linewidth=1.6)
        faces = [colour if sure else "white" for sure in clear]
        axes.scatter(x, y, s=22, c=faces, edgecolors=colour, zorder=3)
    if not all(point[2] for points in lines.values() for point in points):
        axes.plot([], [], "o", color="#333333", markerfacecolor="white", markersize=5,
                  label="hollow: too noisy for a figure")  # fmt: skip
    _decorate_speedups(axes, [point for points in lines.values() for point in points], what)
    beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if len(lines) > _FEW else {}
    axes.legend(frameon=False, fontsize=8, **beside)


def _decorate_speedups(axes: Any, points: list[Point], what: str) -> None:
    """Draw the line of equal speed, labels and ticks."""
    axes.axhline(1, color="#333333", linewidth=1, linestyle="--")
    axes.annotate("as fast as dense", (0.99, 1), xycoords=("axes fraction", "data"), fontsize=8,
                  va="bottom", ha="right", color="#333333")  # fmt: skip
    axes.set(yscale="log", xlabel="density (fraction of weights kept), log scale", xscale="log",
             ylabel=f"{what}: time of the fastest dense / ours")  # fmt: skip
    densities = sorted({density for density, _, _ in points})
    axes.set_xticks(densities, [f"{d:.2g}" for d in densities])
    axes.minorticks_off()
    most = 2 * max(speedup for _, speedup, _ in points)
    ticks = [tick for tick in (0.5, 1, 2, 4, 8, 16, 32, 64, 128) if tick <= most]
    axes.set_yticks(ticks, [f"{t:g}x" for t in ticks])
    axes.invert_xaxis()


def _colours_and_styles(names: list[str]) -> dict[str, tuple[str, str]]:
    """Return each line's colour and style: lines that differ only in the batch share a colour."""
    colours: dict[str, str] = {}
    batches: dict[str, str] = {}
    found = {}
    for name in names:
        what, _, rest = name.partition(", batch ")
        colour = colours.setdefault(what, _COLOURS[len(colours) % len(_COLOURS)])
        batch = rest.split(" ")[0]
        found[name] = colour, batches.setdefault(batch, _STYLES[len(batches) % len(_STYLES)])
    return found


def _linear(axes: Any, results: list[dict[str, Any]]) -> None:
    from sparsecpu.bench.measuring.speedups import break_even

    lines: dict[str, list[Point]] = {}
    for result in results:
        group = result["results"]
        found, measured = break_even(group)
        name = f"{result['n_out']}x{result['n_in']}, batch {result['batch']}"
        if found is not None and measured:
            name += f" (break-even at {found:.0%} sparsity)"
            axes.plot([1 - found], [1], "|", color="#333333", markersize=14)
        lines[name] = [
            (1 - r["sparsity"], r["dense_ms"] / r["ms"]["total"], r["dense_speedup"] is not None)
            for r in group
        ]
    _speedups(axes, lines, "forward + dx + dW")
    axes.set_title("One sparse layer beside the fastest dense one", loc="left", fontsize=11)


def _points(result: dict[str, Any]) -> list[Point]:
    """Return the points of a network, from ``rival_ms`` and ``results``."""
    ms = result["rival_ms"]
    return [
        (1 - f["sparsity"], ms.get(f["fastest_dense"], np.nan) / f["ms"],
         f["dense_speedup"] is not None)
        for f in result["results"]
    ]  # fmt: skip


def _train(axes: Any, results: list[dict[str, Any]]) -> None:
    lines = {}
    for result in results:
        lines[result["network"]] = _points(result)
    _speedups(axes, lines, "training step")
    axes.set_title("A whole training step beside the fastest dense one", loc="left", fontsize=11)


def _infer(axes: Any, results: list[dict[str, Any]]) -> None:
    lines = {}
    for result in results:
        lines[f"{result['network']}, batch {result['batch']}"] = _points(result)
    _speedups(axes, lines, "prediction")
    axes.set_title("A prediction beside the fastest dense one", loc="left", fontsize=11)


def _topology(axes: Any, results: list[dict[str, Any]]) -> None:
    names = [f"{r['algorithm']}\n{'-'.join(map(str, r['sizes']))}" for r in results]
    places = range(len(results))
    observing = [100 * r["watch_ms"] / r["interval_ms"] for r in results]
    updates = [100 * r["update_ms"] / r["interval_ms"] for r in results]
    axes.barh(places, observing, color=_COLOURS[0], label="observing gradients")
    axes.barh(places, updates, left=observing, color=_COLOURS[1], label="the update")
    axes.set_yticks(places, names, fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="per cent of the time of an epoch's steps")
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("What a change of the topology costs", loc="left", fontsize=11)


def _scale(axes: Any, results: list[dict[str, Any]]) -> None:
    for lean, marker, title in ((False, "o-", "normal"), (True, "s-", "lean")):
        found = [r for r in results if r["lean"] == lean and "ms" in r]
        neurons, colour = [r["neurons"] for r in found], _COLOURS[int(lean)]
        axes.loglog(neurons, [r["ms"] for r in found], marker, color=colour, label=title)
        if lean or not found:
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


def _kernels(axes: Any, results: list[dict[str, Any]]) -> None:
    sizes = [r["kib"] for r in results]
    axes.plot(sizes, [r["random_gflops"] for r in results], "o-", color="#333333",
              label="the limit: random loads of 512 bytes")  # fmt: skip
    for colour, part in zip(_COLOURS, ("forward", "dx", "dw"), strict=False):
        points = [(r["kib"], r[part]) for r in results if part in r]
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, "s", color=colour, label=f"{part}, 95 % sparsity", markersize=5)
    axes.set(xscale="log", xlabel="size of the tile, KiB", ylabel="GFLOP/s, one thread")
    axes.set_xticks(sizes, [f"{s:g}" for s in sizes], fontsize=8)
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("How fast the caches deliver, and how near the kernels come",
                   loc="left", fontsize=11)  # fmt: skip


def _accuracy(axes: Any, results: list[dict[str, Any]]) -> None:
    from sparsecpu.bench.subjects.accuracy import label

    for colour, result in zip(_COLOURS, results, strict=False):
        style = "-" if result["kind"] == "sparsecpu" else "--"
        error = [100 * (1 - a) for a in result["accuracy"]]
        axes.plot(result["seconds"], error, style, marker="o", markersize=3, color=colour,
                  linewidth=1.6, label=label(result))  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}")
    axes.tick_params(labelsize=8, which="both")
    axes.set_xlabel("seconds of training, compiling included")
    axes.set_ylabel("test error, %")
    hidden = results[0]["hidden"].replace(",", "-")
    axes.set_title(f"digits28, 784-{hidden}-10: a dot per epoch", fontsize=10)
    axes.legend(frameon=False, fontsize=8)


def _sources(axes: Any, results: list[dict[str, Any]]) -> None:
    layers = list(results[0]["mass"])
    for number, layer in enumerate(layers):
        places = [i + (number - (len(layers) - 1) / 2) * 0.25 for i in range(len(results))]
        axes.bar(places, [r["mass"][layer] for r in results], width=0.23,
                 color=_COLOURS[number], label=f"layer {layer}")  # fmt: skip
    names = [r["source"] for r in results]
    axes.set_xticks(range(len(results)), names, fontsize=7, rotation=20, ha="right")
    axes.set_ylabel("momentum found, over that of the best choice")
    axes.set_ylim(0, 1.15)  # room for the legend
    axes.legend(frameon=False, fontsize=8, ncols=len(layers))
