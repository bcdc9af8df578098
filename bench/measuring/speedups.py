"""How many times faster, and when such a figure means something.

A speed-up is the ratio of medians. Where a median is too vague, the ratio of least times stands in
for it: other work on the machine only adds to a time, so least times say even on a busy machine
what medians do not.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from sparsecpu.bench.measuring.timing import VAGUE, Timing

#: A least time counts where a third one came as near to it as this, relative to itself.
_AGAIN = 0.1
#: A contestant whose least time is so many times the fastest one's is slower for certain, however
#: noisy its times are.
_FAR = 2.0
#: What stands below a table that has ratios marked with ~.
LEGEND = "~ marks ratios of least times, used where the medians were too noisy"


def ratio(theirs: Iterable[Timing], ours: Iterable[Timing]) -> float | None:
    """Return the medians of their parts over those of ours, or None where one is too vague."""
    theirs, ours = list(theirs), list(ours)
    if max(timing.uncertainty for timing in [*theirs, *ours]) > VAGUE:
        return None
    return sum(t.ms for t in theirs) / sum(t.ms for t in ours)


def least_ratio(theirs: Iterable[Timing], ours: Iterable[Timing]) -> float | None:
    """Return the least times of their parts over those of ours.

    None where a least time was reached only once, and so may still be too long.
    """
    theirs, ours = list(theirs), list(ours)
    if max(timing.scatter for timing in [*theirs, *ours]) > _AGAIN:
        return None
    return sum(t.least for t in theirs) / sum(t.least for t in ours)


def beside_dense(contestants: dict[str, list[Timing]], ours: list[Timing]) -> dict[str, Any]:
    """Return the fastest dense contestant's name, and our speed-ups by medians and least times."""
    if not contestants:
        return {"fastest_dense": None, "dense_speedup": None, "least_speedup": None}
    name, clear = fastest(contestants)
    least = {name: sum(time.least for time in parts) for name, parts in contestants.items()}
    best = min(least, key=least.__getitem__)
    near = [parts for name, parts in contestants.items() if least[name] <= _FAR * least[best]]
    unsure = any(least_ratio(parts, ours) is None for parts in near)
    return {
        "fastest_dense": name,
        "dense_speedup": ratio(contestants[name], ours) if clear else None,
        "least_speedup": None if unsure else least_ratio(contestants[best], ours),
    }


def fastest(contestants: dict[str, list[Timing]]) -> tuple[str, bool]:
    """Return the name of the fastest contestant by medians, and whether that is certain.

    It is not where another one's median is vague and its lower quartile is below the fastest time.
    """
    name = min(contestants, key=lambda n: sum(t.ms for t in contestants[n]))
    best = sum(t.ms for t in contestants[name])
    clear = all(
        max(t.uncertainty for t in parts) <= VAGUE or sum(t.low for t in parts) >= best
        for parts in contestants.values()
    )
    return name, clear


def beside_each(contestants: dict[str, Timing], ours: Timing) -> dict[str, Any]:
    """Return ``ratio`` and ``least_ratio``, each by the contestant's name."""
    return {
        kind.__name__: {name: kind([theirs], [ours]) for name, theirs in contestants.items()}
        for kind in (ratio, least_ratio)
    }


def shown(value: float | None, least: float | None = None) -> str:
    """Return a ratio for a table: ``4.12x``, or ``~4.1x`` where it is one of least times."""
    if value is not None:
        return f"{value:.2f}x" if value < 10 else f"{value:.1f}x"
    if least is None:
        return "too noisy"
    return f"~{least:.1f}x" if least < 10 else f"~{least:.0f}x"


def shown_beside_dense(found: dict[str, Any]) -> str:
    """Return the speed-up that ``beside_dense`` found for a table; ``-`` if nothing dense ran."""
    if found["fastest_dense"] is None:
        return "-"
    return shown(found["dense_speedup"], found["least_speedup"])


def known(found: dict[str, Any]) -> float | None:
    """Return the speed-up that ``beside_dense`` found, by medians or else by least times."""
    clear = found["dense_speedup"]
    return found["least_speedup"] if clear is None else clear


def break_even(results: list[dict[str, Any]]) -> tuple[float | None, bool]:
    """Return the sparsity above which sparse beats dense, and whether it was measured.

    Our time is nearly linear in the density, so it is interpolated in that; outside of the measured
    sparsities it is extrapolated. None where fewer than two ratios are clear.
    """
    known_ones = [(1 - r["sparsity"], known(r)) for r in results]
    # Density, and our time over the dense one's.
    points = sorted(
        (density, 1 / speedup) for density, speedup in known_ones if speedup is not None
    )
    for low, high in itertools.pairwise(points):
        if low[1] <= 1 < high[1]:
            return _crossing(low, high), True
    if len(points) < 2:
        return None, False
    low, high = points[-2:] if points[-1][1] <= 1 else points[:2]
    return (None if high[1] <= low[1] else _crossing(low, high)), False


def _crossing(low: tuple[float, float], high: tuple[float, float]) -> float:
    """Return the sparsity at which the line through two points of time over density reaches 1."""
    (d0, time0), (d1, time1) = low, high
    return 1 - (d0 + (d1 - d0) * (1 - time0) / (time1 - time0))
