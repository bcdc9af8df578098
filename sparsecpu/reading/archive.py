"""Archives of arrays (``.npz``): what they hold is known before any of it is read."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from sparsecpu.errors import SparseCPUError
from sparsecpu.reading.files import file_size, open_regular, refusing
from sparsecpu.reading.memory import check_memory
from sparsecpu.reading.npy import LONGEST_HEADER, ArrayHeader, OtherElementsError, read_header

#: Deflate makes no more than so many bytes of one.
MOST_DEFLATED = 1032
_PIECE = 1 << 22
#: Members of at most so many bytes are read at once.
_SMALL = 1 << 16
#: Bits of a member's flags: encrypted in one of two ways, or a patch; and a name in UTF-8.
_OTHER_FLAGS, _UTF8 = 0x61, 0x800
#: What stands before a member: a signature, what the directory says too, and two lengths.
_LOCAL = struct.Struct("<4s22x2H")


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
        #: Small members whose header has been read, but not their array.
        self._contents: dict[str, bytes] = {}

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()
        self._file.close()

    def _checked_members(self) -> dict[str, zipfile.ZipInfo]:
        """Return the members by the names of their arrays, if their sizes are possible."""
        size, total, found = file_size(self._file), 0, {}
        for info in self._zip.infolist():
            name, packed = info.filename.removesuffix(".npy"), info.compress_size
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{name[:100]!r} is compressed in an unknown way")
            if info.flag_bits & _OTHER_FLAGS:
                raise ValueError(f"{name[:100]!r} is encrypted, or no plain member")
            most = packed if info.compress_type == zipfile.ZIP_STORED else MOST_DEFLATED * packed
            total += packed
            if info.file_size > most or total > size:
                raise ValueError(f"{name[:100]!r} claims more bytes than it can have")
            if name in found:
                raise ValueError(f"two members have one name, {name[:100]!r}")
            found[name] = info
        return found

    def header(self, name: str) -> ArrayHeader:
        """Return what an array says of itself; its bytes are as many as that needs."""
        if name not in self._headers:
            with refusing(self.path, self.refusal, "an .npz file"):
                info = self.members[name]
                try:
                    if _is_small(info):
                        content = self._contents[name] = self._stored(info)
                        header = read_header(io.BytesIO(content[:LONGEST_HEADER]))
                    else:
                        with self._zip.open(info) as stream:
                            header = read_header(stream)
                except OtherElementsError as error:  # the file is whole
                    words = f"elements of type {error.kind}; {error.expected}"
                    raise self.refusal(f"{self.path}: {name[:100]} holds {words}") from error
                if header.start + header.nbytes != info.file_size:
                    raise ValueError(
                        f"{name[:100]!r} of shape {header.shape} has "
                        f"{info.file_size - header.start} bytes; expected {header.nbytes}"
                    )
                self._headers[name] = header
        return self._headers[name]

    def _stored(self, info: zipfile.ZipInfo) -> bytes:
        """Return the bytes of a small member that is not compressed; much faster than zipfile."""
        self._file.seek(info.header_offset)
        local = self._file.read(_LOCAL.size)
        signature, name_size, extra_size = _LOCAL.unpack(local)
        name = self._file.read(name_size).decode("utf-8" if info.flag_bits & _UTF8 else "cp437")
        if signature != b"PK\3\4" or name != info.orig_filename:
            raise ValueError(f"{info.filename[:100]!r} is not where the directory says")
        self._file.seek(extra_size, os.SEEK_CUR)
        content = self._file.read(info.file_size)
        if zlib.crc32(content) != info.CRC:
            raise ValueError(f"the checksum of {info.filename[:100]!r} is another")
        return content

    def read(self, name: str, extra: int = 0) -> np.ndarray:
        """Return an array, if there is memory for it and ``extra`` bytes more."""
        header = self.header(name)
        check_memory(header.nbytes + extra, f"{self.path}: {name}", self.refusal)
        if name in self._contents:
            content = np.frombuffer(self._contents.pop(name), dtype=np.uint8)
            values = content[header.start :].copy()
        else:
            with refusing(self.path, self.refusal, "an .npz file"), self.open(name) as stream:
                values = np.empty(header.nbytes, dtype=np.uint8)
                if not fill(stream, values) or stream.read(1):
                    raise ValueError(f"{name[:100]!r} has other bytes than it claims")
        array = values != 0 if header.dtype.kind == "b" else values.view(header.dtype)
        return array.reshape(header.shape, order="F" if header.fortran else "C")

    def open(self, name: str) -> IO[bytes]:
        """Open an array at its first value; its checksum is checked at its end."""
        header = self.header(name)
        stream = self._zip.open(self.members[name])
        stream.read(header.start)
        return stream


def _is_small(info: zipfile.ZipInfo) -> bool:
    stored = info.compress_type == zipfile.ZIP_STORED and info.file_size == info.compress_size
    return stored and info.file_size <= _SMALL


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
