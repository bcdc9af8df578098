"""Stops a program at one of its writes into a folder: loaded by Python itself, from PYTHONPATH.

``STOP_UNDER`` is the folder, ``STOP_AT`` says how and when: ``kill:7`` ends the process by SIGKILL
at the 7th thing that it does to files there (after half of the bytes, if that is a write),
``term:7`` and ``int:7`` send it a signal, ``full:7`` makes the disk full from then on, and
``count:FILE`` only counts and says at the end how much there was.
"""

import atexit
import builtins
import errno
import io
import os
import signal

_UNDER = os.environ.get("STOP_UNDER", "")
_HOW, _, _WHEN = os.environ.get("STOP_AT", ":").partition(":")
_SIGNALS = {"kill": "SIGKILL", "term": "SIGTERM", "int": "SIGINT"}
_done = 0


def reached(path):
    """Count something that is done to a file; return True where it is to be stopped."""
    global _done
    if isinstance(path, int):
        try:
            path = os.readlink(f"/proc/self/fd/{path}")
        except OSError:
            return False
    if not os.path.realpath(os.fsdecode(path)).startswith(_UNDER):
        return False
    _done += 1
    return _HOW != "count" and (_done == int(_WHEN) or (_HOW == "full" and _done > int(_WHEN)))


def stop():
    if _HOW in _SIGNALS:
        os.kill(os.getpid(), getattr(signal, _SIGNALS[_HOW]))
    else:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def watched(function, needs_space):
    """Return a function of ``os`` that counts; those that need no space work on a full disk."""

    def call(place, *others, **options):
        if reached(place) and (needs_space or _HOW != "full"):
            stop()
        return function(place, *others, **options)

    return call


class File(io.FileIO):
    """A file whose writes count."""

    def write(self, data):
        if reached(self.name if isinstance(self.name, int) else os.path.abspath(self.name)):
            if _HOW in ("kill", "full"):  # signals do not come between the bytes of a write
                super().write(memoryview(data).cast("B")[: len(data) // 2])
            stop()
        return super().write(data)


def install():
    plain_open, plain_fdopen = builtins.open, os.fdopen

    def opened(file, mode="r", *others, encoding=None, **options):
        if mode in ("a", "w") and str(file).startswith(_UNDER):
            return io.TextIOWrapper(io.BufferedWriter(File(file, mode)), encoding=encoding)
        return plain_open(file, mode, *others, encoding=encoding, **options)

    def fdopen(handle, mode="r", *others, **options):
        if mode == "wb":
            return io.BufferedWriter(File(handle, "w"))
        return plain_fdopen(handle, mode, *others, **options)

    builtins.open, os.fdopen = opened, fdopen
    for name in ("fsync", "replace", "unlink", "ftruncate", "mkdir"):
        setattr(os, name, watched(getattr(os, name), name in ("fsync", "mkdir")))
    if _HOW == "count":
        atexit.register(lambda: _done and plain_open(_WHEN, "w").write(str(_done)))


if _UNDER:
    install()
