"""Makes a find smaller: fewer files, then fewer bytes, as long as it fails in the same way."""

import time

from tests.fuzz.target import Failure, Files, Folder, Target, attempt

#: Seconds that one find is worth.
_SECONDS = 3.0


def minimise(target: Target, folder: Folder, files: Files, failure: Failure) -> Files:
    """Return the smallest files that were found in a few seconds to fail in the same way."""
    until = time.monotonic() + min(_SECONDS, target.seconds / 2)

    def fails(candidate: Files) -> bool:
        found = attempt(target, folder, candidate)
        return found is not None and (found.kind, found.where) == (failure.kind, failure.where)

    if not fails(files):  # not a function of the files alone: leave them as they are
        return files
    for name in list(files):
        fewer = {n: content for n, content in files.items() if n != name}
        if fewer and time.monotonic() < until and fails(fewer):
            files = fewer
    for name in files:
        piece = len(files[name]) // 2
        while piece and time.monotonic() < until:
            files = _without_pieces(files, name, piece, fails, until)
            piece //= 2
    return files


def _without_pieces(files, name, piece, fails, until) -> Files:
    """Leave out pieces of one size wherever that can be."""
    at = 0
    while at < len(files[name]) and time.monotonic() < until:
        content = files[name]
        shorter = {**files, name: content[:at] + content[at + piece :]}
        if fails(shorter):
            files = shorter
        else:
            at += piece
    return files
