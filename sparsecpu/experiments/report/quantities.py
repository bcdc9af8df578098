"""How far the predictions of a regressor are from what is right."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.experiments.report.classes import class_table
from sparsecpu.experiments.report.html import Html, element, note, paragraph, spread, table
from sparsecpu.experiments.report.scored import Scored
from sparsecpu.experiments.report.svg import Axis, Scale, Series, chart, dots, short_of

#: Points of a picture, pictures, and rows of tables.
_POINTS, _PICTURES, _ROWS, _TARGETS = 800, 4, 12, 40
_HEADS = {
    "r2": "R²", "mae": "MAE", "rmse": "RMSE", "median": "median", "largest": "largest",
    "bias": "bias",
}  # fmt: skip


def quantities(scored: Scored) -> list[Html]:
    """Return predictions beside what is right, and the errors of each target."""
    targets = scored.details["targets"]
    pictures = [_scatter(scored, at, t["label"]) for at, t in enumerate(targets[:_PICTURES])]
    parts = [element("div", *pictures, class_="charts"), _errors(targets), note(
        "MAE is the mean and median the middle absolute error, RMSE the root of the mean square, "
        "largest the worst; bias is the mean of prediction less target. R² is 1 where all is "
        "right, and 0 for the mean of the targets."
    )]  # fmt: skip
    if len(targets) > _PICTURES:
        parts.insert(1, note(f"The first {_PICTURES} of {len(targets):,} targets are drawn."))
    if "labels" in scored.details:
        words = (
            "All targets are 0 or 1, so each may be a label: a prediction of 0.5 or more says yes. "
        )
        return [*parts, *labels(scored.details["labels"], words)]
    return [*parts, _worst(scored, targets)]


def _scatter(scored: Scored, at: int, name: str) -> Html:
    y, found = scored.y[:, at], scored.found[:, at]
    chosen = spread(len(y), _POINTS)
    points = [(float(y[i]), float(found[i])) for i in chosen]
    low, high = float(min(y.min(), found.min())), float(max(y.max(), found.max()))

    def draw(series: Series, number: int, across: Scale, up: Scale) -> Html:
        ends = f"M{across(low):g} {up(low):g}L{across(high):g} {up(high):g}"
        return Html(element("path", d=ends, class_="plain") + dots(series, number, across, up))

    right = Axis("right", least=low, most=high)
    title = f"Predictions of {name}; the dashed line is where they are right"
    return chart(title, right, Axis("predicted", least=low, most=high),
                 [Series(name, points)], draw=draw)  # fmt: skip


def _errors(targets: list[dict[str, Any]]) -> Html:
    rows = [
        (t["label"], *("–" if t[key] is None else short_of(t[key]) for key in _HEADS))
        for t in targets[:_TARGETS]
    ]
    caption = "Errors of predictions"
    if len(targets) > _TARGETS:
        caption += f" of the first {_TARGETS} of {len(targets):,} targets"
    return table(caption, ("target", *_HEADS.values()), rows)


def _worst(scored: Scored, targets: list[dict[str, Any]]) -> Html:
    """Return the samples with the largest errors, in units of each target's deviation."""
    scale = scored.y.std(axis=0)
    errors = np.abs(scored.found - scored.y) / np.where(scale > 0, scale, 1.0)
    worst = np.argsort(-errors, axis=None, kind="stable")[:_ROWS]
    rows = []
    for row, at in zip(*np.unravel_index(worst, errors.shape), strict=True):
        y, found = scored.y[row, at], scored.found[row, at]
        name = targets[at]["label"]
        rows.append((f"{row + 1:,}", name, short_of(y), short_of(found), short_of(found - y)))
    heads = ("sample", "target", "right", "predicted", "difference")
    return table(f"The largest errors, of {scored.words}", heads, rows, words=2)


def labels(report: dict[str, Any], words: str = "") -> list[Html]:
    """Return the scores of samples with several labels; ``words`` say what is taken for one."""
    return [
        element("h3", "As labels"),
        paragraph(
            f"{words}All labels are right for {100 * report['subset_accuracy']:.2f} % of the "
            f"samples, and {100 * report['hamming_loss']:.2f} % of all labels are wrong (Hamming "
            "loss)."
        ),
        *class_table(report, "label"),
    ]
