"""Counts as pictures: a stronger colour where there is more."""

from __future__ import annotations

import numpy as np

from sparsecpu.experiments.report.html import Html, element

#: Shades besides none.
SHADES = 8
#: Cells on a side of a picture; more of them are put together.
MOST_CELLS = 128
#: How large a cell with a number in it is drawn.
_CELL = 40


def shades(counts: np.ndarray, most: float) -> np.ndarray:
    """Return a shade for each count: 0 for none, ``SHADES`` for ``most``."""
    return np.ceil(SHADES * np.minimum(counts / max(most, 1e-300), 1.0)).astype(np.int64)


def heat_map(
    counts: np.ndarray, most: float, words: str, *, stretched: bool = False, numbers: bool = False
) -> Html:
    """Return counts of shape (height, width) as a picture that ``words`` describe.

    Cells are squares unless they are ``stretched`` to what there is room for; with ``numbers`` each
    count stands in its cell.
    """
    counts = fewer_cells(counts)
    high, wide = counts.shape
    levels = shades(counts, most)
    paths = [
        element("path", d=_runs(levels == level), class_=f"h{level}")
        for level in range(1, SHADES + 1)
        if (levels == level).any()
    ]
    if numbers:
        scaled = element("g", *paths, transform=f"scale({_CELL})")
        paths, high, wide = [scaled, *_written(counts)], _CELL * high, _CELL * wide
    return element(
        "svg", element("title", words), *paths, class_="heat", viewBox=f"0 0 {wide} {high}",
        role="img", aria_label=words, preserveAspectRatio="none" if stretched else None,
    )  # fmt: skip


def _written(counts: np.ndarray) -> list[Html]:
    """Return counts in the middle of their cells."""
    half = _CELL // 2
    return [
        element("text", f"{count:,}", x=_CELL * x + half, y=_CELL * y + half + 4, class_="cell")
        for y, row in enumerate(counts.tolist())
        for x, count in enumerate(row)
    ]


def fewer_cells(counts: np.ndarray) -> np.ndarray:
    """Return the means of neighbouring counts where there are very many."""
    for axis in (0, 1):
        size = counts.shape[axis]
        if size > MOST_CELLS:
            starts = np.linspace(0, size, MOST_CELLS, endpoint=False).astype(np.int64)
            lengths = np.diff(np.append(starts, size))
            sums = np.add.reduceat(counts.astype(np.float64), starts, axis=axis)
            counts = sums / (lengths[:, None] if axis == 0 else lengths)
    return counts


def _runs(there: np.ndarray) -> str:
    """Return a path of boxes around what lies side by side in a row."""
    parts = []
    for y, row in enumerate(there):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        parts += [f"M{a} {y}h{b - a}v1h{a - b}z" for a, b in edges.reshape(-1, 2).tolist()]
    return "".join(parts)
