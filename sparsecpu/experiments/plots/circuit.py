"""A picture of the connections that a language model needs to say one token."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sparsecpu.experiments.circuits import Edge
from sparsecpu.experiments.plots.figures import figure, keep
from sparsecpu.experiments.plots.style import BLUE, GRID, INK, ORANGE, styled
from sparsecpu.layers import Attention, Residual, SparseLinear


class _Columns:
    """Columns of a picture: what flows between layers, from left to right."""

    def __init__(self, network: Any) -> None:
        self.titles: list[str] = ["tokens"]
        self.sizes: list[int] = [network.widths[0]]
        #: By layer: the columns on both of its sides, and where it begins in each.
        self.ends: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}
        #: Columns with the features of tokens, to which residual branches add.
        self.stream = {0}
        here = 0
        for i, layer in enumerate(network.layers):
            here = self._walk(layer, str(i), here, network.widths[i + 1])

    def _add(self, title: str, size: int) -> int:
        self.titles.append(title)
        self.sizes.append(size)
        return len(self.sizes) - 1

    def _walk(self, layer: Any, name: str, here: int, width: int) -> int:
        """Add the columns of a layer behind column ``here``; return the one that it ends in."""
        if isinstance(layer, SparseLinear):
            end = self._add(name, layer.out_features)
            self.ends[f"{name}.weight"] = (here, 0), (end, 0)
            return end
        if isinstance(layer, Attention):
            return self._walk_attention(layer, name, here)
        if isinstance(layer, Residual):
            end = self._walk_chain(layer.by_name["branch"], f"{name}.branch", here)
            self.stream.add(end)
            return end
        if layer.kind == "embedding":
            self.sizes[here] = width
        elif layer.children():
            for key, child in layer.children().items():
                here = self._walk_chain(child, f"{name}.{key}", here)
        return here

    def _walk_chain(self, chain: Any, name: str, here: int) -> int:
        if isinstance(chain, SparseLinear):
            return self._walk(chain, name, here, 0)
        for key, layer in chain.children().items():
            here = self._walk(layer, f"{name}.{key}", here, 0)
        return here

    def _walk_attention(self, layer: Any, name: str, here: int) -> int:
        """Query, key and value stand above one another in one column; values go on."""
        parts = ("query", "key", "value")
        inner = layer.by_name["output"].layers[0].in_features
        middle = self._add(f"{name}\nq, k, v", len(parts) * inner)
        for i, part in enumerate(parts):
            self.ends[f"{name}.{part}.0.weight"] = (here, 0), (middle, i * inner)
        end = self._add(f"{name}\noutput", layer.features)
        self.ends[f"{name}.output.0.weight"] = (middle, 2 * inner), (end, 0)
        return end


@styled()
def plot_circuit(
    network: Any, edges: Iterable[Edge], path: Path | str, title: str, words: dict[int, str]
) -> None:
    """Draw connections from left to right, thick where much is lost without them.

    ``words`` names outputs of the last layer.
    """
    columns, edges = _Columns(network), list(edges)
    count = len(columns.sizes)
    drawing, axis = figure(figsize=(max(6.0, 0.75 * count), 6.0))
    most = max((abs(edge.effect) for edge in edges), default=1.0) or 1.0
    dots: set[tuple[int, float]] = set()
    for edge in edges:
        if edge.layer not in columns.ends:
            continue
        (left, from_), (right, to) = columns.ends[edge.layer]
        y = [
            (from_ + edge.input + 0.5) / columns.sizes[left],
            (to + edge.output + 0.5) / columns.sizes[right],
        ]
        shade = BLUE if edge.value > 0 else ORANGE
        share = abs(edge.effect) / most
        style = "-" if edge.effect > 0 else ":"
        axis.plot([left, right], y, style, color=shade, linewidth=0.4 + 3.6 * share, alpha=0.8)
        dots |= {(left, y[0]), (right, y[1])}
        if right == count - 1 and edge.output in words:
            axis.annotate(words[edge.output], (right, y[1]), xytext=(6, 0), fontsize=8,
                          textcoords="offset points", va="center", color=INK)  # fmt: skip
    for level in {y for x, y in dots if x in columns.stream}:  # what is there stays there
        there = [x for x, at in dots if at == level and x in columns.stream]
        axis.plot([min(there), max(there)], [level, level], color=GRID, linewidth=1.5, zorder=0)
    for x in range(count):
        axis.axvline(x, color=GRID, linewidth=0.8, zorder=0)
    axis.scatter(*zip(*sorted(dots), strict=True), s=9, color=INK, zorder=3) if dots else None
    axis.set_title(title, fontsize=10, color=INK, loc="left")
    axis.set_xticks(range(count), columns.titles, fontsize=6, rotation=60, ha="right")
    axis.set_xlim(-0.3, count - 1 + 0.06 * count)
    axis.set_ylim(1.02, -0.02)
    axis.set_yticks([])
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)
    note = (
        "blue: weight above 0, orange: below; thicker: more is lost without it; dotted: gained; "
        "grey: a feature of the tokens"
    )
    axis.set_xlabel(note, fontsize=8, color=INK)
    keep(drawing, path)
