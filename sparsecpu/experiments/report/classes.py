"""What a classifier gets right and wrong, class by class."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.experiments.report.heat import heat_map
from sparsecpu.experiments.report.html import Html, element, note, paragraph, table

#: Up to so many classes the matrix of confusions is a table; a larger one is a picture.
_TABLE = 16
#: Of so many classes each is shown; of more, the worst.
_MOST, _WORST = 60, 25
_MEANS = {"micro": "all labels together", "macro": "mean", "weighted": "weighted mean"}


def class_table(report: dict[str, Any], what: str = "class") -> list[Html]:
    """Return the scores of each class, or of the worst where they are very many."""
    rows, caption = report["classes"], f"Scores of each {what}"
    if len(rows) > _MOST:
        rows = sorted(rows, key=lambda row: row["f1"])[:_WORST]
        caption = f"The {_WORST} of {len(report['classes']):,} {what}es with the lowest F1"
        caption = caption.replace("labeles", "labels")
    means = [{"label": words, **report[key]} for key, words in _MEANS.items() if key in report]
    cells = [
        (
            row["label"],
            *(f"{row[key]:.4f}" for key in ("precision", "recall", "f1")),
            f"{row['support']:,}" if "support" in row else "",
        )
        for row in (*rows, *means)
    ]
    words = f"Precision: of the samples taken for a {what}, the part that belongs to it. Recall: "
    words += "of those that belong to it, the part that was found. F1 is between the two; support "
    words += "counts samples."
    heads = (what, "precision", "recall", "F1", "support")
    return [table(caption, heads, cells), note(words)]


def confusions(report: dict[str, Any]) -> list[Html]:
    """Return which classes are taken for which others: a table, a picture, or the worst pairs."""
    names, matrix = [row["label"] for row in report["classes"]], report["confusion"]
    parts = [element("h3", "Which classes are taken for which")]
    if matrix is not None and len(names) <= _TABLE:
        parts.append(_matrix(names, matrix))
    elif matrix is not None:
        parts += _picture(matrix)
    if not report["confused"]:
        return [*parts, paragraph("No class is taken for another.")]
    if matrix is None or len(names) > _TABLE:
        support = {row["label"]: row["support"] for row in report["classes"]}
        rows = [
            (pair["right"], pair["found"], f"{pair['count']:,}",
             f"{100 * pair['count'] / support[pair['right']]:.0f} %")
            for pair in report["confused"]
        ]  # fmt: skip
        heads = ("right", "taken for", "samples", "of the class")
        parts.append(table("Pairs that are confused most", heads, rows, words=2))
    return parts


def _matrix(names: list[Any], matrix: list[list[int]]) -> Html:
    sums = [max(1, sum(row)) for row in matrix]
    rows = []
    for at, (name, row) in enumerate(zip(names, matrix, strict=True)):
        cells = [
            element("td", f"{count:,}", style=f"--a:{0.6 * count / sums[at]:.2f}",
                    class_="heat right" if at == column else "heat")
            for column, count in enumerate(row)
        ]  # fmt: skip
        rows.append([name, *cells])
    caption = "True classes by row, predicted ones by column; framed where both are the same"
    return table(caption, ["", *names], rows)


def _picture(matrix: list[list[int]]) -> list[Html]:
    counts = np.array(matrix, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    words = f"Confusions of {len(matrix)} classes: right ones from above, found ones from left"
    return [
        element("figure", heat_map(shares, 1.0, words), class_="strip", style="max-width:22rem"),
        note(f"{words}; the stronger the colour, the larger the part of a class."),
    ]
