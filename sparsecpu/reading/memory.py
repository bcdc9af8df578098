"""How much memory is free, and refusals of what would not fit."""

from __future__ import annotations

from pathlib import Path

from sparsecpu.errors import SparseCPUError

#: Less than so many bytes is never worth asking the system.
_SMALL = 1 << 25
#: What a container may use, and uses: of cgroups version 2, and 1.
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def free_memory() -> int | None:
    """Return the bytes that this process may still take, or None if the system does not tell.

    That is the least of what the machine has, what its container may use, and what the process may
    (``ulimit -v``).
    """
    bounds = [_machine(), _process(), *(_container(*paths) for paths in _CGROUPS)]
    known = [bound for bound in bounds if bound is not None]
    return max(0, min(known)) if known else None


def check_memory(needed: int, what: str, refusal: type[SparseCPUError]) -> None:
    """Refuse what needs more bytes than are free."""
    if needed < _SMALL:
        return
    free = free_memory()
    if free is not None and needed > free:
        raise refusal(f"{what} needs {_words(needed)} of memory; {_words(free)} are free")


def _words(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _machine() -> int | None:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return None


def _process() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, used = resource.getrlimit(resource.RLIMIT_AS)[0], _text("/proc/self/statm").split()
    if limit == resource.RLIM_INFINITY or not used:
        return None
    return limit - int(used[0]) * resource.getpagesize()


def _container(most: str, used: str) -> int | None:
    limit, now = _text(most).strip(), _text(used).strip()
    return int(limit) - int(now) if limit.isdecimal() and now.isdecimal() else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
