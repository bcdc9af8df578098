"""One writer per folder: a lock that says who holds it, and that a kill releases.

The lock is a POSIX record lock on the file ``.lock`` in the folder. The system releases it however
the process ends, and NFS has it too. Where it has none, the file ``.lock-process`` says who writes
until it is removed, and counts no more once its process has ended.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import json
import os
import platform
import shlex
import stat
import sys
import threading
import time
from pathlib import Path
from typing import Any

from sparsecpu.errors import FileFormatError, FolderInUseError
from sparsecpu.files.processes import Process, has_ended, this_process
from sparsecpu.files.writing import clean

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: The file that is locked, and the one that stands for the lock where there are none.
LOCK, PROCESS = ".lock", ".lock-process"
_MOST_BYTES = 1 << 16
#: What the file of a lock begins with, once it says who holds it; see ``_who``.
_START = b'{"pid": '


class _Held:
    """A lock of this process: which thread took it, how often, and what there is to undo."""

    def __init__(self, handle: int | None, files: list[Path], info: dict[str, Any]) -> None:
        self.handle, self.files, self.info = handle, files, info
        self.thread, self.times = threading.current_thread(), 1

    def drop(self) -> None:
        """Give the lock back; the file goes first, so that nobody locks one that is to go."""
        for file in self.files:
            with contextlib.suppress(OSError):
                os.unlink(file)
        if self.handle is not None:
            os.close(self.handle)


#: Locks of this process by folder. The system's locks know processes only, not threads.
_held: dict[str, _Held] = {}
_guard = threading.RLock()


def _forget() -> None:
    """Begin anew in a forked child: the locks are its parent's."""
    global _guard
    _guard = threading.RLock()
    for held in _held.values():
        if held.handle is not None:
            os.close(held.handle)
    _held.clear()


@atexit.register
def _drop_all() -> None:
    """Leave no file behind where nobody has released a lock."""
    while _held:
        _held.popitem()[1].drop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class FolderLock:
    """The right to write into a folder, which one process has at a time.

    One thread may have several of them for a folder; other threads, and other processes, are
    refused until all of them are released.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._key: str | None = None

    @property
    def is_taken(self) -> bool:
        """True from ``take`` to ``release``."""
        return self._key is not None and self._key in _held

    def take(self) -> None:
        """Take the lock, and remove what dead processes did not finish in the folder.

        Raises ``FolderInUseError`` if someone else has it. Does nothing if it is taken already.
        """
        key = os.path.realpath(self.folder)
        with _guard:
            held = _held.get(key)
            if held is None:
                _held[key] = _take(Path(key))
                clean(Path(key))
            elif held.thread is not threading.current_thread() and held.thread.is_alive():
                raise _refusal(self.folder, held.info)
            else:
                held.thread = threading.current_thread()
                held.times += self._key != key
            self._key = key

    def release(self) -> None:
        """Give the lock back; does nothing if it is not taken."""
        with _guard:
            held = _held.get(self._key or "")
            if held is not None:
                held.times -= 1
                if not held.times:
                    _held.pop(self._key or "").drop()
            self._key = None

    def __enter__(self) -> FolderLock:
        self.take()
        return self

    def __exit__(self, *details: object) -> None:
        self.release()


def is_lock(name: str) -> bool:
    """Return True for the names of the files that locks are made of."""
    return name in (LOCK, PROCESS)


def _take(folder: Path) -> _Held:
    """Take the lock of a folder from all other processes."""
    info = _who()
    if fcntl is None:
        return _take_by_name(folder, info, [])
    while True:
        handle = _opened(folder / LOCK)
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(handle)
            raise _refusal(folder, _read(folder / LOCK)) from None
        except OSError:  # a file system without locks
            os.close(handle)
            return _take_by_name(folder, info, [folder / LOCK])
        if _is_at(handle, folder / LOCK):
            break
        os.close(handle)  # its holder has removed the file meanwhile
    if not _is_ours(handle):
        os.close(handle)
        raise _foreign(folder / LOCK)
    with contextlib.suppress(OSError):  # on a full disk the lock is as good without a name
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(info).encode())
    return _Held(handle, [folder / LOCK], info)


def _opened(path: Path) -> int:
    """Open the file of a lock, made if it is not there; a link may lead to anything."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR):
            raise _foreign(path) from None
        raise


def _is_ours(handle: int) -> bool:
    """Return True if an open file is new, or one that ``_take`` has written."""
    is_file = stat.S_ISREG(os.fstat(handle).st_mode)
    return is_file and _START.startswith(os.pread(handle, len(_START), 0))


def _foreign(path: Path) -> FileFormatError:
    """Return the refusal of what only has a lock's name: it would be emptied and removed."""
    return FileFormatError(
        f"{path} is no lock of sparsecpu; give it another name, or choose another folder"
    )


def _take_by_name(folder: Path, info: dict[str, Any], files: list[Path]) -> _Held:
    """Take the lock where the system has none, by a file that only one process can create."""
    file = folder / PROCESS
    while True:
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            _remove_if_left(folder, file)
            continue
        try:
            os.write(handle, json.dumps(info).encode())
        finally:
            os.close(handle)
        return _Held(None, [file, *files], info)


def _remove_if_left(folder: Path, file: Path) -> None:
    """Remove the file of a process that has ended; raise ``FolderInUseError`` if it may be there.

    Of two processes that find it at the same time, one renames it.
    """
    info = _read(file)
    with contextlib.suppress(KeyError, TypeError, ValueError):
        if has_ended(Process(str(info["mark"]), int(info["pid"]), int(info["began"]))):
            aside = file.with_name(f"{file.name}-{os.getpid()}-{threading.get_ident()}")
            with contextlib.suppress(OSError):
                os.rename(file, aside)
                if _read(aside) != info:  # a new one, which another process has just taken
                    os.link(aside, file)
                os.unlink(aside)
            return
    if file.exists():
        raise _refusal(folder, info, f"; if it has ended, remove {file}")


def _is_at(handle: int, path: Path) -> bool:
    """Return True if an open file is still the one at a path."""
    try:
        found, there = os.fstat(handle), os.stat(path)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (there.st_dev, there.st_ino)


def _who() -> dict[str, Any]:
    """Return who this process is, for those that are refused."""
    process = this_process()
    return {
        "pid": process.pid, "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "command": shlex.join(sys.argv)[:1000], "mark": process.host, "began": process.began,
    }  # fmt: skip


def _read(path: Path) -> dict[str, Any]:
    """Return what a lock's file says; nothing while it is being written."""
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(folder: Path, info: dict[str, Any], more: str = "") -> FolderInUseError:
    by = "another process"
    if {"pid", "host", "since", "command"} <= info.keys():
        by = f"process {info['pid']} on {info['host']} since {info['since']} ({info['command']})"
    advice = "wait until it has ended, or choose another folder"
    return FolderInUseError(f"{folder} is being written by {by}; {advice}{more}")
