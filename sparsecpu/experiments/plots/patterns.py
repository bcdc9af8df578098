"""Pictures of patterns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.experiments.plots.figures import figure, keep
from sparsecpu.experiments.plots.style import BLUE, ORANGE, SHADES, styled
from sparsecpu.sparse.pattern import Pattern

#: A picture has at most this many cells per side; larger patterns are shown as local density.
_CELLS = 256


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
def plot_patterns(network: Any, path: Path | str) -> None:
    """Draw where every layer's weights are, and how many each output and each input has."""
    layers = network.sparse_parameters()
    drawing, axes = figure(2, len(layers), figsize=(3.6 * len(layers), 6.4), squeeze=False,
                            height_ratios=(3, 2))  # fmt: skip
    for (name, parameter), picture, chart in zip(layers.items(), *axes, strict=True):
        pattern = parameter.pattern
        density = local_density(pattern)
        picture.imshow(
            density,
            cmap=SHADES,
            aspect="auto",
            vmin=0,
            interpolation="nearest",
            extent=(0, pattern.shape[1], pattern.shape[0], 0),
        )
        exact = density.shape == pattern.shape
        what = "each dot is a weight" if exact else "darker is denser"
        what = f"group {pattern.group}, {what}" if pattern.group > 1 else what
        picture.set_title(f"layer {name}\ndensity {pattern.density:.3f}, {what}")
        picture.set_xlabel("input")
        picture.set_ylabel("output")
        for counts, label, colour in (
            (pattern.fan_in, "weights per output", BLUE),
            (pattern.fan_out, "weights per input", ORANGE),
        ):
            most = int(counts.max()) if len(counts) else 0
            bins = np.linspace(-0.5, most + 0.5, min(most + 1, 40) + 1)
            weights = np.full(len(counts), 1 / len(counts))
            chart.hist(
                counts, bins=bins, weights=weights, histtype="step", color=colour, label=label
            )
        chart.set_xlabel("weights")
        chart.set_ylabel("fraction of units")
        chart.grid(True)
        chart.legend(fontsize=7, frameon=False)
    keep(drawing, path)
