"""Schedules: functions of the optimizer step, for learning rates and prune rates alike.

Everything here returns a function ``schedule(step) -> float``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sparsecpu.errors import ParameterError
from sparsecpu.registries import Registry, read_options
from sparsecpu.registries.numbers import above_zero, is_number, whole
from sparsecpu.registries.registry import with_options

Schedule = Callable[[int], float]


def constant(value: float) -> Schedule:
    """Return the schedule that is always ``value``.

    Parameters
    ----------
    value : float
        The value.
    """
    return lambda step: value


def linear(start: float, total: int, end: float = 0.0) -> Schedule:
    """Return ``start + (end - start) step / total``, then ``end``.

    Parameters
    ----------
    start, end : float
        First and last value.
    total : int
        Steps from the first to the last value.
    """
    return lambda step: start + (end - start) * min(step / max(total, 1), 1.0)


def cosine(start: float, total: int, end: float = 0.0) -> Schedule:
    """Return ``end + (start - end) (1 + cos(pi step / total)) / 2``, then ``end``.

    Parameters
    ----------
    start, end : float
        First and last value.
    total : int
        Steps from the first to the last value.
    """

    def schedule(step: int) -> float:
        part = min(step / max(total, 1), 1.0)
        return end + (start - end) * (1.0 + math.cos(math.pi * part)) / 2.0

    return schedule


def multistep(value: float, milestones: Sequence[int], factor: float = 0.1) -> Schedule:
    """Return ``value`` times ``factor`` for every milestone that has been reached.

    Parameters
    ----------
    value : float
        First value.
    milestones : sequence of int
        Steps at which the value changes.
    factor : float
        What it is multiplied by.
    """
    return lambda step: value * factor ** sum(step >= milestone for milestone in milestones)


def every(value: float, period: int, factor: float = 0.1) -> Schedule:
    """Return ``value * factor ** (step // period)``.

    Parameters
    ----------
    value : float
        First value.
    period : int
        Steps between changes, at least 1.
    factor : float
        What the value is multiplied by.

    Raises
    ------
    ParameterError
        If ``period`` is below 1.
    """
    if period < 1:
        raise ParameterError("period", period, "an integer of at least 1")
    return lambda step: value * factor ** (step // period)


def inverse_scaling(value: float, power: float = 0.5) -> Schedule:
    """Return ``value / (step + 1) ** power``.

    Parameters
    ----------
    value : float
        First value.
    power : float
        The exponent.
    """
    return lambda step: value / (step + 1) ** power


def warmup(schedule: Schedule, steps: int) -> Schedule:
    """Return ``schedule``, rising linearly from near 0 over its first ``steps`` steps.

    Parameters
    ----------
    schedule : callable
        The schedule to warm up.
    steps : int
        Length of the warm-up.
    """
    return lambda step: schedule(step) * min((step + 1) / (steps + 1), 1.0)


def one_cycle(peak: float, total: int, rise: float = 0.3, start_factor: float = 0.04) -> Schedule:
    """Return the one-cycle policy: cosine up to ``peak``, then cosine down to almost nothing.

    Parameters
    ----------
    peak : float
        Largest value.
    total : int
        Steps of the whole cycle.
    rise : float
        Fraction of the steps that go up.
    start_factor : float
        First value over ``peak``; the last is ``1e-4`` of the first.

    Raises
    ------
    ParameterError
        If ``rise`` is no fraction, or ``start_factor`` not above 0.

    Notes
    -----
    Smith and Topin, Super-convergence (2018).
    """
    up = max(int(_fraction("rise", rise) * total), 1)
    first = peak * above_zero("start_factor", start_factor)
    climb = cosine(first, up, peak)
    fall = cosine(peak, max(total - up, 1), first * 1e-4)
    return lambda step: climb(step) if step < up else fall(step - up)


def _fraction(name: str, value: float) -> float:
    """Return an argument; refuse what is no number in [0, 1]."""
    if not (is_number(value) and 0.0 <= value <= 1.0):
        raise ParameterError(name, value, "a number in [0, 1]")
    return value


def cubic(start: float, end: float, first: int, last: int) -> Schedule:
    """Return the schedule of gradual pruning: fast at first, slow towards the end.

    :math:`e + (s - e)(1 - (t - t_0) / (t_1 - t_0))^3`.

    Parameters
    ----------
    start, end : float
        s and e: values up to ``first`` and from ``last`` on.
    first, last : int
        :math:`t_0` and :math:`t_1`.

    Notes
    -----
    Zhu and Gupta, To prune, or not to prune (2017), equation 1.
    """

    def value(step: int) -> float:
        gone = min(max(step - first, 0) / max(last - first, 1), 1.0)
        return end if gone == 1.0 else end + (start - end) * (1.0 - gone) ** 3

    return value


def _cosine(peak: float, total: int, *, warmup: int | None = None, floor: float = 0.0) -> Schedule:
    """Return the cosine from a peak to ``floor`` times the peak, behind a warm-up."""
    return _warmed_up(cosine(peak, total, _fraction("floor", floor) * peak), total, warmup)


def _constant(peak: float, total: int, *, warmup: int | None = None) -> Schedule:
    """Return what is always the peak, behind a warm-up."""
    return _warmed_up(constant(peak), total, warmup)


def _warmed_up(schedule: Schedule, total: int, steps: int | None) -> Schedule:
    """Put a warm-up of so many steps before a schedule: by default, a twentieth of all."""
    return warmup(schedule, total // 20 if steps is None else whole("warmup", steps, 0))


#: Learning rates of whole runs by the name that users give: functions of the peak and the steps,
#: which may have options.
SCHEDULES: Registry[Callable[..., Schedule]] = Registry(
    "schedule", {"cosine": _cosine, "one-cycle": one_cycle, "constant": _constant}, "schedules"
)


def make_schedule(text: str, peak: float, total: int) -> Schedule:
    """Return the learning rate of a whole run.

    Parameters
    ----------
    text : str
        A name in ``SCHEDULES``, perhaps with options: ``"cosine:floor=0.1,warmup=100"`` ends at a
        tenth of the peak, behind a warm-up of 100 steps.
    peak : float
        The largest rate.
    total : int
        Steps of the run.

    Raises
    ------
    ParameterError
        If there is no such schedule, or an option is not one of its own or out of range.
    """
    name, options = read_options("schedule", text)
    made = with_options(name, SCHEDULES.find(name), options, ("peak", "total"))
    try:
        return made(peak, total)
    except ParameterError as error:
        raise ParameterError(f"{error.name} of {name}", error.value, error.expected) from None
