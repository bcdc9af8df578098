"""The samples that a classifier is most certain of, and wrong about."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.experiments.report.html import Html, element, note, paragraph, table
from sparsecpu.experiments.report.png import as_bytes, picture_of
from sparsecpu.experiments.report.scored import Scored, rows_of

#: Samples that are shown as pictures, and as rows of a table.
_PICTURES, _ROWS = 24, 12
#: Characters of a class below a picture.
_LONGEST = 40


def mistakes(scored: Scored, classes: list[Any]) -> list[Html]:
    """Return the wrong samples with the highest probability of what they were taken for."""
    guesses = scored.found.argmax(axis=1)
    wrong = np.flatnonzero(guesses != scored.y)
    head = element("h3", "Wrong samples, the surest first")
    if not len(wrong):
        return [head, paragraph("No sample is wrong.")]
    certain = scored.found[wrong, guesses[wrong]]
    order = wrong[np.argsort(-certain, kind="stable")]
    if scored.image_shape is None:
        return [head, _table(scored, order[:_ROWS], guesses, classes)]
    chosen = order[:_PICTURES]
    images = as_bytes(rows_of(scored.x, chosen), scored.image_shape)
    figures = [
        _figure(image, row, scored, guesses, classes)
        for image, row in zip(images, chosen.tolist(), strict=True)
    ]
    words = f"{len(chosen)} of {len(wrong):,} wrong samples, those with the highest probability of "
    words += "what they were taken for, which stands behind it."
    return [head, element("div", *figures, class_="samples"), note(words)]


def _figure(image: np.ndarray, row: int, scored: Scored, guesses: Any, classes: Any) -> Html:
    right, found = (_name(classes[n]) for n in (scored.y[row], guesses[row]))
    share = f"{100 * scored.found[row, guesses[row]]:.0f} %"
    alt = f"sample {row + 1}: {right}, taken for {found}"
    caption = element("figcaption", f"{right}, taken for ", element("strong", found), f" ({share})")
    high, wide = image.shape[:2]
    return element(
        "figure",
        element("img", src=picture_of(image), alt=alt, width=str(wide), height=str(high)),
        caption,
    )


def _name(label: Any) -> str:
    text = " ".join(str(label).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _table(scored: Scored, order: np.ndarray, guesses: Any, classes: list[Any]) -> Html:
    rows = [
        (f"{row + 1:,}", classes[scored.y[row]], classes[guesses[row]],
         f"{100 * scored.found[row, guesses[row]]:.1f} %")
        for row in order.tolist()
    ]  # fmt: skip
    caption = f"The wrong samples with the highest probability, of {scored.words}"
    return table(caption, ("sample", "right", "taken for", "probability"), rows, words=3)
