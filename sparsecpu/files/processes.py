"""Which process left a file, and whether it still runs."""

from __future__ import annotations

import os
import platform
import zlib
from functools import cache
from typing import NamedTuple


class Process(NamedTuple):
    """A process: a mark of its host, its number, and when it began, in ticks since the boot.

    Numbers are used again; one that began at the same tick is the same process.
    """

    host: str
    pid: int
    began: int


def this_process() -> Process:
    """Return this process; after a fork, the child is another one."""
    return Process(_host(), os.getpid(), _state(os.getpid())[1])


def has_ended(process: Process) -> bool:
    """Return True if a process is known to have ended: it was on this host and is there no more."""
    if process.host != _host() or os.name != "posix":
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it runs, and belongs to someone else
        pass
    except OverflowError:
        return True
    state, began = _state(process.pid)
    return state == "Z" or (began > 0 < process.began and began != process.began)


@cache
def _host() -> str:
    """Return a mark of this machine; containers count their processes each for itself."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{zlib.crc32(f'{platform.node()} {space}'.encode()):08x}"


def _state(pid: int) -> tuple[str, int]:
    """Return a process's state and when it began, "" and 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, IndexError, ValueError):
        return "", 0
