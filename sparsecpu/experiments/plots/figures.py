"""How every picture looks, with matplotlib (the ``plot`` extra)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsecpu.errors import MissingExtraError, ParameterError
from sparsecpu.files.writing import atomic_write

INK, BLUE, GRID = "#333333", "#2b6ca3", "#dddddd"


def require_matplotlib() -> None:
    """Prepare matplotlib for files, without a window."""
    try:
        import matplotlib
    except ImportError:
        raise MissingExtraError("matplotlib", "a picture", "plot") from None
    matplotlib.use("Agg", force=False)


def figure(*args: Any, **options: Any) -> Any:
    """Return a figure and its axes, as ``matplotlib.pyplot.subplots`` does."""
    require_matplotlib()
    from matplotlib import pyplot

    return pyplot.subplots(*args, layout="constrained", **options)


def plain(axis: Any, size: int) -> None:
    """Make labels small and leave out the frame's upper and right side."""
    axis.tick_params(labelsize=size, which="both")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def keep(drawing: Any, path: Path | str) -> None:
    """Write a figure to a file and forget it."""
    from matplotlib import pyplot

    kind = Path(path).suffix.lower().lstrip(".")
    try:
        with atomic_write(path) as file:
            drawing.savefig(file, format=kind or "png", dpi=150)
    except ValueError as error:
        raise ParameterError("plot", str(path), f"a .png, .svg or .pdf ({error})") from error
    finally:
        pyplot.close(drawing)
