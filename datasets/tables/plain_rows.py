"""Rows of large tables, read by a kernel as far as they are plain."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.datasets.tables.cells import numeric_marks
from sparsecpu.kernels.column_roles import TEXT
from sparsecpu.kernels.table_rows import powers_of_five, read_rows

#: Rows that are read in one go, at most.
_AT_ONCE = 1 << 14
#: So many rows by other means before the kernel is tried again, where it finds nothing to do.
_PATIENCE = 64


class PlainRows:
    """Puts plain rows into a reader's cells; where one is not, the reader takes that itself."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader
        dialect = reader.sheet.dialect
        self._signs = ord(dialect.separator), ord(dialect.decimal)
        self._usable = all(sign < 128 for sign in self._signs)
        self._roles = np.array(reader.roles, dtype=np.int8)
        texts = list(reader.roles).count(TEXT)
        self._spans = np.empty((_AT_ONCE, texts, 2), dtype=np.int64)
        self._marks = np.array(numeric_marks(reader.sheet.style.marks, dialect.decimal))
        self._waiting = 0

    def read(self) -> None:
        """Read rows until one is not plain, or there are none."""
        self._waiting -= 1
        if self._waiting > 0 or not self._usable:
            return
        self.reader.flush()
        found, source = 0, self.reader.sheet.source
        while source.more():
            rows, at, line = self._read_block(source)
            if rows < 0:
                return
            found += rows
            moved = at > source.at
            source.at, source.line = at, line
            if not moved:
                break
        if found < 4:
            self._waiting = _PATIENCE

    def _read_block(self, source: Any) -> tuple[int, int, int]:
        """Read rows of the source's block; return how many, and where the next one is.

        Where one has a missing value and that is an error, the number is -1, and none is read.
        """
        reader, cells = self.reader, self.reader.cells
        text = np.frombuffer(source.block, dtype=np.uint8)
        # No row is shorter than its separators and the end of its line.
        most = min(_AT_ONCE, (len(text) - source.at) // len(self._roles) + 1)
        cells.make_room(most, self._expected(source))
        x, goal, lines = cells.next_rows(most)
        bits, goals = x.view(np.uint64), goal.view(np.uint64)
        rows, at, line = read_rows(
            text, source.at, len(text), *self._signs, self._roles, bits, goals, self._spans, lines,
            source.line, powers_of_five(),
        )  # fmt: skip
        texts = [
            known.numbers_of(source.block, self._spans[:rows, column])
            for column, known in enumerate(cells.texts)
        ]
        missing = self._missing(x[:rows], goal[:rows], texts)
        if not missing.any():
            reader.add(rows, texts)
        elif not reader.sheet.style.drop_missing:
            self._waiting = rows + 1  # the reader finds it, and says what is wrong
            return -1, at, line
        else:
            for left_out in lines[:rows][missing].tolist():
                cells.leave_out(left_out)
            kept = np.flatnonzero(~missing)
            for array in (x, goal, lines):
                array[: len(kept)] = array[kept]
            reader.add(len(kept), [column[kept] for column in texts])
        return rows, at, line

    def _missing(self, x: np.ndarray, goal: np.ndarray, texts: list[np.ndarray]) -> np.ndarray:
        """Return which rows lack a value."""
        missing = np.zeros(len(x), dtype=bool)
        if len(self._marks):
            missing |= np.isin(x, self._marks).any(axis=1) | np.isin(goal, self._marks)
        for column in texts:
            missing |= column < 0
        return missing

    def _expected(self, source: Any) -> float:
        """Return about how many rows the table has."""
        done, rows = source.before + source.at, self.reader.cells.rows
        return 1.02 * rows / done * self.reader.sheet.size if done else 0.0
