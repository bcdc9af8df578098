"""ZIP archives of ``.npy`` members, written field by field so that any field can lie."""

import struct
import zlib
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Array:
    """A ``.npy`` member: what its header says, and the bytes behind it."""

    descr: Any
    shape: Any
    data: bytes
    fortran: Any = False
    version: tuple[int, int] = (1, 0)

    @classmethod
    def of(cls, values: Any) -> "Array":
        """Return an array as it would be saved."""
        values = np.asarray(values)
        return cls(values.dtype.str, values.shape, values.tobytes())

    def header(self) -> str:
        """Return the header's text, as NumPy writes it."""
        return (
            f"{{'descr': {self.descr!r}, 'fortran_order': {self.fortran!r}, "
            f"'shape': {self.shape!r}, }}"
        )

    def content(self, header: str | None = None) -> bytes:
        """Return the member's bytes."""
        text = (self.header() if header is None else header).encode("latin-1", "replace")
        wide = self.version != (1, 0)
        start = 12 if wide else 10
        text += b" " * (-(start + len(text) + 1) % 64) + b"\n"
        size = struct.pack("<I" if wide else "<H", len(text) & (0xFFFFFFFF if wide else 0xFFFF))
        return b"\x93NUMPY" + bytes(self.version) + size + text + self.data


@dataclass(frozen=True)
class Member:
    """A member of an archive; ``lies`` are fields of its records that differ from the truth."""

    name: str
    content: bytes
    packed: bytes | None = None
    size: int | None = None
    local_lies: dict[str, int] = field(default_factory=dict)
    lies: dict[str, int] = field(default_factory=dict)

    def deflated(self) -> "Member":
        """Return the member with its content compressed."""
        packer = zlib.compressobj(1, zlib.DEFLATED, -15)
        return replace(self, packed=packer.compress(self.content) + packer.flush())


#: Fields of a member's records and their largest values, in the order of the central one.
FIELDS = {
    "version": 0xFFFF, "flags": 0xFFFF, "method": 0xFFFF, "time": 0xFFFF, "date": 0xFFFF,
    "crc": 0xFFFFFFFF, "packed": 0xFFFFFFFF, "size": 0xFFFFFFFF, "name": 0xFFFF, "extra": 0xFFFF,
}  # fmt: skip
#: Fields of the record at the end.
END = {"entries": 0xFFFF, "total": 0xFFFF, "length": 0xFFFFFFFF, "offset": 0xFFFFFFFF}


def write_zip(members: list[Member], end_lies: dict[str, int] | None = None) -> bytes:
    """Return an archive."""
    pieces, central, offset = [], [], 0
    for member in members:
        name = member.name.encode("utf-8", "surrogatepass")
        stored = member.content if member.packed is None else member.packed
        true = {
            "version": 20, "flags": 0 if name.isascii() else 0x800,
            "method": 0 if member.packed is None else 8, "time": 0, "date": 33,
            "crc": zlib.crc32(member.content), "packed": len(stored),
            "size": len(member.content) if member.size is None else member.size,
            "name": len(name), "extra": 0,
        }  # fmt: skip
        local = _packed(true | member.local_lies)
        pieces += [b"PK\x03\x04", local, name, stored]
        lies = {k: v for k, v in member.lies.items() if k in FIELDS}
        at = member.lies.get("offset", offset) & 0xFFFFFFFF
        central.append(b"PK\x01\x02\x14\x00" + _packed(true | lies)
                       + struct.pack("<HHHII", 0, 0, 0, 0o644 << 16, at) + name)  # fmt: skip
        offset += 4 + len(local) + len(name) + len(stored)
    listing = b"".join(central)
    end = {"entries": len(members), "total": len(members), "length": len(listing), "offset": offset}
    end |= end_lies or {}
    values = [end[name] & most for name, most in END.items()]
    return b"".join([*pieces, listing, b"PK\x05\x06", struct.pack("<4H2IH", 0, 0, *values, 0)])


def _packed(fields: dict[str, int]) -> bytes:
    return struct.pack("<5H3I2H", *(fields[name] & most for name, most in FIELDS.items()))


@cache
def bomb(megabytes: int, start: bytes = b"") -> tuple[bytes, int]:
    """Return a deflated member of so many megabytes of zeros behind a start, and its CRC."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = bytes(1 << 20)
    piece = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    crc = zlib.crc32(start)
    for _ in range(megabytes):
        crc = zlib.crc32(zeros, crc)
    return first + piece * megabytes + packer.flush(), crc
