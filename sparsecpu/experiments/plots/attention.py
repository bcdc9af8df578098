"""A picture of what the heads of a network look at: a map for each, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.experiments.attention_maps import Head
from sparsecpu.experiments.plots.figures import figure, keep
from sparsecpu.experiments.plots.style import FAINT, ORANGE, SHADES, styled
from sparsecpu.experiments.plots.thinning import evenly

#: Layers and heads of a layer that are drawn at most; tokens that are written out at most.
_LAYERS, _HEADS, _WRITTEN = 12, 12, 24


@styled()
def plot_attention(
    heads: Sequence[Head], words: Sequence[str], title: str, path: Path | str
) -> str:
    """Draw the map of each head; return what is missing in the picture, empty for nothing.

    ``words`` are the tokens of the text, as they are to be written.
    """
    from matplotlib.colors import PowerNorm

    by_layer: dict[str, list[Head]] = {}
    for head in heads:
        by_layer.setdefault(head.layer, []).append(head)
    shown = [evenly(by_layer[name], _HEADS) for name in evenly(list(by_layer), _LAYERS)]
    size = len(heads[0].map)
    missing = _missing(len(by_layer), shown, max(map(len, by_layer.values())), size, len(words))
    written = [_plain(word) for word in words[:size]] if size <= _WRITTEN else []
    drawing, axes = _panels(len(shown), max(map(len, shown)), written)
    shades = PowerNorm(0.5, vmin=0, vmax=1)  # so that weights of a few per cent are seen
    for line, layer in zip(axes, shown, strict=True):
        for axis, head in zip(line, layer, strict=False):
            image = axis.imshow(head.map, cmap=SHADES, norm=shades)
            axis.set_title(f"head {head.head}" + (", dead" if head.dead else ""), fontsize=8,
                           color=ORANGE if head.dead else FAINT, pad=3)  # fmt: skip
        for axis in line[len(layer) :]:
            axis.set_visible(False)
        line[0].set_ylabel(f"layer {layer[0].layer}", fontsize=8)
    bar = drawing.colorbar(image, cax=_right_of(drawing, axes), ticks=[0, 0.05, 0.2, 0.5, 1])
    bar.ax.set_yticklabels(["0", "5 %", "20 %", "50 %", "100 %"])
    bar.set_label("how much a token (row) takes\nfrom another (column)", fontsize=8)
    drawing.suptitle(_plain(title), fontsize=10, x=0.02, ha="left")
    if missing:
        drawing.supxlabel(missing, fontsize=8, color=FAINT)
    keep(drawing, path)
    return missing


def _panels(rows: int, columns: int, written: Sequence[str]) -> tuple[Any, Any]:
    """Return a figure and its axes, which have these tokens at the left and at the bottom.

    Its margins are set here: to find them takes matplotlib a minute for a hundred panels.
    """
    longest, gap = max(map(len, written), default=0), 0.24
    side = max(1.5, 0.115 * len(written))
    left, bottom = 0.45 + 0.06 * longest, 0.35 + 0.06 * longest
    width, height = columns * (side + gap) + left + 1.1, rows * (side + gap) + bottom + 0.25
    drawing, axes = figure(rows, columns, figsize=(max(width, 4.5), height),
                           squeeze=False, sharex=True, sharey=True)  # fmt: skip
    drawing.set_layout_engine("none")
    across, up = drawing.get_size_inches()
    axes[0, 0].set_xticks(range(len(written)), written)  # all share them
    axes[0, 0].set_yticks(range(len(written)), written)
    for (row, column), axis in np.ndenumerate(axes):
        x, y = left + column * (side + gap), bottom + (rows - 1 - row) * (side + gap)
        axis.set_position((x / across, y / up, side / across, side / up))
        axis.tick_params(length=0, pad=1, labelsize=6)
        axis.tick_params("x", rotation=90 if longest > 1 else 0)
    return drawing, axes


def _right_of(drawing: Any, axes: Any) -> Any:
    """Return axes at the right of the upper panels, for the bar of shades."""
    end, width = axes[0, -1].get_position(), drawing.get_size_inches()[0]
    low = axes[min(2, len(axes) - 1), -1].get_position().y0
    return drawing.add_axes((end.x1 + 0.15 / width, low, 0.1 / width, end.y1 - low))


def _plain(text: str) -> str:
    """Return a text that matplotlib writes as it is, and takes for no formula."""
    return text.replace("$", r"\$")


def _missing(layers: int, shown: list[Any], heads: int, size: int, tokens: int) -> str:
    parts = [
        f"{drawn} of {all_} {what}"
        for drawn, all_, what in (
            (len(shown), layers, "layers"),
            (max(map(len, shown)), heads, "heads of a layer"),
        )
        if drawn < all_
    ]
    if size < tokens:
        parts.append(f"the first {size} of {tokens} tokens")
    return ", ".join(parts)
