"""Every row of a table, as numbers and as texts that are counted."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from sparsecpu.datasets.tables.cells import (
    all_numbers,
    as_number,
    is_inexact,
    is_missing,
    numeric_marks,
)
from sparsecpu.datasets.tables.cells_read import CellsRead, Texts
from sparsecpu.datasets.tables.sheet import Sheet
from sparsecpu.datasets.tables.source import rows_of
from sparsecpu.errors import DataError
from sparsecpu.kernels.column_roles import EMPTY, GOAL, NUMBER, TEXT

#: Smaller tables are read before a kernel has been loaded, let alone compiled.
FAST_FROM = 4 << 20
#: Numbers, or rows, that are collected before they are handed on.
_AT_ONCE = 1 << 14
_LARGEST = float(np.finfo(np.float32).max)


class Reader:
    """Reads the rows of a sheet; ``roles`` say what each column is read as."""

    def __init__(self, sheet: Sheet, roles: Sequence[int]) -> None:
        self.sheet, self.roles = sheet, roles
        self.at = {role: [i for i, r in enumerate(roles) if r == role] for role in range(5)}
        texts = [Texts(sheet) for _ in self.at[TEXT]]
        self.cells = CellsRead(sheet.path, len(self.at[NUMBER]), texts)
        self._marks = numeric_marks(sheet.style.marks, sheet.dialect.decimal)
        self._clear()

    def _clear(self) -> None:
        self._numbers, self._goals, self._lines = array("d"), array("d"), array("q")
        self._texts = [array("i") for _ in self.at[TEXT]]

    def read(self) -> CellsRead:
        """Read all rows; refuse the first that is not as it should be."""
        sheet, source = self.sheet, self.sheet.source
        rows = rows_of(source, sheet.dialect.separator)
        plain = _plain_rows(self) if sheet.size >= FAST_FROM else None
        try:
            while True:
                if plain is not None:
                    plain.read()
                line = source.line
                row = next(rows, None)
                if row is None:
                    break
                if row and (len(row) > 1 or row[0].strip()):
                    self._take(line, row)
        except csv.Error as error:
            raise DataError(f"{sheet.path}, line {source.line - 1}: {error}") from None
        self.flush()
        return self.cells

    def _take(self, line: int, row: list[str]) -> None:
        """Note a row."""
        if len(row) != len(self.roles):
            self._fail(line, f": {len(row)} values; expected {len(self.roles)}")
        for at in self.at[EMPTY]:
            if row[at].strip():
                self.refuse(line, at, f"{row[at][:50]!r} in a column that is empty above")
        numbers = self._numbers_in(line, row, self.at[NUMBER])
        goals = self._numbers_in(line, row, self.at[GOAL])
        texts = [
            self._text_in(line, at, row[at], texts)
            for at, texts in zip(self.at[TEXT], self.cells.texts, strict=True)
        ]
        if numbers is None or goals is None or -1 in texts:
            self.cells.leave_out(line)
            return
        self._numbers.extend(numbers)
        self._goals.extend(goals)
        self._lines.append(line)
        for column, number in zip(self._texts, texts, strict=True):
            column.append(number)
        if max(len(self._numbers), len(self._lines)) > _AT_ONCE:
            self.flush()

    def _numbers_in(self, line: int, row: list[str], ats: list[int]) -> list[float] | None:
        """Return the numbers of a row, None if one is missing and such rows are left out."""
        cells = [row[at] for at in ats]
        found = all_numbers(cells) if self.sheet.dialect.decimal == "." else None
        if found is None or (self._marks and any(number in self._marks for number in found)):
            each = [self._number_in(line, at, row[at]) for at in ats]
            found = [number for number in each if number is not None]
        return found if len(found) == len(cells) else None

    def _number_in(self, line: int, at: int, cell: str) -> float | None:
        if is_missing(cell, self.sheet.style.marks):
            self._missing(line, at, cell)
            return None
        number = as_number(cell, self.sheet.dialect.decimal)
        if number is None:
            self.refuse(line, at, f"{cell.strip()[:50]!r} is not a number")
        if number in self._marks:
            self._missing(line, at, cell)
            return None
        if is_inexact(cell):
            what = "is an integer that no float64 can hold; is it an identifier? Leave it out"
            self.refuse(line, at, f"{cell.strip()[:50]} {what}")
        return number

    def _text_in(self, line: int, at: int, cell: str, texts: Texts) -> int:
        if "\n" in cell:
            self.refuse(line, at, f"{cell[:50]!r} has an end of a line in it")
        number = texts.number_of(cell)
        if number < 0:
            self._missing(line, at, cell)
        return number

    def _missing(self, line: int, at: int, cell: str) -> None:
        if self.sheet.style.drop_missing:
            return
        what, advice = "no value", "--drop-missing leaves such rows out"
        if self.sheet.style.every_row:
            advice = "each row is to be predicted; fill it in, or take the row out of the file"
        if cell.strip():
            what = f"{cell.strip()!r} stands for a missing value"
            advice += "; --missing MARK says which marks there are"
        self.refuse(line, at, f"{what} ({advice})")

    def refuse(self, line: int, at: int, why: str) -> NoReturn:
        """Raise the error that a cell cannot be used."""
        self._fail(line, f", {self.sheet.column(at)}: {why}")

    def _fail(self, line: int, why: str) -> NoReturn:
        self.flush()  # and perhaps refuse an earlier row
        raise DataError(f"{self.sheet.path}, line {line}{why}")

    def flush(self) -> None:
        """Hand on the rows that were noted."""
        rows = len(self._lines)
        if not rows:
            return
        self.cells.make_room(rows)
        x, goal, lines = self.cells.next_rows(rows)
        x[:] = np.frombuffer(self._numbers).reshape(rows, -1)
        lines[:] = np.frombuffer(self._lines, dtype=np.int64)
        if self.at[GOAL]:
            goal[:] = np.frombuffer(self._goals)
        texts = [np.frombuffer(column, dtype=np.int32) for column in self._texts]
        self._clear()
        self.add(rows, texts)

    def add(self, rows: int, texts: Sequence[np.ndarray]) -> None:
        """Add rows that were put into ``cells``; refuse numbers that would not be in a network."""
        cells = self.cells
        before = cells.rows
        cells.add(rows, texts)
        new = slice(before, cells.rows)
        if not (np.all(cells.low >= -_LARGEST) and np.all(cells.high <= _LARGEST)):
            self._refuse_one(cells.x[new], cells.lines[new], self.at[NUMBER], _LARGEST)
        if self.at[GOAL]:
            most = float(np.finfo(np.float64).max)
            self._refuse_one(cells.goal[new, None], cells.lines[new], self.at[GOAL], most)

    def _refuse_one(self, x: np.ndarray, lines: np.ndarray, ats: list[int], most: float) -> None:
        """Refuse the first number that is not finite, or beyond ``most``."""
        wrong = ~(np.abs(x) <= most)
        if wrong.any():
            row, column = (int(at[0]) for at in np.nonzero(wrong))
            what = "is not finite" if most > _LARGEST else "is not finite, or beyond float32"
            self.refuse(int(lines[row]), ats[column], f"{x[row, column]} {what}")


def _plain_rows(reader: Reader) -> Any:
    """Return what reads plain rows of large tables."""
    from sparsecpu.datasets.tables.plain_rows import PlainRows

    return PlainRows(reader)
