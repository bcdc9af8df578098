"""Charts as inline SVG: axes, curves, points and bars."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sparsecpu.experiments.report.html import Html, element, joined, spread

#: The size of a chart, and the room that its labels take.
_WIDE, _HIGH = 480, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 14, 12, 46
#: How wide a sign of a label is, about.
_SIGN = 7.6
#: Points of a curve that are drawn, and up to how many have signs.
_POINTS, _SIGNS = 300, 40
#: Series that are told apart.
MOST_SERIES = 8


@dataclass(frozen=True)
class Series:
    """A curve: what it is called, its points, and half the length of a bar at each.

    ``look`` is the number of its colour, dashes and sign; by default that of its place.
    """

    label: str
    points: Sequence[tuple[float, float]]
    halves: Sequence[float] = ()
    look: int | None = None


@dataclass(frozen=True)
class Level:
    """A level line across a chart, with a band around it."""

    label: str
    y: float
    half: float = 0.0


@dataclass(frozen=True)
class Axis:
    """An axis: its words, whether it is logarithmic or of whole numbers, and what it has to show.

    ``least`` and ``most`` are on it whatever the data are; ``marks`` stand in place of round
    numbers.
    """

    label: str
    log: bool = False
    whole: bool = False
    least: float | None = None
    most: float | None = None
    marks: Sequence[float] = field(default=())


def short(value: float) -> str:
    """Return a number in few characters."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"


def ticks(low: float, high: float, many: int = 5) -> list[float]:
    """Return round numbers from ``low`` to ``high``, about so many of them."""
    if not high > low:
        return [low]
    raw = (high - low) / many
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{at * step:.12g}") for at in range(first, last + 1)]


class Scale:
    """Where the numbers of an axis are on the paper, between two ends."""

    def __init__(self, axis: Axis, values: Sequence[float], start: float, end: float) -> None:
        known = [v for v in (*values, axis.least, axis.most) if v is not None]
        known = [v for v in known if v > 0] if axis.log else known
        low, high = (min(known), max(known)) if known else (1.0, 2.0)
        self.log = axis.log
        if axis.log:
            low, high = (low / 1.25, high * 1.25)
        elif high == low:
            low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
        else:
            room = 0.04 * (high - low)
            low -= 0 if low == axis.least else room
            high += 0 if high == axis.most else room
        self.low, self.high, self.start, self.end = low, high, start, end
        self.ticks = self._ticks(axis)

    def _ticks(self, axis: Axis) -> list[float]:
        if axis.marks:
            return [m for m in axis.marks if self.low <= m <= self.high]
        if not self.log:
            found = ticks(self.low, self.high)
            return [t for t in found if t == int(t)] if axis.whole else found
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found = [10.0**d * m for d in decades for m in (1, 2, 5)]
        found = [f for f in found if self.low <= f <= self.high]
        return found if len(found) >= 2 else ticks(self.low, self.high)

    def __call__(self, value: float) -> float:
        """Return where a number is."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, 1e-300))
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)


def chart(
    title: str, x: Axis, y: Axis, series: Sequence[Series], *, levels: Sequence[Level] = (),
    draw: Callable[[Series, int, Scale, Scale], Html] | None = None,
) -> Html:  # fmt: skip
    """Return a figure of curves, or of what ``draw`` makes of a series, with a legend below."""
    series = list(series)[:MOST_SERIES]
    ends = [(h, y) for s in series for h, (_, y) in zip(_halves(s), s.points, strict=True)]
    heights = [v for half, y in ends for v in (y - half, y + half)]
    heights += [v for level in levels for v in (level.y - level.half, level.y + level.half)]
    up = Scale(y, heights, _HIGH - _BOTTOM, _TOP)
    left = round(_LEFT + _SIGN * max((len(short(tick)) for tick in up.ticks), default=4))
    across = Scale(x, [p[0] for s in series for p in s.points], left, _WIDE - _RIGHT)
    drawn = [_level(level, left, up) for level in levels]
    drawn += [(draw or _curve)(s, _look(s, n), across, up) for n, s in enumerate(series)]
    words = f"{title}: {y.label} over {x.label}; " + "; ".join(map(_in_words, series))
    words += "".join(f"; {level.label} {short_of(level.y)}" for level in levels)
    picture = element(
        "svg", element("title", words), _grid(x, y, across, up), *drawn,
        class_="chart", viewBox=f"0 0 {_WIDE} {_HIGH}", role="img", aria_label=words,
    )  # fmt: skip
    legend = _legend(series, levels, points=draw is not None)
    return element("figure", element("figcaption", title), picture, legend)


def short_of(value: float) -> str:
    """Return a measured number in four digits."""
    return f"{value:.4g}"


def _in_words(series: Series) -> str:
    if not series.points:
        return series.label
    (x0, y0), (x1, y1) = series.points[0], series.points[-1]
    if len(series.points) == 1:
        return f"{series.label} {short_of(y0)} at {short(x0)}"
    return f"{series.label} from {short_of(y0)} at {short(x0)} to {short_of(y1)} at {short(x1)}"


def _look(series: Series, place: int) -> int:
    return place if series.look is None else series.look


def _halves(series: Series) -> Sequence[float]:
    return series.halves or [0.0] * len(series.points)


def _grid(x: Axis, y: Axis, across: Scale, up: Scale) -> Html:
    """Return the grid with its numbers, and what the axes are."""
    lines, words, left = [], [], round(across.start)
    for tick in up.ticks:
        lines.append(f"M{left} {up(tick)}H{_WIDE - _RIGHT}")
        words.append(_text(short(tick), left - 6, up(tick) + 4, "end"))
    lines.append(f"M{left} {_TOP}V{_HIGH - _BOTTOM}H{_WIDE - _RIGHT}")
    taken = -math.inf
    for tick in across.ticks:
        at, text = across(tick), short(tick)
        if at - 4 * len(text) > taken:
            taken = at + 4 * len(text) + 4
            lines.append(f"M{at} {_HIGH - _BOTTOM}v4")
            words.append(_text(text, at, _HIGH - _BOTTOM + 18, "middle"))
    words.append(_text(x.label, (left + _WIDE - _RIGHT) / 2, _HIGH - 6, "middle"))
    middle = (_TOP + _HIGH - _BOTTOM) / 2
    turned = {"transform": f"rotate(-90 13 {middle:g})"}
    words.append(_text(y.label, 13, middle, "middle", **turned))
    return joined([element("path", d="".join(lines), class_="grid"), *words])


def _text(words: str, x: float, y: float, anchor: str, **attributes: Any) -> Html:
    place = {"x": f"{x:g}", "y": f"{y:g}", "text_anchor": anchor}
    return element("text", words, class_="soft", **place, **attributes)


def _level(level: Level, left: int, up: Scale) -> Html:
    band = None
    if level.half:
        top, bottom = up(level.y + level.half), up(level.y - level.half)
        d = f"M{left} {top}H{_WIDE - _RIGHT}V{bottom}H{left}z"
        band = element("path", d=d, class_="band")
    line = element("path", d=f"M{left} {up(level.y)}H{_WIDE - _RIGHT}", class_="plain")
    return joined([band, line])


def _curve(series: Series, number: int, across: Scale, up: Scale) -> Html:
    """Return a curve, with bars and signs at its points where these are few."""
    chosen = spread(len(series.points), _POINTS)
    points = [(across(series.points[i][0]), up(series.points[i][1])) for i in chosen]
    parts = [_path(points, number)] if len(points) > 1 else []
    for (x, y), half in zip(series.points, series.halves, strict=False):
        at = across(x)
        d = f"M{at} {up(y - half)}V{up(y + half)}"
        parts.append(element("path", d=d, class_=f"s{number}", style="stroke-dasharray:none"))
    signs = points if len(points) <= _SIGNS else [points[i] for i in spread(len(points), 12)]
    parts += [sign(number, *point) for point in signs]
    return joined(parts)


def _path(points: Sequence[tuple[float, float]], number: int) -> Html:
    d = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
    return element("path", d=d, class_=f"curve s{number}")


def sign(number: int, x: float, y: float) -> Html:
    """Return the sign of a series at a place."""
    shapes = (
        "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z", "m-3 -3h6v6h-6z", "m0 -4l4 7h-8z",
        "m0 -4.5l4 4.5l-4 4.5l-4 -4.5z", "m0 4l4 -7h-8z", "m-4 0h8m-4 -4v8", "m-3 -3l6 6m0 -6l-6 6",
        "m-3.5 -1.5h7v3h-7z",
    )  # fmt: skip
    d = f"M{x:g} {y:g}{shapes[number % len(shapes)]}"
    return element("path", d=d, class_=f"sign s{number}", style="stroke-dasharray:none")


def dots(series: Series, number: int, across: Scale, up: Scale) -> Html:
    """Draw a series as points, as ``chart`` takes it."""
    return joined(
        element("circle", cx=f"{across(x):g}", cy=f"{up(y):g}", r="3", class_=f"dot s{number}")
        for x, y in series.points
    )


def _legend(series: Sequence[Series], levels: Sequence[Level], *, points: bool) -> Html | None:
    """Return what each series is called; a single curve needs no more than its axis says."""
    if len(series) + len(levels) < 2:
        return None
    entries = []
    for place, one in enumerate(series):
        number, middle = _look(one, place), (17.0, 6.0)
        mark = dots_mark(number) if points else joined(
            [_path([(1, 6), (33, 6)], number), sign(number, *middle)]
        )  # fmt: skip
        entries.append(_entry(mark, one.label))
    line = element("path", d="M1 6H33", class_="plain")
    entries += [_entry(line, level.label) for level in levels]
    return element("ul", *entries, class_="legend")


def dots_mark(number: int) -> Html:
    """Return what stands for points in a legend."""
    return element("circle", cx="17", cy="6", r="3", class_=f"dot s{number}")


def _entry(mark: Html, label: str) -> Html:
    picture = element("svg", mark, viewBox="0 0 34 12", aria_hidden="true")
    return element("li", picture, label)


def bars(title: str, unit: str, rows: Sequence[tuple[str, float]]) -> Html:
    """Return a figure of level bars from 0, with what each is and its number."""
    most = max((value for _, value in rows), default=1.0) or 1.0
    parts, row = [], 40
    for number, (label, value) in enumerate(rows):
        y, wide = number * row, max(1.0, 380 * value / most)
        parts.append(element("text", label, x="0", y=str(y + 14)))
        d = f"M0 {y + 19}h{wide:.1f}v13h-{wide:.1f}z"
        parts.append(element("path", d=d, class_=f"bar s{0 if number == 0 else 7}"))
        parts.append(
            element("text", f"{short_of(value)} {unit}", x=f"{wide + 6:.1f}", y=str(y + 30))
        )
    words = f"{title}: " + "; ".join(f"{label} {short_of(value)} {unit}" for label, value in rows)
    picture = element(
        "svg", element("title", words), *parts, class_="chart", role="img", aria_label=words,
        viewBox=f"0 0 {_WIDE} {row * len(rows)}",
    )  # fmt: skip
    return element("figure", element("figcaption", title), picture)
