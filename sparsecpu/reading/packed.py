"""Files that may be packed by gzip; what is in a file tells, not its name."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from sparsecpu.reading.files import open_regular

_GZIP = b"\x1f\x8b"


@contextlib.contextmanager
def open_unpacked(path: Path | str) -> Iterator[BinaryIO]:
    """Open a regular file to read its bytes, unpacked if it is packed by gzip."""
    with open_regular(path) as raw:
        packed = is_packed(raw)
        yield cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw


def is_packed(raw: BinaryIO) -> bool:
    """Return True if a file that is at its beginning is packed by gzip; it stays there."""
    start = raw.read(len(_GZIP))
    raw.seek(0)
    return start == _GZIP
