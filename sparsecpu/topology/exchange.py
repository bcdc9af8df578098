"""How many positions layers grow, where they exchange weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.errors import PatternError, brief
from sparsecpu.registries.numbers import whole
from sparsecpu.topology.weight_counts import places_in_whole_groups, unit_of


def counts_to_grow(
    rule: str,
    quotas: Callable[[dict[str, np.ndarray]], dict[str, int]],
    parameters: dict[str, Any],
    dropped: dict[str, np.ndarray],
) -> dict[str, int]:
    """Return how many positions each layer grows, of the quotas that a rule has for them.

    What layers exchange lies in groups that have all their rows; a last one with fewer grows as
    much as is ``dropped`` (sorted places) there. Refuse quotas after which weights would be missing
    or too many.
    """
    exchanged = {
        name: places[: np.searchsorted(places, places_in_whole_groups(parameters[name]))]
        for name, places in dropped.items()
    }
    found = quotas(exchanged)
    if not isinstance(found, dict) or found.keys() != dropped.keys():
        raise PatternError(f"{rule}: quotas are {brief(found)}; expected one for each layer")
    counts = {name: whole(f"quota of {name}", count, 0) for name, count in found.items()}
    units = {name: unit_of(p) for name, p in parameters.items()}
    gone = sum(units[name] * len(places) for name, places in exchanged.items())
    come = sum(units[name] * count for name, count in counts.items())
    if come != gone:
        raise PatternError(f"{rule}: {gone} weights go, {come} come")
    return {n: counts[n] + len(dropped[n]) - len(exchanged[n]) for n in dropped}
