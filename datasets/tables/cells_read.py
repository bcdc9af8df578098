"""What has been read of a table, in arrays that grow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sparsecpu.datasets.tables.cells import is_missing
from sparsecpu.datasets.tables.sheet import Sheet
from sparsecpu.errors import DataError
from sparsecpu.reading.memory import check_memory

#: Room for so many numbers to begin with, and by how much arrays grow.
_FIRST, _GROWTH = 1 << 16, 1.25


class Texts:
    """The different texts of a column, each with a number; that of a missing one is -1."""

    def __init__(self, sheet: Sheet) -> None:
        self._marks, self.numbers = sheet.style.marks, dict[str, int]()
        self._spellings: dict[bytes, int] = {}

    def number_of(self, cell: str) -> int:
        """Return the number of a text; blanks around it do not count."""
        cell = cell.strip()
        known = self.numbers.get(cell)
        if known is None:
            if is_missing(cell, self._marks):
                return -1
            known = self.numbers[cell] = len(self.numbers)
        return known

    def numbers_of(self, block: bytes, spans: np.ndarray) -> np.ndarray:
        """Return the numbers of the texts at some places of a block."""
        known, cells = self._spellings, [block[begin:end] for begin, end in spans.tolist()]
        for cell in dict.fromkeys(cells):
            if cell not in known:
                known[cell] = self.number_of(cell.decode())
        return np.array([known[cell] for cell in cells], dtype=np.int32)


class CellsRead:
    """Rows of numbers, their target where that is a number, the number of each text, the line.

    ``texts`` are those of each column of text. ``left_out`` is how many rows lacked a value, and
    ``first_left_out`` the line of the first of them.
    """

    def __init__(self, path: Path, features: int, texts: Sequence[Texts]) -> None:
        self.path, self.texts, self.rows = path, list(texts), 0
        self.left_out = self.first_left_out = 0
        room = max(1, _FIRST // max(1, features))
        self._x, self._goal = np.empty((room, features)), np.empty(room)
        self._lines = np.empty(room, dtype=np.int64)
        self._numbers = [np.empty(room, dtype=np.int32) for _ in texts]
        #: The smallest and the largest number of each feature.
        self.low, self.high = np.full(features, np.inf), np.full(features, -np.inf)

    @property
    def x(self) -> np.ndarray:
        """The numbers, a row each."""
        return self._x[: self.rows]

    @property
    def goal(self) -> np.ndarray:
        """The targets, if they are numbers."""
        return self._goal[: self.rows]

    @property
    def lines(self) -> np.ndarray:
        """The line of each row."""
        return self._lines[: self.rows]

    def text(self, column: int) -> tuple[list[str], np.ndarray]:
        """Return the different texts of a column of text, and the number of each row's."""
        texts, numbers = list(self.texts[column].numbers), self._numbers[column][: self.rows]
        used = np.bincount(numbers, minlength=len(texts)) > 0  # not so in rows that were left out
        if used.all():
            return texts, numbers
        rank = np.cumsum(used) - 1
        return [text for text, known in zip(texts, used, strict=True) if known], rank[numbers]

    def make_room(self, rows: int, expected: float = 0.0) -> None:
        """Make room for so many more rows, of about ``expected`` in all."""
        need, have = self.rows + rows, len(self._lines)
        if need <= have:
            return
        room = max(need, int(have * _GROWTH), int(expected) + 64)
        each = 8 * (self._x.shape[1] + 2) + 4 * len(self.texts)
        check_memory((room - have) * each, f"{self.path} (all of it)", DataError)
        for name in ("_x", "_goal", "_lines"):
            old = getattr(self, name)
            setattr(self, name, _enlarged(old, room, self.rows))
        self._numbers = [_enlarged(old, room, self.rows) for old in self._numbers]

    def next_rows(self, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where the numbers, targets and lines of the next rows go."""
        at = slice(self.rows, self.rows + rows)
        return self._x[at], self._goal[at], self._lines[at]

    def add(self, rows: int, numbers: Sequence[np.ndarray]) -> None:
        """Count in what was put to where ``next_rows`` said, with the numbers of its texts."""
        for column, found in zip(self._numbers, numbers, strict=True):
            column[self.rows : self.rows + rows] = found
        x = self._x[self.rows : self.rows + rows]
        if rows:
            np.minimum(self.low, x.min(axis=0), out=self.low)
            np.maximum(self.high, x.max(axis=0), out=self.high)
        self.rows += rows

    def leave_out(self, line: int) -> None:
        """Count a row that is left out."""
        self.first_left_out = self.first_left_out or line
        self.left_out += 1


def _enlarged(old: np.ndarray, room: int, used: int) -> np.ndarray:
    """Return a longer array; the system gives memory for what is written to, and not before."""
    new = np.empty((room, *old.shape[1:]), dtype=old.dtype)
    new[:used] = old[:used]
    return new
