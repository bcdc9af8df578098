"""NumPy's ``.npz`` files as tensors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError
from sparsecpu.files.interop.tensors import Tensor, unreadable
from sparsecpu.reading.archive import Archive, fill
from sparsecpu.reading.files import refusing
from sparsecpu.reading.npy import ArrayHeader, OtherElementsError


def read_npz(path: Path | str) -> dict[str, Tensor]:
    """Open an ``.npz`` of plain arrays as tensors by name; rows are read when they are needed.

    Raises ``FileFormatError`` if the file is damaged. Arrays of anything but numbers are refused
    only when they are needed.
    """
    path = Path(path)
    with Archive(path, FileFormatError) as archive:
        return {name: _opened(archive, name) for name in archive.members}


def _opened(archive: Archive, name: str) -> Tensor:
    try:
        header = archive.header(name)
    except FileFormatError as error:
        other = error.__cause__
        if not isinstance(other, OtherElementsError):
            raise
        return unreadable(name, other.shape, f"has elements of type {other.kind}; {other.expected}")
    if header.dtype.kind not in "fiub":
        reason = f"has elements of type {header.dtype}; expected numbers"
        return unreadable(name, header.shape, reason)
    return _member(Path(archive.path), name, header)


def _member(path: Path, name: str, header: ArrayHeader) -> Tensor:
    """Return a tensor that reads its member from front to back in each pass."""
    shape, dtype = header.shape, header.dtype
    columns, rows = math.prod(shape[1:]), shape[0] if shape else 1
    kept: dict[str, Any] = {}

    def read(first: int, stop: int) -> np.ndarray:
        if header.fortran and len(shape) > 1:  # a row is scattered over the file: read all of it
            if first == 0:
                with Archive(path, FileFormatError) as archive:
                    kept["whole"] = archive.read(name)
            raw = kept["whole"][first:stop].ravel()
        else:
            if first == 0:
                kept["archive"] = Archive(path, FileFormatError)
                kept["stream"] = kept["archive"].open(name)
            raw = np.empty((stop - first) * columns, dtype)
            with refusing(path, FileFormatError, "an .npz file"):
                if not fill(kept["stream"], raw.view(np.uint8)):
                    raise EOFError("it was cut off")
        if stop == rows:
            for opened in kept.values():
                getattr(opened, "close", lambda: None)()
            kept.clear()
        wide = dtype.kind == "f" and dtype.itemsize >= 4
        return (raw if wide else raw.astype(np.float32)).reshape(stop - first, columns)

    return Tensor(name, shape, read)
