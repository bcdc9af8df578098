"""How many times faster: ratios of times, and when they mean something."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sparsecpu.bench.timing import VAGUE, Timing

#: A least time counts where a third one came as near to it as this, relative to itself.
_AGAIN = 0.1
#: A contestant whose turns all took so many times longer than the fastest's least is slower, even
#: where others held it up.
_FAR = 2.0
#: What stands below a table with ratios that begin with ~.
LEGEND = "~: of least times, as medians were too noisy"


def ratio(theirs: Iterable[Timing], ours: Iterable[Timing]) -> float | None:
    """Return how many times longer theirs take, all together.

    Parameters
    ----------
    theirs, ours : iterable of Timing
        Parts that are added up.

    Returns
    -------
    float or None
        None where a median is too vague to say.
    """
    theirs, ours = list(theirs), list(ours)
    if max(timing.uncertainty for timing in [*theirs, *ours]) > VAGUE:
        return None
    return sum(t.ms for t in theirs) / sum(t.ms for t in ours)


def least_ratio(theirs: Iterable[Timing], ours: Iterable[Timing]) -> float | None:
    """Return how many times longer theirs take, all together, where nobody interferes.

    What others take of the CPU only adds to a time, so least times tell even on a busy machine what
    medians do not.

    Parameters
    ----------
    theirs, ours : iterable of Timing
        Parts that are added up.

    Returns
    -------
    float or None
        None where a least time was not come near to again, and so may be too long still.
    """
    theirs, ours = list(theirs), list(ours)
    if max(timing.scatter for timing in [*theirs, *ours]) > _AGAIN:
        return None
    return sum(t.least for t in theirs) / sum(t.least for t in ours)


def beside_dense(contestants: dict[str, list[Timing]], ours: list[Timing]) -> dict[str, Any]:
    """Return how ours do beside the fastest dense contestant.

    Parameters
    ----------
    contestants : dict of str to list of Timing
        Parts by name; they are added up.
    ours : list of Timing
        Our parts.

    Returns
    -------
    dict
        ``fastest_dense``, its name by medians; ``dense_speedup`` from medians, None where they are
        too vague to say; ``least_speedup`` from least times, beside the fastest by those.
    """
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
    """Return who is the fastest by medians, and whether that is clear.

    Parameters
    ----------
    contestants : dict of str to list of Timing
        Parts by name; they are added up.

    Returns
    -------
    name : str
        Of the fastest.
    clear : bool
        Whether nobody else has a vague median and a lower quartile below the fastest's median.
    """
    name = min(contestants, key=lambda n: sum(t.ms for t in contestants[n]))
    best = sum(t.ms for t in contestants[name])
    clear = all(
        max(t.uncertainty for t in parts) <= VAGUE or sum(t.low for t in parts) >= best
        for parts in contestants.values()
    )
    return name, clear


def beside_each(contestants: dict[str, Timing], ours: Timing) -> dict[str, Any]:
    """Return ratios to each contestant.

    Parameters
    ----------
    contestants : dict of str to Timing
        By name.
    ours : Timing
        Of the same work.

    Returns
    -------
    dict
        ``ratio`` and ``least_ratio``, each by name.
    """
    return {
        "ratio": {name: ratio([theirs], [ours]) for name, theirs in contestants.items()},
        "least_ratio": {
            name: least_ratio([theirs], [ours]) for name, theirs in contestants.items()
        },
    }


def shown(value: float | None, least: float | None = None) -> str:
    """Return a ratio for a table.

    Parameters
    ----------
    value : float or None
        From ``ratio``.
    least : float or None
        From ``least_ratio``, which takes its place where medians are too vague.

    Returns
    -------
    str
        Such as ``4.12x``, or ``~4.1x`` for a ratio of least times.
    """
    if value is not None:
        return f"{value:.2f}x" if value < 10 else f"{value:.1f}x"
    if least is None:
        return "too noisy"
    return f"~{least:.1f}x" if least < 10 else f"~{least:.0f}x"


def shown_beside_dense(found: dict[str, Any]) -> str:
    """Return the speed-up over the fastest dense contestant for a table.

    Parameters
    ----------
    found : dict
        With what ``beside_dense`` returned.

    Returns
    -------
    str
        As ``shown`` says; ``-`` where nothing dense ran.
    """
    if found["fastest_dense"] is None:
        return "-"
    return shown(found["dense_speedup"], found["least_speedup"])


def known(found: dict[str, Any]) -> float | None:
    """Return the speed-up over the fastest dense contestant, by medians or else by least times.

    Parameters
    ----------
    found : dict
        With what ``beside_dense`` returned.

    Returns
    -------
    float or None
        None where neither is known.
    """
    clear = found["dense_speedup"]
    return found["least_speedup"] if clear is None else clear


def dense_is_faster(found: dict[str, Any]) -> str:
    """Return what the end of a line says where dense is faster.

    Parameters
    ----------
    found : dict
        With what ``beside_dense`` returned.

    Returns
    -------
    str
        Empty where it is not, or nobody knows.
    """
    value = known(found)
    return "  use dense here" if value is not None and value < 1 else ""
