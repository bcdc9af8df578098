"""The bytes and the lines of a table of text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

#: Bytes that are read in one go, and of the longest line: much more than this is no table.
BLOCK, _LONGEST_LINE = 1 << 20, 1 << 26
_NOT_UTF8 = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"


class Source:
    """A table's text, of which whole lines lie in ``block``, from ``at`` on.

    ``line`` is the number of the line there, the first being 1, and ``before`` are the bytes of
    earlier blocks. Iterating takes lines as text; ``separator`` may be a blank, and then those
    around a line do not count.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._blocks = _blocks(raw)
        self.block, self.at, self.line = b"", 0, 1
        self.before = 0
        self.separator = ","

    def more(self) -> bool:
        """Return True if there is a line in ``block``, which may be a new one."""
        while self.at >= len(self.block):
            found = next(self._blocks, None)
            if found is None:
                return False
            self.before += len(self.block)
            self.block, self.at = found, 0
        return True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.more():
            raise StopIteration
        end = self.block.index(b"\n", self.at) + 1
        try:
            line = self.block[self.at : end].decode()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"line {self.line} is not in UTF-8: {error}; save it as UTF-8"
            ) from None
        self.at, self.line = end, self.line + 1
        if "\0" in line:
            raise csv.Error("there is a NUL character in it")
        return line.strip() + "\n" if self.separator == " " else line


def _blocks(raw: BinaryIO) -> Iterator[bytes]:
    r"""Yield pieces of whole lines; ``\n`` ends each line, whatever did in the file."""
    rest = b""
    first = True
    while chunk := raw.read(BLOCK):
        if first:
            if chunk.startswith(_NOT_UTF8):
                raise ValueError("it is in UTF-16; save it as UTF-8")
            chunk, first = chunk.removeprefix(_BOM), False
        chunk = rest + chunk
        held = b"\r" if chunk.endswith(b"\r") else b""  # perhaps half of an end
        if b"\r" in chunk:
            chunk = chunk[: len(chunk) - len(held)]
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        cut = chunk.rfind(b"\n") + 1
        if cut:
            yield chunk[:cut]
        rest = chunk[cut:] + held
        if len(rest) > _LONGEST_LINE:
            raise csv.Error("a line is too long")
    if rest:
        yield rest.replace(b"\r", b"\n").removesuffix(b"\n") + b"\n"


def rows_of(source: Iterator[str], separator: str) -> Iterator[list[str]]:
    """Yield the cells of each row; a row without any is an empty line."""
    return csv.reader(source, delimiter=separator, skipinitialspace=separator == " ")
