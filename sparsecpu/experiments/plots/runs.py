"""Pictures of experiments: methods compared, and how a pattern changed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.experiments.plots.figures import figure, keep
from sparsecpu.experiments.plots.style import INK, legend, look, plain_log, styled
from sparsecpu.experiments.recipe import ALONE

#: Updates whose weights per input are drawn.
_PICTURES = 6


def _label(row: dict[str, Any]) -> str:
    """Return what a curve is called: the method, and its groups where rows stand in any."""
    group = row.get("group", ALONE)
    return row["method"] if group == ALONE else f"{row['method']}, group {group}"


@styled()
def plot_comparison(
    rows: list[dict[str, Any]], title: str, path: Path | str, loss: bool = False
) -> None:
    """Draw test error over density for every method, with 95 % bars, dense as a band.

    Scores are accuracies, or of text the ``loss``, which is drawn as it is.
    """
    times = 1 if loss else 100

    def error_of(row: dict[str, Any]) -> float:
        return row["score"] if loss else times * (1 - row["score"])

    drawing, axis = figure(figsize=(7.2, 4.4))
    methods = dict.fromkeys(_label(row) for row in rows if row["score"] is not None)
    sparse = [method for method in methods if method != "dense"]
    for number, method in enumerate(sparse):
        own = sorted((r for r in rows if _label(r) == method and r["score"] is not None),
                     key=lambda r: r["density"])  # fmt: skip
        shift = 1.015 ** (number - len(sparse) / 2)  # so that bars stand side by side
        axis.errorbar(
            [r["density"] * shift for r in own],
            [error_of(r) for r in own],
            yerr=[1.96 * times * (r["error"] or 0) for r in own],
            label=method, **look(number),
        )  # fmt: skip
    for row in rows:
        if row["method"] == "dense" and row["score"] is not None:
            error, half = error_of(row), 1.96 * times * (row["error"] or 0)
            axis.axhline(error, color=INK, linewidth=1, label="dense")
            axis.axhspan(error - half, error + half, color=INK, alpha=0.1, linewidth=0)
    plain_log(axis, "x", at=[r["density"] for r in rows if r["method"] != "dense"])
    plain_log(axis, "y")
    axis.set_title(title)
    axis.set_xlabel("density: the fraction of the weights that is kept")
    what = "held-out loss, nats per token" if loss else "test error, %"
    axis.set_ylabel(f"{what} (bars: 95 % of the mean over seeds)")
    axis.grid(True)
    legend(axis)
    keep(drawing, path)


@styled()
def plot_updates(
    updates: list[dict[str, Any]],
    shapes: dict[str, tuple[int, int]],
    input_shape: tuple[int, ...],
    path: Path | str,
) -> None:
    """Draw each layer's density and exploration over time, and the first layer's inputs."""
    first = next(
        (name for name in shapes if any("inputs" in u["layers"].get(name, ()) for u in updates)), ""
    )
    seen = [u for u in updates if "inputs" in u["layers"].get(first, ())]
    places = np.unique(np.linspace(0, max(len(seen) - 1, 0), _PICTURES).astype(int))
    chosen = [seen[i] for i in places] if seen else []
    rows = 2 if chosen else 1
    spectral = any("spectrum" in f for u in updates for f in u["layers"].values())
    across = 3 if spectral else 2
    drawing, axes = figure(rows, 1, figsize=(4 * across, 2.8 * rows), squeeze=False)
    drawing.delaxes(axes[0, 0])
    over_time = [drawing.add_subplot(rows, across, 1 + place) for place in range(across)]
    for name, shape in shapes.items():
        steps = [u["step"] for u in updates if name in u["layers"]]
        facts = [u["layers"][name] for u in updates if name in u["layers"]]
        density = [f["nnz"] / math.prod(shape) for f in facts]
        over_time[0].plot(steps, density, marker=".", linewidth=1.2, label=name)
        explored = [
            (t, f["explored"]) for t, f in zip(steps, facts, strict=True) if "explored" in f
        ]
        if explored:
            over_time[1].plot(*zip(*explored, strict=True), marker=".", linewidth=1.2, label=name)
        gaps = [(t, f["spectrum"]) for t, f in zip(steps, facts, strict=True) if "spectrum" in f]
        if gaps:
            ratios = [(t, g["sigma2"] / g["bound"]) for t, g in gaps if g["bound"] > 0]
            over_time[2].plot(*zip(*ratios, strict=True), marker=".", linewidth=1.2, label=name)
    labels = ("density", "positions ever active, fraction", "sigma2 over Ramanujan's bound")
    for axis, label in zip(over_time, labels, strict=False):
        axis.set_xlabel("step")
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(True)
    over_time[0].legend(fontsize=7, frameon=False, title="layer")
    if chosen:
        drawing.delaxes(axes[1, 0])
        most = max(max(u["layers"][first]["inputs"]) for u in chosen)
        for place, update in enumerate(chosen):
            axis = drawing.add_subplot(2, len(chosen), len(chosen) + place + 1)
            picture = _as_picture(np.array(update["layers"][first]["inputs"]), input_shape)
            shown = axis.imshow(picture, cmap="Blues", vmin=0, vmax=most, interpolation="nearest")
            axis.set_title(f"step {update['step']}", loc="center")
            axis.set_xticks([])
            axis.set_yticks([])
        bar = drawing.colorbar(shown, ax=drawing.axes[-len(chosen) :], shrink=0.6)
        bar.set_label(f"weights per input of {first}", fontsize=7)
        bar.ax.tick_params(labelsize=7)
    keep(drawing, path)


def _as_picture(counts: np.ndarray, input_shape: tuple[int, ...]) -> np.ndarray:
    """Return weights per input as a picture: of the pixels, or of a filter's taps, or a line."""
    if len(input_shape) == 3 and counts.size == math.prod(input_shape):
        return counts.reshape(input_shape).sum(axis=0)
    side = math.isqrt(counts.size)
    return counts.reshape(side, side) if side * side == counts.size else counts[None, :]
