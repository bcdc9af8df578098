"""How many cores this process may use: by its affinity mask, and by quotas of control groups."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from sparsecpu.reading.control_groups import ControlGroup, control_groups


@dataclass(frozen=True)
class Cores:
    """How many cores there are for this process, and which limit says so."""

    count: int
    rule: str


def allowed_cores(root: Path = Path("/")) -> Cores:
    """Return how many cores this process may use; ``root`` is where ``/proc`` and ``/sys`` are.

    A quota counts as the cores that it needs to be used up: 1.5 of them as 2.
    """
    there = os.cpu_count() or 1
    found = [Cores(there, "the cores of this machine")]
    if hasattr(os, "sched_getaffinity"):
        mask = len(os.sched_getaffinity(0))
        if mask < there:
            found.append(Cores(mask, f"the affinity mask, {mask} of {there} cores"))
    for group in control_groups("cpu", root):
        quota = _quota(group)
        if quota is not None:
            rule = f"the quota of the control group {group.name}, {quota:g} cores"
            found.append(Cores(max(1, math.ceil(quota)), rule))
    return min(found, key=lambda cores: cores.count)


def _quota(group: ControlGroup) -> float | None:
    """Return how many cores' time a group may use, None if there is no limit."""
    if group.version == 1:
        quota, period = group.number("cpu.cfs_quota_us"), group.number("cpu.cfs_period_us")
    else:
        quota, period = group.number("cpu.max"), group.number("cpu.max", 1)
    if quota is None or quota <= 0 or not period or period < 0:
        return None
    return round(quota / period, 3)
