"""Folders that runs and comparisons are kept in: made, locked, and found empty."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from sparsecpu.errors import ParameterError
from sparsecpu.files.locks import FolderLock, is_lock
from sparsecpu.files.writing import is_temporary, make_folder


@contextlib.contextmanager
def opened(lock: FolderLock) -> Iterator[set[str]]:
    """Make a folder if there is none, lock it, and yield the names of what is in it.

    The lock is kept after the block. If the block raises, it is released, and a folder that was
    made goes again. Raises ``ParameterError`` (of ``out``) if the folder cannot be written.
    """
    folder = lock.folder
    there = folder.exists()
    try:
        make_folder(folder)
        lock.take()
        yield {n for n in os.listdir(folder) if not (is_temporary(n) or is_lock(n))}
    except BaseException as error:
        lock.release()
        if not there:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            expected = f"a folder that can be written ({error.strerror or error})"
            raise ParameterError("out", str(folder), expected) from None
        raise


def check_empty(folder: Path, names: set[str]) -> None:
    """Refuse a folder with anything in it: a run would overwrite what has the same name."""
    if names:
        some = ", ".join(sorted(names)[:3]) + (" …" if len(names) > 3 else "")
        raise ParameterError("out", str(folder), f"a new or an empty folder: this one has {some}")
