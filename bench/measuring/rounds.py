"""Steps beside those of others, in several rounds: how many times as fast, and how sure that is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

#: Rounds that are made, the fewest of them, and the seconds after which there is no further one.
_ROUNDS, _LEAST, _BUDGET = 7, 3, 6.0
#: Seconds of a turn.
_TURN = 0.01
#: A rival that takes so many times as long as the fastest in the first round has no other.
_FAR = 3.0
#: Ratios that differ from 1 by less are none that anybody would notice.
_CLOSE = 0.05
#: Where all that the ratio may be lies between this and its inverse, two are alike.
_ALIKE = 1.3

#: Makes steps for so many seconds, one at least, and returns the milliseconds of each.
Turn = Callable[[float], Sequence[float]]


class Rival(Protocol):
    """Whose steps stand beside ours; a turn of one that has failed is empty."""

    precision: str
    library: str

    def turn(self, seconds: float) -> Sequence[float]:
        """Make steps for so many seconds; return the milliseconds of each, threads asleep."""
        ...


@dataclass(frozen=True)
class Beside:
    """The fastest rival of a precision: its step, and how many times as fast ours is."""

    library: str
    ms: float
    ratio: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """What that means: ``ours``, ``dense``, ``alike``, or ``unclear`` where rounds differ."""
        if abs(self.ratio - 1.0) <= _CLOSE or self.low <= 1.0 <= self.high:
            near = self.low >= 1.0 / _ALIKE and self.high <= _ALIKE
            return "alike" if near else "unclear"
        return "ours" if self.ratio > 1.0 else "dense"


def beside_rivals(ours: Turn, rivals: Sequence[Rival]) -> tuple[float | None, dict[str, Beside]]:
    """Return our milliseconds of a step, and the fastest rival by precision.

    All take turns, in each of several rounds. A ratio is the median of the rounds' ratios; between
    ``low`` and ``high`` it lies with 95 % confidence, whatever else the machine does. None, and
    nothing beside it, where there is no rival.
    """
    left, own = list(rivals), list[float]()
    times: dict[int, list[float]] = {id(rival): [] for rival in rivals}
    began = time.perf_counter()
    while left and len(own) < _ROUNDS:
        if len(own) >= _LEAST and time.perf_counter() - began > _BUDGET:
            break
        if (found := _typical(ours)) is None:
            return None, {}
        own.append(found)
        for rival in list(left):
            if (theirs := _typical(rival.turn)) is None:
                left.remove(rival)
            else:
                times[id(rival)].append(theirs)
        if len(own) == 1:
            left = _near(left, times)
    if not left:
        return None, {}
    fastest: dict[str, Beside] = {}
    for rival in left:
        one = _beside(rival.library, np.array(times[id(rival)]), np.array(own))
        known = fastest.get(rival.precision)
        if known is None or one.ms < known.ms:
            fastest[rival.precision] = one
    return float(np.median(own)), fastest


def _typical(turn: Turn) -> float | None:
    """Return what a step takes in a turn: the lower quartile, as other work only adds to times."""
    turn(0.0)  # untimed: wakes threads and fills caches
    found = turn(_TURN)
    return float(np.percentile(found, 25)) if len(found) else None


def _near(rivals: Sequence[Rival], times: dict[int, list[float]]) -> list[Rival]:
    """Return the rivals that may be the fastest of their precision."""
    least: dict[str, float] = {}
    for rival in rivals:
        ms = times[id(rival)][0]
        least[rival.precision] = min(ms, least.get(rival.precision, ms))
    return [r for r in rivals if times[id(r)][0] <= _FAR * least[r.precision]]


def _beside(library: str, theirs: np.ndarray, ours: np.ndarray) -> Beside:
    """Return what rounds say of a rival; the interval lies between two order statistics."""
    ratios = np.sort(theirs / ours)
    n = len(ratios)
    reach = 0.98 * np.sqrt(n)
    low = ratios[max(0, int(np.floor(n / 2 - reach)))]
    high = ratios[min(n - 1, int(np.ceil(n / 2 + reach)))]
    ratio = float(np.median(ratios))
    return Beside(library, float(np.median(theirs)), ratio, float(low), float(high))
