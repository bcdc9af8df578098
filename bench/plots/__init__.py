"""Pictures of measurements, with matplotlib (the ``plot`` extra)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparsecpu.bench.plots import accuracy, costs, limits, speedups
from sparsecpu.bench.plots.looks import FAINT
from sparsecpu.experiments.plots.figures import figure, keep

#: What draws each subject's results: one function per pair of axes, side by side.
_DRAWN: dict[str, tuple[Callable[[Any, list[dict[str, Any]]], None], ...]] = {
    "linear": (speedups.draw_linear, limits.draw_linear),
    "conv": (speedups.draw_conv,),
    "train": (speedups.draw_train,),
    "infer": (speedups.draw_infer,),
    "topology": (costs.draw_topology,),
    "scale": (costs.draw_scale,),
    "sources": (costs.draw_sources,),
    "kernels": (limits.draw_kernels,),
    "accuracy": (accuracy.draw_race, accuracy.draw_step),
}


def plot(kind: str, results: list[dict[str, Any]], document: dict[str, Any], path: Path) -> None:
    """Draw a benchmark's results into a .png, .svg or .pdf; the machine is named below."""
    drawers = _DRAWN[kind]
    fig, grid = figure(1, len(drawers), figsize=(8 if len(drawers) == 1 else 14, 5), squeeze=False)
    for draw, axes in zip(drawers, grid[0], strict=True):
        draw(axes, results)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.grid(True, color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
    machine = document["machine"]
    note = f"{machine['cpu']}, {machine['instruction_set']}, {machine['threads']} thread(s)"
    fig.supxlabel(f"{note}; {machine['date']}", fontsize=8, color=FAINT)
    keep(fig, path)
