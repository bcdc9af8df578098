"""Files as readers open them: regular ones only, and refused in one line."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sparsecpu.errors import SparseCPUError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
#: Windows has neither pipes nor devices that a reader could wait for.
_DO_NOT_WAIT = getattr(os, "O_NONBLOCK", 0)


def open_regular(path: Path | str) -> BinaryIO:
    """Open a file to read its bytes; ``OSError`` at once for pipes, devices and folders.

    A pipe would be waited for, perhaps for ever, and a device need not end.
    """
    _check_kind(path, os.stat(path).st_mode)
    # Whatever has taken the file's place since then is not waited for either.
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | _DO_NOT_WAIT))  # noqa: SIM115
    try:
        _check_kind(path, os.fstat(file.fileno()).st_mode)
    except OSError:
        file.close()
        raise
    return file


def _check_kind(path: Path | str, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kind = next((name for test, name in _KINDS if test(mode)), "something else")
    raise OSError(errno.EINVAL, f"it is {kind}; expected a file", str(path))


def read_content(path: Path | str) -> bytes:
    """Return the bytes of a regular file; ``OSError`` if it is anything else."""
    with open_regular(path) as file:
        return file.read()


def file_size(file: BinaryIO) -> int:
    """Return the bytes of an open file."""
    return os.fstat(file.fileno()).st_size


@contextlib.contextmanager
def refusing(path: Path | str, refusal: type[SparseCPUError], kind: str) -> Iterator[None]:
    """Turn whatever is raised while a file is read into one refusal; ours go through.

    ``kind`` is what the file should have been, as in "an .npz file".
    """
    try:
        yield
    except SparseCPUError:
        raise
    except FileNotFoundError:
        raise refusal(f"{path}: no such file") from None
    except OSError as error:
        raise refusal(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # zipfile, zlib, json and others raise many kinds on damaged bytes
        raise refusal(
            f"{path} is damaged or not {kind} ({error or type(error).__name__})"
        ) from error
