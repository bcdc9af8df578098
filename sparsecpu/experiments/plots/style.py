"""How every picture looks: colours, dashes, signs, ticks and legends. Needs matplotlib.

Series differ in colour, in dashes and in their signs, so that they can be told apart without
colours too; legends stand beside the data; numbers on axes are written out, ``0.4`` and not
``4×10⁻¹``.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

from sparsecpu.errors import MissingExtraError

#: Okabe and Ito's colours, which people tell apart whatever their kind of colour vision, without
#: the yellow, which is too pale for lines.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b07500", "#000000")
BLUE, ORANGE, GREEN = COLOURS[:3]
INK, FAINT, GRID = "#333333", "#666666", "#dddddd"
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
MARKERS = "osD^vPX*"
#: Maps of one quantity: white is none of it, and dark is much, in print without colours too.
SHADES = "Blues"
#: A legend with more entries than this stands beside the axes, a shorter one above them.
_FEW = 4

_RULES: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.limits": (-5, 7),
    "axes.formatter.useoffset": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
    "errorbar.capsize": 2,
    "image.interpolation": "nearest",
    "figure.facecolor": "white",
    "savefig.dpi": 150,
    "svg.hashsalt": "sparsecpu",  # equal pictures are equal bytes
}


def require_matplotlib() -> None:
    """Refuse to draw where there is no matplotlib."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError("matplotlib", "a picture", "plot") from None


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draw in this style inside a ``with`` block or a decorated function; later as before."""
    require_matplotlib()
    import matplotlib

    with matplotlib.rc_context(_RULES):
        yield


def look(number: int) -> dict[str, Any]:
    """Return the colour, dashes and sign of a series, as ``plot`` and ``errorbar`` take them."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": DASHES[number % len(DASHES)],
        "marker": MARKERS[number % len(MARKERS)],
    }


def legend(axis: Any, **options: Any) -> None:
    """Name the series off the data: above the axes if they are few, else at their right.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        What to name the series of; nothing happens where none has a label.
    **options : Any
        Passed to ``legend``, such as ``title``.
    """
    handles, labels = axis.get_legend_handles_labels()
    if not labels:
        return
    if len(labels) > _FEW or sum(map(len, labels)) > 60:
        where = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "ncols": 1}
    else:
        where = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": len(labels),
                 "borderaxespad": 0.2, "columnspacing": 1.2}  # fmt: skip
        axis.set_title(axis.get_title(loc="left"), pad=18)
    axis.legend(handles, labels, **where, handlelength=3, **options)


def plain_log(axes: Any, which: str, *, unit: str = "", at: Iterable[float] | None = None) -> None:
    """Make an axis logarithmic, with numbers written out at it.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Whose axis, after the data are drawn.
    which : str
        ``"x"`` or ``"y"``.
    unit : str, optional
        Written behind every number, such as ``" %"``.
    at : iterable of float, optional
        Where numbers stand; by default at round ones that lie inside.
    """
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(
        FixedLocator(round_numbers(low, high) if at is None else sorted(set(at)))
    )
    axis.set_major_formatter(lambda value, _: f"{written_out(value)}{unit}")
    axis.set_minor_locator(NullLocator())


def percent(axis: Any) -> None:
    """Write an axis's fractions as per cents."""
    axis.set_major_formatter(lambda value, _: f"{written_out(100 * value)} %")


def written_out(value: float) -> str:
    """Return a number in six digits or more, without an exponent or zeros at its end."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    text = f"{value:,.{max(0, 5 - math.floor(math.log10(abs(value))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def round_numbers(low: float, high: float) -> list[float]:
    """Return some round numbers between two positive ones, for a logarithmic axis."""
    from matplotlib.ticker import MaxNLocator

    if high < 5 * low:  # as on a linear axis
        ticks = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        return [float(t) for t in ticks if 0.9999 * low <= t <= 1.0001 * high]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high < 1000 * low else (1,)
    found = [float(f"{step * 10.0**decade:.1g}") for decade in decades for step in steps]
    found = [value for value in found if low <= value <= high]
    return found[:: -(-len(found) // 8)]
