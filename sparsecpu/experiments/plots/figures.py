"""Figures in files, drawn by matplotlib (the ``plot`` extra) in the style of ``style.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.experiments.plots.style import require_matplotlib as require_matplotlib
from sparsecpu.experiments.plots.style import styled
from sparsecpu.files.writing import atomic_write


def figure(
    rows: int = 1, columns: int = 1, *, figsize: tuple[float, float] = (7.2, 4.4), **options: Any
) -> Any:
    """Return a figure and its axes, as ``matplotlib.pyplot.subplots`` does, but without a window.

    It leaves pyplot alone: what notebooks show, and where, stays as their users have it.
    """
    with styled():
        from matplotlib.figure import Figure

        drawing = Figure(figsize=figsize, layout="constrained")
        return drawing, drawing.subplots(rows, columns, **options)


def keep(drawing: Any, path: Path | str) -> None:
    """Write a figure to a file. The same figure gives the same bytes."""
    keep_pages([drawing], path)


def keep_pages(drawings: Sequence[Any], path: Path | str) -> None:
    """Write figures to the pages of a file; of kinds but .pdf, the first to its only one."""
    kind = Path(path).suffix.lower().lstrip(".") or "png"
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    try:
        with styled(), atomic_write(path) as file:
            if kind == "pdf":
                from matplotlib.backends.backend_pdf import PdfPages

                with PdfPages(file, metadata=undated) as pages:
                    for drawing in drawings:
                        drawing.savefig(pages, format=kind)
            else:
                drawings[0].savefig(file, format=kind, dpi=150, metadata=undated)
    except ValueError as error:
        expected = "a name that ends in .png, .svg or .pdf"
        raise ParameterError("the picture", str(path), expected) from error
