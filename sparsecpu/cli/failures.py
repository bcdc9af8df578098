"""What a command says, in one line, when the system refuses something; and what to do then."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

#: What helps against what the system says. Where several numbers mean the same, each is named.
_ADVICE = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there, or ask for a larger quota",
    errno.EFBIG: "allow larger files (ulimit -f)",
    errno.EACCES: "choose a place that you may read and write",
    errno.EPERM: "choose a place that you may read and write",
    errno.EROFS: "choose a folder that can be written",
    errno.ENOENT: "check whether it was moved or removed",
    errno.ENOTDIR: "check the path: a part of it is a file",
    errno.EISDIR: "name a file",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "close other programs: the system has too many open files",
    errno.EPIPE: "the program that reads the output has ended",
    errno.EIO: "check the disk",
    errno.ESTALE: "check the network disk",
}


def line_of(error: BaseException) -> str:
    """Return an error as one line: what, why, what to do, and notes that were put on it."""
    if isinstance(error, OSError):
        text = _of_system(error)
    elif isinstance(error, UnicodeEncodeError):
        sign = error.object[error.start : error.start + 1]
        text = f"the output cannot show {sign!a} in {error.encoding}; set PYTHONIOENCODING=utf-8"
    elif isinstance(error, MemoryError) and not getattr(error, "args", ()):
        text = "out of memory; try smaller batches, a lower density or fewer samples"
    else:
        text = str(error) or type(error).__name__
    return " ".join("; ".join([text, *getattr(error, "__notes__", ())]).split())


def _of_system(error: OSError) -> str:
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    if not names and error.errno == errno.ENOENT and not _is_somewhere():
        names = ["the current folder"]
    said = error.strerror or str(error) or type(error).__name__
    advice = _ADVICE.get(error.errno or 0)
    return ": ".join([*names, said]) + ("" if advice is None else f" ({advice})")


def _is_somewhere() -> bool:
    """Return True unless the folder that this process is in has been removed."""
    try:
        return bool(os.getcwd())
    except OSError:
        return False


def open_standard_streams() -> None:
    """Put a null device where a standard stream is closed.

    The next file would be opened in its place otherwise, and what libraries print would go into it.
    """
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is this one
    if sys.stderr is None:  # messages go nowhere
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def flush_output() -> None:
    """Write out what is left of the standard output; it says itself where it could not."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        error.filename = "standard output"
        raise


def silence_output() -> None:
    """Throw away what the standard output did not take; Python would try once more at the end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
