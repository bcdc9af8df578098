"""Fair timing: contestants take turns, and threads fall asleep before the next one starts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from sparsecpu.bench.measuring.step_clock import StepClock

#: Seconds for which other libraries' threads may spin after their work, before they sleep.
_PAUSE = 0.03
#: Seconds of calls that are timed together. Short, so that what takes the CPU away for a moment
#: spoils a few of many timings, and the median does not move.
_BURST = 5e-5
#: A median is vague when its relative uncertainty is above this.
VAGUE = 0.15
#: Contestants with vague medians get more rounds, up to this many times as many.
_PATIENCE = 3
#: Rounds that are made even where they take longer than the budget.
_LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Timing:
    """Times of one contestant, in milliseconds per call: the median, the quartiles, the least."""

    ms: float
    low: float
    high: float
    #: Half the width of the median's 95 % confidence interval, over the median.
    uncertainty: float = 0.0
    least: float = 0.0
    #: How far the third-least time lies above the least, over the least; infinite without a third.
    scatter: float = np.inf


@contextlib.contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Give our kernels and every BLAS the same number of threads."""
    from threadpoolctl import threadpool_limits

    from sparsecpu.kernels.machine.threads import use_threads

    with use_threads(threads), threadpool_limits(threads):
        yield


def compare(
    contestants: dict[str, Callable[[], object]],
    *,
    rounds: int = 7,
    seconds: float = 0.01,
    budget: float = np.inf,
) -> dict[str, Timing]:
    """Time contestants, named ``library/part``: warmed up, in turns of about ``seconds``.

    After ``budget`` seconds there are no more rounds, once every contestant has had three.
    """
    counts = {name: _calls_per_turn(call, seconds) for name, call in contestants.items()}
    times: dict[str, list[float]] = {name: [] for name in contestants}
    began = time.perf_counter()
    for number in range(_PATIENCE * rounds):
        if number >= _LEAST_ROUNDS and time.perf_counter() - began > budget:
            break
        due = contestants
        if number >= rounds:
            due = {name: call for name, call in due.items() if _is_vague(times[name])}
        if not due:
            break
        before = ""
        for name, call in due.items():
            library = name.partition("/")[0]
            if library != before:
                time.sleep(_PAUSE)  # until the threads of the library before are asleep
            before = library
            call()  # untimed: wakes this library's threads and fills the caches
            times[name] += _turn(call, *counts[name])
    return {name: _timing(times[name], call) for name, call in contestants.items()}


def _calls_per_turn(call: Callable[[], object], seconds: float) -> tuple[int, int]:
    """Warm a contestant up; return how many bursts make a turn, and how many calls a burst."""
    call()
    start = time.perf_counter()
    call()
    took = max(time.perf_counter() - start, 1e-7)
    calls = int(np.clip(_BURST / took, 1, 100))
    return int(np.clip(seconds / (took * calls), 1, 200)), calls


def _turn(call: Callable[[], object], bursts: int, calls: int) -> list[float]:
    """Return the milliseconds per call of each burst."""
    found = []
    for _ in range(bursts):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        found.append((time.perf_counter() - start) / calls * 1e3)
    return found


def _is_vague(milliseconds: list[float]) -> bool:
    return summarise(milliseconds).uncertainty > VAGUE


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

    The median's interval lies between two order statistics: it assumes nothing about the noise.
    """
    values = np.sort(list(milliseconds))
    low, middle, high = np.percentile(values, [25, 50, 75])
    n, reach = len(values), 0.98 * np.sqrt(len(values))
    first = values[max(0, int(np.floor(n / 2 - reach)))]
    last = values[min(n - 1, int(np.ceil(n / 2 + reach)))]
    uncertainty = (last - first) / (2 * middle)
    least = float(values[0])
    return Timing(
        float(middle), float(low), float(high), float(uncertainty), least, _scatter(values)
    )
