"""The other end of ``dense_children``: a process that makes steps when it is asked to."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence

#: A kind of steps: its precision, and what makes one.
Kind = tuple[str, Callable[[], object]]
#: Steps of a turn, if they take no more than so many seconds.
_LEAST, _LONGEST = 15, 0.25


def serve(make: Callable[[Sequence[int], int], list[Kind]]) -> None:
    """Obey lines of JSON on the standard input until it ends.

    The first says ``{"layers": [784, 300, 10], "batch": 128}`` and is answered by the precisions of
    all kinds of steps that ``make`` makes of it. Each of the others has the number of a kind and
    seconds, and is answered by the milliseconds of the steps of a ``turn``.
    """
    kinds: list[Kind] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        if kinds is None:
            kinds = make(request["layers"], request["batch"])
            answer: list = [precision for precision, _ in kinds]
        else:
            number, seconds = request
            answer = turn(kinds[number][1], seconds)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def turn(step: Callable[[], object], seconds: float) -> list[float]:
    """Make steps for so many seconds; return the milliseconds of each.

    There are enough of them for one that other work on the machine does not disturb, if that
    takes no quarter of a second; one at least.
    """
    times: list[float] = []
    now = time.perf_counter()
    end, least = now + seconds, _LEAST if seconds else 1
    while not times or now < end or (len(times) < least and now < end + _LONGEST):
        step()
        before, now = now, time.perf_counter()
        times.append((now - before) * 1e3)
    return times
