"""Fair timing: contestants take turns, and the machine is given time to calm down in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: Other libraries' threads spin for a while after their work; wait for them to sleep.
_PAUSE = 0.03
#: Seconds of calls that are timed together. Short, so that whoever takes the CPU away for a moment
#: spoils a few of many timings, and the median does not move.
_BURST = 5e-5


@dataclass(frozen=True)
class Timing:
    """Times of one contestant.

    Parameters
    ----------
    ms : float
        Median milliseconds per call.
    low, high : float
        Quartiles.
    """

    ms: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """Distance of the quartiles over the median."""
        return (self.high - self.low) / self.ms


def compare(
    contestants: dict[str, Callable[[], object]],
    *,
    rounds: int = 7,
    seconds: float = 0.01,
) -> dict[str, Timing]:
    """Time functions side by side: warmed up, interleaved, several rounds.

    Parameters
    ----------
    contestants : dict of str to callable
        What to time. Neighbours of one library should stand together.
    rounds : int
        Rounds; in each everybody has a turn.
    seconds : float
        About how long a turn is.

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
    for _ in range(rounds):
        for name, call in contestants.items():
            time.sleep(_PAUSE)
            call()  # untimed: wakes the library's threads and fills the caches
            for _ in range(repeats[name]):
                start = time.perf_counter()
                for _ in range(bursts[name]):
                    call()
                times[name].append((time.perf_counter() - start) / bursts[name] * 1e3)
    result = {}
    for name, values in times.items():
        low, middle, high = np.percentile(values, [25, 50, 75])
        result[name] = Timing(float(middle), float(low), float(high))
    return result
