"""Compiled kernels on disk: survive damaged files, several processes, and changed sources.

Numba keeps an index and a file per specialisation next to the kernels (or where NUMBA_CACHE_DIR
says). It raises on a truncated index, gives two processes that compile at once the same file name,
and looks at one source file where a kernel is made of several. What is wrapped here is private to
Numba; where a version lacks it, its own behaviour remains.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any


@cache
def sources_stamp() -> tuple:
    """Return times and sizes of all files that kernels are made of."""
    files = sorted(Path(__file__).parent.parent.rglob("*.py"))
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing the cache in a folder inside the block, where possible."""
    try:
        import fcntl
    except ImportError:  # Windows: Numba's own retries must do
        yield
        return
    try:
        file = open(folder / ".sparsecpu.lock", "w")  # noqa: SIM115
    except OSError:
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def harden(dispatcher: Any) -> Any:
    """Make a kernel compile anew where its cache cannot be used, instead of failing; return it."""
    try:
        store = dispatcher._cache
        load, save, flush = store.load_overload, store.save_overload, store.flush
        folder = Path(store.cache_path)
        store._cache_file._source_stamp = (store._cache_file._source_stamp, sources_stamp())
    except AttributeError:
        return dispatcher

    def safe_load(signature: Any, context: Any) -> Any:
        try:
            return load(signature, context)
        except Exception:  # truncated, or written by something else: whatever is wrong with it
            with contextlib.suppress(OSError), locked(folder):
                flush()
            return None

    def safe_save(signature: Any, data: Any) -> None:
        with locked(folder):
            try:
                save(signature, data)
            except OSError:  # the disk is full, or no longer ours
                return
            except Exception:  # the index is damaged: begin it anew
                with contextlib.suppress(OSError):
                    flush()
                    save(signature, data)

    store.load_overload, store.save_overload = safe_load, safe_save
    return dispatcher
