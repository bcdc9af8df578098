"""How many weights each input of the first layer has, while the pattern changes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.experiments.report.heat import MOST_CELLS, heat_map
from sparsecpu.experiments.report.html import (
    Html,
    Section,
    element,
    note,
    numbers_of,
    paragraph,
    section,
    spread,
    table,
)
from sparsecpu.experiments.report.run_facts import RunFacts
from sparsecpu.experiments.report.scored import Scored, image_shape

#: Pictures of updates, and bytes that they take together.
_FRAMES, _BYTES = 40, 400_000
#: How many of them a printed page has.
_PRINTED = 12
#: Features with a line each, and updates in a column each.
_FEATURES, _COLUMNS = 40, 128

#: Inputs whose numbers of weights stand in the picture.
_WRITTEN = 64

#: What stands above a picture, and the weights of each input then.
Frame = tuple[str, np.ndarray]


def inputs(run: RunFacts, scored: Scored | str) -> Section:
    """Return what is known of the inputs of the first layer over time."""
    name, (frames, known) = run.first_layer, frames_of(run)
    heading = "Inputs of the first layer"
    if not frames:
        return section(heading, paragraph("The network has no layer with a pattern."))
    n_in = len(frames[-1][1])
    words = f"How many weights lead away from each of the {n_in:,} inputs of layer {name}. {known}"
    shape, what = _shape(run, scored)
    body = _strip(run, frames) if shape is None else _pictures(frames, shape, what)
    return section(heading, paragraph(words), *body)


def frames_of(run: RunFacts) -> tuple[list[Frame], str]:
    """Return the weights per input at the start, at each update and now; and where from, in words.

    What is not known is left out.
    """
    name = run.first_layer
    if not name:
        return [], ""
    now = run.network.sparse_parameters()[name].pattern.fan_out
    seen = [
        (f"step {u['step']:,}", np.array(u["layers"][name]["inputs"], dtype=np.int64))
        for u in run.updates
        if "inputs" in u["layers"].get(name, ())
    ]
    before = [] if run.start is None else [("before the first step", run.start)]
    if not run.updates:
        return [("from beginning to end", now)], "The pattern never changed."
    if not seen:
        known = (
            "The history does not hold them for each update: shown are the beginning and the end."
        )
        known = known if before else "The history does not hold them: shown is the end alone."
        return [*before, ("at the end", now)], known
    frames = [*before, *seen]
    if not np.array_equal(seen[-1][1], now):
        frames.append(("in the model that was kept", now))
    known = f"The history holds them at each of {len(seen):,} updates of the topology"
    return frames, f"{known}{', and the checkpoint at the beginning' if before else ''}."


def _shape(run: RunFacts, scored: Scored | str) -> tuple[tuple[int, ...] | None, str]:
    """Return how inputs lie in a picture (channels, height, width), and what one of them is."""
    n_in = run.network.sparse_parameters()[run.first_layer].shape[1]
    first = run.network.architecture.weight_shapes()[0]
    if len(first) == 4 and math.prod(first[1:]) == n_in and max(first[2:]) > 1:
        return tuple(first[1:]), "place in the filters, all channels together"
    if isinstance(scored, Scored):
        shape = scored.image_shape
    else:
        shape = None if run.task == "language" else image_shape(run, None)
    if shape is None or math.prod(shape) != n_in or run.task == "language":
        return None, ""
    return (1, *shape) if len(shape) == 2 else shape, "pixel"


def _pictures(frames: list[Frame], shape: tuple[int, ...], what: str) -> list[Html]:
    """Return a picture per update, with a slider where scripts run."""
    pictures = [(label, counts.reshape(shape).sum(axis=0)) for label, counts in frames]
    size = min(shape[1], MOST_CELLS) * min(shape[2], MOST_CELLS)
    most_frames = max(2, min(_FRAMES, _BYTES // (13 * size)))
    places = spread(len(pictures), most_frames)
    most = max(int(pictures[at][1].max()) for at in places)
    made, on_paper = [], {places[at] for at in spread(len(places), _PRINTED)}
    for at in places:
        label, counts = pictures[at]
        words = f"Weights per {what}, {label}: {counts.min():,} to {counts.max():,}"
        picture = heat_map(counts, most, words, numbers=counts.size <= _WRITTEN)
        kind = "" if at in on_paper else "between"
        made.append(element("figure", picture, element("figcaption", label), class_=kind or None))
    scale = f"The stronger the colour, the more weights a {what} has: from none to {most:,}."
    if len(places) < len(pictures):
        scale += f" {len(places)} of {len(pictures):,} moments are shown."
    label = "Choose a moment of the run"
    parts = [element("div", *made, class_="frames", data_label=label), note(scale)]
    if len(on_paper) < len(places):
        words = f"On paper there are {len(on_paper)} of {len(places)} moments."
        parts.append(element("p", words, class_="note printed"))
    return [*parts, _extremes(pictures, what)]


def _extremes(pictures: list[tuple[str, np.ndarray]], what: str) -> Html:
    rows = [
        (label, f"{int(c.min()):,}", f"{np.median(c):,.4g}", f"{int(c.max()):,}",
         f"{int((c == 0).sum()):,}")
        for label, c in pictures
    ]  # fmt: skip
    heads = ("when", "least", "median", "most", "without a weight")
    return numbers_of(f"Weights per {what}", heads, rows)


def _strip(run: RunFacts, frames: list[Frame]) -> list[Html]:
    """Return inputs that are no pixels: by name if they are few, else side by side over time."""
    names, n_in = run.feature_names, len(frames[-1][1])
    if n_in <= _FEATURES:
        return [_by_feature(names or [f"input {i}" for i in range(1, n_in + 1)], frames)]
    chosen = [frames[at] for at in spread(len(frames), _COLUMNS)]
    counts = np.stack([counts for _, counts in chosen])
    words = f"Weights per input (from left to right) at {len(chosen)} moments (from above)"
    picture = heat_map(counts, counts.max(), words, stretched=True)
    parts: list[Any] = [element("figure", picture, class_="strip")]
    caption = f"From left to right the {n_in:,} inputs, from above {chosen[0][0]} to "
    caption += (
        f"{chosen[-1][0]}; the stronger the colour, the more weights, up to {counts.max():,}."
    )
    parts.append(note(caption))
    if names:
        parts.append(_most_used(names, frames[-1][1]))
    return parts


def _by_feature(names: list[str], frames: list[Frame]) -> Html:
    """Return a table with a line per feature and a column per moment."""
    chosen = [frames[at] for at in spread(len(frames), 8)]
    most = max(1, max(int(counts.max()) for _, counts in chosen))
    rows = []
    for at, name in enumerate(names):
        cells = []
        for _, counts in chosen:
            shade = f"--a:{0.6 * int(counts[at]) / most:.2f}"
            cells.append(element("td", f"{int(counts[at]):,}", class_="heat", style=shade))
        rows.append([name, *cells])
    return table("Weights of each input", ["input", *(label for label, _ in chosen)], rows)


def _most_used(names: list[str], counts: np.ndarray) -> Html:
    order = np.argsort(-counts, kind="stable")[:_FEATURES]
    rows = [(names[at], f"{int(counts[at]):,}") for at in order]
    return table("Inputs with the most weights at the end", ("input", "weights"), rows)
