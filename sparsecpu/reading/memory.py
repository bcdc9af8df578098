"""How much memory is free, what limits it, and refusals of what would not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sparsecpu.errors import SparseCPUError
from sparsecpu.reading.control_groups import ControlGroup, control_groups, text_of

#: Less than so many bytes is never worth asking the system.
_SMALL = 1 << 25
#: What a control group may use, and uses now, by version. Of version 1 the second pair counts what
#: was swapped out as well; version 2 slows a group down above ``memory.high``.
_FILES = {
    1: (
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ("memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes"),
    ),
    2: (("memory.max", "memory.current"), ("memory.high", "memory.current")),
}
#: A limit of so many bytes is none: version 1 has the largest number of pages for it.
_NONE = 1 << 60


@dataclass(frozen=True)
class Bound:
    """How many bytes are free as far as one limit goes, and which limit that is."""

    free: int
    rule: str


def memory_bounds(root: Path = Path("/")) -> list[Bound]:
    """Return what each limit leaves, the least first; ``root`` is where ``/proc`` and ``/sys`` are.

    There is what the machine has left beside all that runs on it, what this process's control
    groups (its container) may use, and what the process may (``ulimit -v``, ``ulimit -d``). Pages
    of files that the system only keeps for later count as free.
    """
    found = [*_machine(root), *_process(root)]
    for group in control_groups("memory", root):
        found += _group(group)
    return sorted(found, key=lambda bound: bound.free)


def free_memory() -> int | None:
    """Return the bytes that this process may still take, or None if the system does not tell."""
    bounds = memory_bounds()
    return bounds[0].free if bounds else None


def check_memory(needed: int, what: str, refusal: type[SparseCPUError]) -> None:
    """Refuse what needs more bytes than are free."""
    if needed < _SMALL:
        return
    free = free_memory()
    if free is not None and needed > free:
        raise refusal(f"{what} needs {in_words(needed)} of memory; {in_words(free)} are free")


def in_words(size: float) -> str:
    """Return a number of bytes as users read it."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _machine(root: Path) -> Iterator[Bound]:
    known = {}
    for line in text_of(root / "proc/meminfo").splitlines():
        words = line.replace(":", " ").split()
        if len(words) > 1 and words[1].isdecimal():
            known[words[0]] = int(words[1]) * 1024
    if "MemAvailable" in known:
        total = in_words(known.get("MemTotal", 0))
        yield Bound(known["MemAvailable"], f"the memory of this machine, {total}")
    # The system may promise no more memory than it has, as on some clusters.
    strict = text_of(root / "proc/sys/vm/overcommit_memory").strip() == "2"
    if strict and known.keys() >= {"CommitLimit", "Committed_AS"}:
        left = max(0, known["CommitLimit"] - known["Committed_AS"])
        limit = in_words(known["CommitLimit"])
        yield Bound(left, f"what this machine may promise to programs, {limit}")


def _process(root: Path) -> Iterator[Bound]:
    try:
        import resource
    except ImportError:  # Windows
        return
    used = {}
    for line in text_of(root / "proc/self/status").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] in ("VmSize:", "VmData:"):
            used[words[0]] = int(words[1]) * 1024
    kinds = ((resource.RLIMIT_AS, "VmSize:", "v"), (resource.RLIMIT_DATA, "VmData:", "d"))
    for kind, name, letter in kinds:
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY and name in used:
            rule = f"the limit of this process (ulimit -{letter}), {in_words(limit)}"
            yield Bound(max(0, limit - used[name]), rule)


def _group(group: ControlGroup) -> Iterator[Bound]:
    """Yield what the limits of a control group leave."""
    for most, used in _FILES[group.version]:
        limit, now = group.number(most), group.number(used)
        if limit is None or now is None or limit >= _NONE:
            continue
        free = limit - now + _kept_for_later(group)
        kind = " with swap" if "memsw" in most else ""
        rule = f"the limit of the control group {group.name}{kind}, {in_words(limit)}"
        yield Bound(min(limit, max(0, free)), rule)


def _kept_for_later(group: ControlGroup) -> int:
    """Return the bytes of files that a group's use counts, and that go when memory is needed.

    Those are files that were read or written, but not what is mapped now: libraries that run.
    """
    known = group.numbers("memory.stat")
    names = ("inactive_file", "active_file", "file_mapped")
    if group.version == 1:
        names = ("total_inactive_file", "total_active_file", "total_mapped_file")
    idle, busy, mapped = (known.get(name, 0) for name in names)
    return max(idle, idle + busy - mapped)
