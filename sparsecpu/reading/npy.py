"""Headers of ``.npy`` arrays, read as data: never evaluated, and short."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import IO

import numpy as np

_MAGIC = b"\x93NUMPY"
#: The header of an array ends within so many bytes.
LONGEST_HEADER = 1 << 16
_ENTRY = re.compile(
    r"""\s*(?P<quote>['"])(?P<name>descr|fortran_order|shape)(?P=quote)\s*:\s*"""
    r"""(?:(?P<other>['"])(?P<descr>[^'"\\]*)(?P=other)|(?P<fields>\[[^][\\]*\])"""
    r"""|(?P<fortran_order>True|False)|\((?P<shape>[\d\s,L]*)\))\s*(?:,|(?=\}))""",
    re.ASCII,
)
_SPACES = " \t\r\n"
#: Kinds of elements that are read: numbers, truth values and text.
_KINDS = "fiubUS"


#: What to do about an array of Python's objects, which is a pickle: code that nobody runs here.
_ANEW = "save it as numbers: np.savez(FILE, x=np.asarray(x, np.float32))"


class OtherElementsError(ValueError):
    """An array is of elements other than numbers or text."""

    def __init__(self, descr: str, shape: tuple[int, ...]) -> None:
        self.shape = shape
        objects = descr.lstrip("|") == "O"
        self.kind = f"{descr[:50]!r}" + (" (pickled objects)" if objects else "")
        self.expected = f"expected numbers; {_ANEW}" if objects else "expected numbers"
        super().__init__(f"an array's elements are of type {self.kind}; {self.expected}")


@dataclass(frozen=True)
class ArrayHeader:
    """What an array says of itself, and after how many bytes its values begin."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    start: int

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: IO[bytes]) -> ArrayHeader:
    """Read an array's header and leave the stream at its first value.

    Raises ``ValueError`` if it is not one, ``OtherElementsError`` if it is of elements other than
    numbers or text.
    """
    head = stream.read(8)
    version = tuple(head[6:])
    if head[:6] != _MAGIC or version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError("no header of an array")
    width = 2 if version == (1, 0) else 4
    size = stream.read(width)
    length = struct.unpack("<H" if width == 2 else "<I", size)[0] if len(size) == width else -1
    if not 0 <= length <= LONGEST_HEADER - 12:
        raise ValueError("an array's header has no length, or is too long")
    text = stream.read(length)
    if len(text) < length:
        raise ValueError("an array's header is cut off")
    return _parsed(text.decode("utf-8" if version == (3, 0) else "latin-1"), 8 + width + length)


@lru_cache(maxsize=256)
def _parsed(text: str, start: int) -> ArrayHeader:
    return _checked(_entries(text), start)


def _entries(text: str) -> dict[str, str]:
    """Return the entries of a header, which is a Python dictionary of three."""
    text = text.strip(_SPACES)
    found: dict[str, str] = {}
    at, end = 1, len(text) - 1
    while text[:1] == "{" and text[-1:] == "}" and (entry := _ENTRY.match(text, at)):
        name, at = entry["name"], entry.end()
        value = entry["fields"] if name == "descr" and entry["fields"] else entry[name]
        if name in found or value is None:
            break
        found[name] = value
    if len(found) != 3 or text[at:end].strip(_SPACES):
        raise ValueError("an array's header does not say its type, order and shape in plain words")
    return found


def _checked(found: dict[str, str], start: int) -> ArrayHeader:
    sizes = [part.strip(_SPACES).removesuffix("L") for part in found["shape"].split(",")]
    if sizes[-1] == "":
        sizes.pop()
    if len(sizes) > 32 or not all(size.isdecimal() and len(size) < 15 for size in sizes):
        raise ValueError(f"an array's shape is ({found['shape'][:100]})")
    if len(sizes) == 1 and "," not in found["shape"]:  # "(3)" is a number, not a shape
        raise ValueError(f"an array's shape is ({found['shape'][:100]})")
    try:
        dtype = np.dtype(found["descr"])
    except (TypeError, ValueError, SyntaxError):
        dtype = np.dtype(object)
    shape = tuple(int(size) for size in sizes)
    if dtype.kind not in _KINDS or dtype.itemsize == 0 or dtype.shape or dtype.names:
        raise OtherElementsError(found["descr"], shape)
    return ArrayHeader(shape, dtype, found["fortran_order"] == "True", start)
