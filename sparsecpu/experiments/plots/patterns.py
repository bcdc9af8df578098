"""Pictures of patterns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.experiments.plots.figures import figure, keep_pages
from sparsecpu.experiments.plots.style import BLUE, FAINT, ORANGE, SHADES, percent, styled
from sparsecpu.experiments.plots.thinning import evenly
from sparsecpu.sparse.pattern import Pattern

#: A picture has at most this many cells per side; larger patterns are shown as local density.
_CELLS = 256
#: Layers side by side, and rows of layers on a page.
_ACROSS, _DOWN = 3, 4


def local_density(pattern: Pattern, cells: int = _CELLS) -> np.ndarray:
    """Return the density of a pattern cell by cell, in O(nnz + cells²) memory."""
    n_out, n_in = pattern.shape
    height, width = min(n_out, cells), min(n_in, cells)
    rows = pattern.rows() * height // n_out
    cols = pattern.indices.astype(np.int64) * width // n_in
    counts = np.bincount(rows * width + cols, minlength=height * width).reshape(height, width)
    row_sizes = np.bincount(np.arange(n_out) * height // n_out)
    col_sizes = np.bincount(np.arange(n_in) * width // n_in)
    return counts / np.outer(row_sizes, col_sizes)


@styled()
def plot_patterns(network: Any, path: Path | str) -> str:
    """Draw where every layer's weights are, and how many each output and each input has.

    Pages of a .pdf show all layers. Other files have one page, with some of the layers where all
    are too many. What is returned says so; it is empty where all layers are drawn.
    """
    layers = [(name, p.pattern) for name, p in network.sparse_parameters().items()]
    page = _ACROSS * _DOWN
    if Path(path).suffix.lower() == ".pdf":
        pages = [layers[i : i + page] for i in range(0, len(layers), page)] or [[]]
        keep_pages([_page(shown, "") for shown in pages], path)
        return ""
    shown, note = evenly(layers, page), ""
    if len(shown) < len(layers):
        note = f"{len(shown)} of {len(layers)} layers; a .pdf shows all of them, on several pages"
    keep_pages([_page(shown, note)], path)
    return note


def _page(layers: list[tuple[str, Pattern]], note: str) -> Any:
    """Return a figure of some layers, and of the note below."""
    across = min(len(layers), _ACROSS) or 1
    down = -(-len(layers) // across) or 1
    drawing, axes = figure(2 * down, across, figsize=(max(2.76 * across, 4.2), 2.9 * down + 0.5),
                           squeeze=False, height_ratios=(2, 1) * down)  # fmt: skip
    for axis in axes.flat:
        axis.set_visible(False)
    for number, (name, pattern) in enumerate(layers):
        row, column = 2 * (number // across), number % across
        _draw_pattern(axes[row, column], name, pattern)
        _draw_counts(axes[row + 1, column], pattern)
    handles, labels = axes[1, 0].get_legend_handles_labels()
    if labels:
        drawing.legend(handles, labels, loc="outside upper left", ncols=2)
    if note:
        drawing.supxlabel(note, fontsize=8, color=FAINT)
    return drawing


def _draw_pattern(axis: Any, name: str, pattern: Pattern) -> None:
    axis.set_visible(True)
    density = local_density(pattern)
    n_out, n_in = pattern.shape
    axis.imshow(density, cmap=SHADES, aspect="auto", vmin=0, extent=(0, n_in, n_out, 0))
    exact = density.shape == pattern.shape
    what = "a dot is a weight" if exact else "darker is denser"
    what = f"group {pattern.group}, {what}" if pattern.group > 1 else what
    axis.set_title(f"{name}\ndensity {pattern.density:.3g}, {what}", fontsize=8)
    axis.set(xlabel="input", ylabel="output", xticks=[0, n_in], yticks=[0, n_out])
    axis.xaxis.labelpad = axis.yaxis.labelpad = -8


def _draw_counts(axis: Any, pattern: Pattern) -> None:
    """Draw how many outputs and inputs have how many weights."""
    axis.set_visible(True)
    for counts, label, look in (
        (pattern.fan_in, "weights per output", {"color": BLUE}),
        (pattern.fan_out, "weights per input", {"color": ORANGE, "linestyle": (0, (4, 1.5))}),
    ):
        most = int(counts.max()) if len(counts) else 0
        bins = np.linspace(-0.5, most + 0.5, min(most + 1, 40) + 1)
        weights = np.full(len(counts), 1 / len(counts))
        axis.hist(counts, bins=bins, weights=weights, histtype="step", label=label,
                  linewidth=1.2, **look)  # fmt: skip
    axis.set_xlabel("weights")
    axis.set_ylabel("units")
    percent(axis.yaxis)
    axis.locator_params(axis="x", nbins=5, integer=True)
    axis.locator_params(axis="y", nbins=4)
    axis.grid(True)
