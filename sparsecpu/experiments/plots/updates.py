"""Pictures of how patterns changed over a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.experiments.plots.figures import figure, keep
from sparsecpu.experiments.plots.style import FAINT, INK, SHADES, look, styled
from sparsecpu.experiments.plots.thinning import evenly

#: Updates whose weights per input are drawn, and layers that lines are drawn of.
_PICTURES, _LAYERS = 6, 14
#: A run with more updates than this has no sign at each.
_SIGNS = 30

Updates = Sequence[dict[str, Any]]


@styled()
def plot_updates(
    updates: Updates,
    shapes: dict[str, tuple[int, int]],
    input_shape: tuple[int, ...],
    path: Path | str,
) -> None:
    """Draw each layer's density and exploration over time, and the first layer's inputs.

    A page, as wide as a text: one below the other, and one legend for all.
    """
    first = next(
        (name for name in shapes if any("inputs" in u["layers"].get(name, ()) for u in updates)), ""
    )
    seen = [u for u in updates if "inputs" in u["layers"].get(first, ())]
    chosen = evenly(seen, _PICTURES)
    spectral = any("spectrum" in f for u in updates for f in u["layers"].values())
    panels = 3 if spectral else 2
    heights = [2.4] * panels + [1.7] * bool(chosen)
    drawing, axes = figure(len(heights), figsize=(8.3, sum(heights)), squeeze=False,
                           height_ratios=heights)  # fmt: skip
    lines = axes[:panels, 0]
    for number, name in enumerate(evenly(list(shapes), _LAYERS)):
        _draw_layer(lines, updates, name, math.prod(shapes[name]), number)
    _name_layers(drawing, lines, len(shapes))
    if chosen:
        drawing.delaxes(axes[-1, 0])
        places = axes[-1, 0].get_subplotspec().subgridspec(1, len(chosen))
        _draw_inputs(drawing, places, chosen, first, input_shape)
    keep(drawing, path)


def _draw_layer(axes: Any, updates: Updates, name: str, size: int, number: int) -> None:
    """Draw what is known of a layer at each update."""
    found = [(u["step"], u["layers"][name]) for u in updates if name in u["layers"]]
    lines = [
        [(step, f["nnz"] / size) for step, f in found],
        [(step, f["explored"]) for step, f in found if "explored" in f],
        [
            (step, f["spectrum"]["sigma2"] / f["spectrum"]["bound"])
            for step, f in found
            if "spectrum" in f and f["spectrum"]["bound"] > 0
        ],
    ]
    for axis, line in zip(axes, lines, strict=False):
        x, y = [step for step, _ in line], [value for _, value in line]
        signs = {"marker": ""} if len(x) > _SIGNS else {}
        axis.plot(x, y, label=name, **{**look(number), **signs})


def _name_layers(drawing: Any, axes: Any, count: int) -> None:
    """Say what each panel shows, and which line is which layer."""
    labels = ("density", "positions ever active, fraction", "sigma2 over Ramanujan's bound")
    for axis, label in zip(axes, labels, strict=False):
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(True)
    for axis in axes[:-1]:
        axis.tick_params(labelbottom=False)
    axes[-1].set_xlabel("step")
    axes[-1].locator_params(axis="x", integer=True)
    if len(axes) == len(labels):
        axes[2].axhline(1, color=INK, linewidth=1)
        axes[2].set_ylim(top=1.08 * max(1.0, *axes[2].get_ylim()))
        axes[2].set_title(
            "Up to the line at 1 a pattern mixes all inputs as well as any with so many weights "
            "can (Ramanujan);\n"
            "the further above, the more the layer falls into parts that mix little",
            fontsize=8, color=FAINT,
        )  # fmt: skip
    shown = len([line for line in axes[0].lines if not line.get_label().startswith("_")])
    title = "layer" if shown == count else f"{shown} of {count} layers"
    drawing.legend(*axes[0].get_legend_handles_labels(), title=title, loc="outside right upper",
                   handlelength=3)  # fmt: skip


def _draw_inputs(
    drawing: Any, places: Any, chosen: Updates, first: str, input_shape: tuple[int, ...]
) -> None:
    """Draw how many weights each input of the first layer has, at some updates."""
    most = max(max(u["layers"][first]["inputs"]) for u in chosen)
    axes = [drawing.add_subplot(place) for place in places]
    for axis, update in zip(axes, chosen, strict=True):
        picture = as_picture(np.array(update["layers"][first]["inputs"]), input_shape)
        shown = axis.imshow(picture, cmap=SHADES, vmin=0, vmax=most)
        axis.set_title(f"step {update['step']}", loc="center", fontsize=8)
        axis.set(xticks=[], yticks=[])
        for spine in axis.spines.values():
            spine.set_visible(True)
    bar = drawing.colorbar(shown, ax=axes, shrink=0.8)
    bar.set_label(f"weights per input\nof {first}", fontsize=8)


def as_picture(counts: np.ndarray, input_shape: tuple[int, ...]) -> np.ndarray:
    """Return weights per input as a picture: of the pixels, or of a filter's taps, or a line.

    The taps of several channels stand side by side.
    """
    if len(input_shape) == 3 and counts.size == math.prod(input_shape):
        return counts.reshape(input_shape).sum(axis=0)
    channels = input_shape[0] if len(input_shape) == 3 else 1
    side = math.isqrt(counts.size // channels)
    if channels * side * side != counts.size:
        return counts[None, :]
    taps = counts.reshape(channels, side, side).astype(float)
    apart = np.pad(taps, ((0, 0), (0, 0), (0, 1)), constant_values=np.nan)
    return np.concatenate(apart, axis=1)[:, :-1]
