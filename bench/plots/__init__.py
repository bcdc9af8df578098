"""Pictures of measurements, with matplotlib (the ``plot`` extra)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparsecpu.bench.plots import accuracy, costs, limits, speedups
from sparsecpu.experiments.plots.figures import figure, keep
from sparsecpu.experiments.plots.style import FAINT, styled

#: What draws each subject's results: one function per pair of axes, from top to bottom.
_DRAWN: dict[str, tuple[Callable[[Any, list[dict[str, Any]]], None], ...]] = {
    "linear": (speedups.draw_linear, limits.draw_linear),
    "conv": (speedups.draw_conv,),
    "attention": (speedups.draw_attention,),
    "train": (speedups.draw_train,),
    "infer": (speedups.draw_infer,),
    "topology": (costs.draw_topology,),
    "scale": (costs.draw_scale,),
    "sources": (costs.draw_sources,),
    "kernels": (limits.draw_kernels,),
    "accuracy": (accuracy.draw_race, accuracy.draw_step),
}


@styled()
def plot(kind: str, results: list[dict[str, Any]], document: dict[str, Any], path: Path) -> None:
    """Draw a benchmark's results into a .png, .svg or .pdf; the machine is named below."""
    drawers = _DRAWN[kind]
    fig, column = figure(len(drawers), 1, figsize=(8, 4.6 * len(drawers)), squeeze=False)
    for draw, axes in zip(drawers, column[:, 0], strict=True):
        axes.grid(True)
        draw(axes, results)
    machine = document["machine"]
    note = f"{machine['cpu']}, {machine['instruction_set']}, {machine['threads']} thread(s)"
    fig.supxlabel(f"{note}; {machine['date']}", fontsize=8, color=FAINT)
    keep(fig, path)
