"""What must stay as it is: memory, open files, threads, and files in the folder."""

import gc
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from statistics import median

#: Memory may grow by so many bytes from the first third after the warm-up to the last: less than
#: a kilobyte in each of many thousand rounds.
ALLOWED = 12 << 20


@dataclass(frozen=True)
class Measures:
    """Of one moment."""

    memory: int
    handles: int
    threads: int
    files: int


def measure(folder):
    """Return how things stand."""
    gc.collect()
    return Measures(
        _resident(), _count("/proc/self/fd"),
        max(_count("/proc/self/task"), threading.active_count()),
        sum(1 for path in Path(folder).rglob("*") if path.is_file()),
    )  # fmt: skip


def _count(folder):
    return len(os.listdir(folder)) if os.path.isdir(folder) else 0


def _resident():
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def growth(series):
    """Return by how much the last third of some numbers is above the first, by their medians."""
    third = max(1, len(series) // 3)
    return median(series[-third:]) - median(series[:third])


def faults(seen):
    """Return what did not stay as it was over measures that were taken after the warm-up."""
    found = []
    grown = growth([m.memory for m in seen])
    if grown > ALLOWED:
        found.append(f"memory grew by {grown / 1e6:.1f} MB")
    for name in ("handles", "threads", "files"):
        series = [getattr(m, name) for m in seen]
        if growth(series) > 0:
            found.append(f"{name} grew from {series[0]} to {series[-1]}")
    return found
