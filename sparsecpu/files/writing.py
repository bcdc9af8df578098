"""How every file is written: beside its place, to the disk, and then moved there whole.

A file that a killed process could not finish says in its name who began it: ``.NAME.HOST-PID-…``.
The next process that writes into the folder removes it.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sparsecpu.errors import FileFormatError
from sparsecpu.files.processes import Process, has_ended, this_process

#: What the name of a temporary file ends with: host, process, when that began, and a number.
_OWNER = re.compile(r"\..*\.([0-9a-f]{8})-([0-9]{1,10})-([0-9]{1,20})-[0-9]{1,10}\.tmp")
#: File systems allow names of so many bytes, ...
_LONGEST_NAME = 255
#: ... of which the owner takes at most so many.
_LONGEST_OWNER = 60
#: Whether a process of another host has ended nobody knows: its files must be a day old.
_OLD = 24 * 3600.0
#: What systems say that cannot flush a folder.
_NO_FLUSH = {errno.EINVAL, errno.EACCES, errno.EPERM, errno.EBADF, errno.EISDIR, errno.ENOTSUP}

_numbers = itertools.count()
_seen: set[Path] = set()


@contextlib.contextmanager
def atomic_write(path: Path | str) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces ``path`` once the block has ended without an error.

    A symbolic link stays, and what it points to is replaced. A file keeps its permissions and its
    owner, as far as may be. Raises ``FileFormatError`` if the path is a folder, a device or a pipe.
    """
    target, temporary = _target(Path(path)), None
    if target.parent not in _seen:  # once per process: it looks at every name in the folder
        clean(target.parent)
        _seen.add(target.parent)
    try:
        temporary = _temporary(target)
        with os.fdopen(_created(temporary, target), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        flush_folder(target.parent)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, FileNotFoundError) and not target.parent.exists():
            words = f"there is no folder {target.parent}; make it, or choose another place"
            raise FileFormatError(f"{path}: {words}") from error
        if isinstance(error, OSError) and error.filename in (None, str(temporary)) and error.errno:
            raise OSError(error.errno, error.strerror, str(path)) from error  # as the user calls it
        raise


def write_text(path: Path | str, text: str) -> None:
    """Replace a file by this text."""
    with atomic_write(path) as file:
        file.write(text.encode())


def make_folder(path: Path) -> None:
    """Make a folder, and those that it is in, where they are not there; they outlast a crash."""
    missing = list(itertools.takewhile(lambda p: not p.exists(), (path, *path.parents)))
    path.mkdir(parents=True, exist_ok=True)
    for made in missing:
        flush_folder(made.parent)


def flush_folder(folder: Path) -> None:
    """Have the names in a folder written to the disk, where the system can do that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows, or a folder that we may write into but not read
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(handle)


def clean(folder: Path) -> None:
    """Remove what processes that have ended did not finish writing in a folder."""
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if is_temporary(entry.name)]
    except OSError:  # not there yet, or not to be read
        return
    for name in found:
        with contextlib.suppress(OSError):
            if _is_left(folder / name):
                os.unlink(folder / name)


def is_temporary(name: str) -> bool:
    """Return True for names that ``atomic_write`` gives to what is not finished."""
    return _OWNER.fullmatch(name) is not None


def _is_left(path: Path) -> bool:
    found = _OWNER.fullmatch(path.name)
    if found is None:
        return False
    owner = Process(found[1], int(found[2]), int(found[3]))
    if owner.host == this_process().host and os.name == "posix":
        return has_ended(owner)
    return time.time() - path.stat().st_mtime > _OLD


def _target(path: Path) -> Path:
    """Return the file that a path leads to, which need not be there yet."""
    target = Path(os.path.realpath(path))
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return target
    except OSError as error:
        error.filename = str(path)
        raise
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
        raise FileFormatError(f"{path} is {kind}; expected a file, or the name of a new one")
    return target


def _temporary(target: Path) -> Path:
    """Return a new name in the same folder, no longer than names may be."""
    host, pid, began = this_process()
    start = os.fsencode(target.name)[: _LONGEST_NAME - _LONGEST_OWNER]
    name = start.decode("utf-8", "ignore")  # a character that was cut in two is left out
    return target.parent / f".{name}.{host}-{pid}-{began}-{next(_numbers)}.tmp"


def _created(temporary: Path, target: Path) -> int:
    """Create the temporary file with the permissions that the file has, or gets as a new one."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(temporary, flags, 0o666)
    with contextlib.suppress(OSError, AttributeError):  # new, another's, or Windows
        before, now = target.stat(), os.fstat(handle)
        if (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
            with contextlib.suppress(OSError):
                os.fchown(handle, before.st_uid, before.st_gid)
        os.fchmod(handle, before.st_mode & 0o777)
    return handle
