"""Archives of arrays (``.npz``): what they hold is known before any of it is read."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from sparsecpu.errors import SparseCPUError
from sparsecpu.reading.files import file_size, open_regular, refusing
from sparsecpu.reading.memory import check_memory
from sparsecpu.reading.npy import ArrayHeader, read_header

#: Deflate makes no more than so many bytes of one.
MOST_DEFLATED = 1032
_PIECE = 1 << 22


class Archive:
    """The arrays of an ``.npz``, by name; sizes are checked against the file, then read.

    ``refusal`` is raised, with one line, if the file is damaged or is no archive.
    """

    def __init__(self, path: Path | str, refusal: type[SparseCPUError]) -> None:
        self.path, self.refusal = path, refusal
        with refusing(path, refusal, "an .npz file"):
            self._file = open_regular(path)
            try:
                self._zip = zipfile.ZipFile(self._file)
                self.members = self._checked_members()
            except BaseException:
                self._file.close()
                raise
        self._headers: dict[str, ArrayHeader] = {}

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()
        self._file.close()

    def _checked_members(self) -> dict[str, zipfile.ZipInfo]:
        """Return the members by the names of their arrays, if their sizes are possible."""
        size, found = file_size(self._file), {}
        for info in self._zip.infolist():
            name = info.filename.removesuffix(".npy")
            packed = info.compress_size
            if info.compress_type == zipfile.ZIP_STORED:
                possible = info.file_size == packed
            elif info.compress_type == zipfile.ZIP_DEFLATED:
                possible = info.file_size <= MOST_DEFLATED * packed
            else:
                raise ValueError(f"{name[:100]!r} is compressed in an unknown way")
            if not possible or packed > size:
                raise ValueError(f"{name[:100]!r} claims more bytes than it can have")
            if name in found:
                raise ValueError(f"there are two of {name[:100]!r}")
            found[name] = info
        return found

    def header(self, name: str) -> ArrayHeader:
        """Return what an array says of itself; its bytes are as many as that needs."""
        if name not in self._headers:
            with refusing(self.path, self.refusal, "an .npz file"):
                info = self.members[name]
                with self._zip.open(info) as stream:
                    header = read_header(stream)
                if header.start + header.nbytes != info.file_size:
                    raise ValueError(
                        f"{name[:100]!r} of shape {header.shape} has "
                        f"{info.file_size - header.start} bytes; expected {header.nbytes}"
                    )
                self._headers[name] = header
        return self._headers[name]

    def read(self, name: str, extra: int = 0) -> np.ndarray:
        """Return an array, if there is memory for it and ``extra`` bytes more."""
        header = self.header(name)
        check_memory(header.nbytes + extra, f"{self.path}: {name}", self.refusal)
        with refusing(self.path, self.refusal, "an .npz file"), self.open(name) as stream:
            values = np.empty(header.nbytes, dtype=np.uint8)
            if not fill(stream, values) or stream.read(1):
                raise ValueError(f"{name[:100]!r} has other bytes than it claims")
        array = values != 0 if header.dtype.kind == "b" else values.view(header.dtype)
        return array.reshape(header.shape, order="F" if header.fortran else "C")

    def open(self, name: str) -> IO[bytes]:
        """Open an array at its first value; its checksum is checked at its end."""
        stream = self._zip.open(self.members[name])
        stream.read(self.header(name).start)
        return stream


def fill(stream: IO[bytes], values: np.ndarray) -> bool:
    """Read bytes in pieces until ``values`` is full; return False if there are too few."""
    view, at = values.data, 0
    while at < len(view):
        piece = stream.read(min(_PIECE, len(view) - at))
        if not piece:
            return False
        view[at : at + len(piece)] = piece
        at += len(piece)
    return True
