"""Fair timing: contestants take turns, and the machine is given time to calm down in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from sparsecpu.bench.layer_clock import StepClock

#: Other libraries' threads spin for a while after their work; wait for them to sleep.
_PAUSE = 0.03
#: Seconds of calls that are timed together. Short, so that whoever takes the CPU away for a moment
#: spoils a few of many timings, and the median does not move.
_BURST = 5e-5
#: A median is vague that is known less well than this, relative to itself.
VAGUE = 0.15
#: So many times the rounds are spent on contestants whose medians are vague.
_PATIENCE = 3
_LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Timing:
    """Times of one contestant.

    Parameters
    ----------
    ms : float
        Median milliseconds per call.
    low, high : float
        Quartiles.
    uncertainty : float
        Half the width of the median's 95 % confidence interval, over the median.
    least : float
        The least of all.
    scatter : float
        How far the third to least lies above the least, over the least; infinite where there are
        fewer than three.
    """

    ms: float
    low: float
    high: float
    uncertainty: float = 0.0
    least: float = 0.0
    scatter: float = np.inf


def library(name: str) -> str:
    """Return whose thread pool a contestant ``library/part`` uses.

    Parameters
    ----------
    name : str
        Of the contestant.

    Returns
    -------
    str
        What stands before the slash.
    """
    return name.partition("/")[0]


def compare(
    contestants: dict[str, Callable[[], object]],
    *,
    rounds: int = 7,
    seconds: float = 0.01,
    budget: float = np.inf,
) -> dict[str, Timing]:
    """Time functions side by side: warmed up, interleaved, several rounds.

    Parameters
    ----------
    contestants : dict of str to callable
        What to time, named ``library/part``. At each switch of library everybody waits until
        foreign threads sleep.
    rounds : int
        Rounds; in each everybody has a turn.
    seconds : float
        About how long a turn is.
    budget : float
        Seconds after which there are no more rounds, once everybody has had three turns.

    Returns
    -------
    dict of str to Timing
        By name.
    """
    repeats, bursts = {}, {}
    for name, call in contestants.items():
        call()
        start = time.perf_counter()
        call()
        took = max(time.perf_counter() - start, 1e-7)
        bursts[name] = int(np.clip(_BURST / took, 1, 100))
        repeats[name] = int(np.clip(seconds / (took * bursts[name]), 1, 200))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    began = time.perf_counter()
    for turn in range(_PATIENCE * rounds):
        before, vague = None, turn < rounds
        if turn >= _LEAST_ROUNDS and time.perf_counter() - began > budget:
            break
        for name, call in contestants.items():
            if turn >= rounds and summarise(times[name]).uncertainty <= VAGUE:
                continue
            vague = True
            if library(name) != before:
                before = library(name)
                time.sleep(_PAUSE)
            call()  # untimed: wakes the library's threads and fills the caches
            for _ in range(repeats[name]):
                start = time.perf_counter()
                for _ in range(bursts[name]):
                    call()
                times[name].append((time.perf_counter() - start) / bursts[name] * 1e3)
        if not vague:
            break
    return {name: _timing(times[name], call) for name, call in contestants.items()}


def _timing(milliseconds: list[float], call: Callable[[], object]) -> Timing:
    timing = summarise(milliseconds)
    if not isinstance(call, StepClock):
        return timing
    least = call.least()
    return replace(timing, least=float(least[0]), scatter=_scatter(least))


def _scatter(ascending: np.ndarray) -> float:
    return float(ascending[2] / ascending[0] - 1) if len(ascending) > 2 else np.inf


def summarise(milliseconds: Iterable[float]) -> Timing:
    """Return the median, the quartiles, and how well the median is known.

    Parameters
    ----------
    milliseconds : iterable of float
        Measured times.

    Returns
    -------
    Timing
        Of them. The interval of the median is that between two order statistics: it assumes
        nothing about the noise.
    """
    values = np.sort(list(milliseconds))
    low, middle, high = np.percentile(values, [25, 50, 75])
    n, reach = len(values), 0.98 * np.sqrt(len(values))
    first = values[max(0, int(np.floor(n / 2 - reach)))]
    last = values[min(n - 1, int(np.ceil(n / 2 + reach)))]
    vague = (last - first) / (2 * middle)
    return Timing(
        float(middle), float(low), float(high), float(vague), float(values[0]), _scatter(values)
    )
