"""A table that is open: how it is written, the names of its columns, and its first rows."""

from __future__ import annotations

import contextlib
import csv
import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sparsecpu.datasets.tables.cells import MISSING
from sparsecpu.datasets.tables.dialect import (
    Dialect,
    Rows,
    has_names,
    name_note,
    sample_note,
    sniff,
)
from sparsecpu.datasets.tables.source import Source, rows_of
from sparsecpu.errors import DataError
from sparsecpu.reading.files import refusing
from sparsecpu.reading.packed import open_unpacked

#: Lines that tell how a table is written and what is in its columns: at least and at most so many,
#: and no more behind so many characters.
_LEAST, _MOST, _ENOUGH = 8, 500, 1 << 18
#: Bytes that a packed byte becomes, about.
_UNPACKED = 4


@dataclass(frozen=True)
class Style:
    """What the user says of a table.

    ``missing`` are marks of cells without a value, and rows that have one are left out if
    ``drop_missing`` is true, else refused; ``header`` says whether the first row has names, None
    if it is to be found out; ``categorical`` are columns of categories, or "auto" for all of text.
    ``known`` are names that a model knows; where ``every_row`` is true none can be left out.
    """

    missing: tuple[str, ...] | None = None
    drop_missing: bool = False
    header: bool | None = None
    categorical: str | tuple[str, ...] | None = None
    known: tuple[str, ...] = ()
    every_row: bool = False

    @property
    def marks(self) -> frozenset[str]:
        """What stands in a cell without a value."""
        return frozenset(MISSING if self.missing is None else self.missing)


@dataclass
class Sheet:
    """A table that is open; ``rows`` are the first ones, without the names.

    ``names`` are those of all columns; where the table has none they are ``column 1`` and so on.
    ``notes`` are what the user should know.
    """

    path: Path
    source: Source
    size: int
    dialect: Dialect
    names: list[str]
    header: bool
    rows: Rows
    style: Style
    notes: list[str] = field(default_factory=list)

    @property
    def unless_sample(self) -> str:
        """What to say where names are wrong that nobody has said the first row has."""
        guessed = self.header and self.style.header is None
        return " (--no-header if the first row is a sample)" if guessed else ""

    @property
    def width(self) -> int:
        """How many columns the table has."""
        return len(self.names)

    def column(self, at: int) -> str:
        """Return a column for a message."""
        return f"column {self.names[at]!r}" if self.header else f"column {at + 1}"


@contextlib.contextmanager
def opened(path: Path, style: Style) -> Iterator[Sheet]:
    """Open a table; errors inside the ``with`` block become refusals.

    Raises ``DataError`` if it is empty or is no table.
    """
    with refusing(path, DataError, "a table of text"), open_unpacked(path) as raw:
        lines = _first_lines(Source(raw))
        dialect, rows = sniff(path, lines)
        _check_first(path, rows)
        raw.seek(0)
        source = Source(raw)
        source.separator = dialect.separator
        marks = style.marks
        header = style.header
        first = [cell.strip() for cell in rows[0]]
        if header is None:
            header = _are_known(first, style.known) or has_names(rows, dialect.decimal, marks)
        names = [name or f"column {i + 1}" for i, name in enumerate(first)]
        if not header:
            names = [f"column {i + 1}" for i in range(len(first))]
        size = os.stat(path).st_size * (_UNPACKED if isinstance(raw, gzip.GzipFile) else 1)
        sheet = Sheet(path, source, size, dialect, names, header,
                      rows[header:], style)  # fmt: skip
        if style.header is None:
            note = name_note(path, first, dialect.decimal) if header else sample_note(path, first)
            sheet.notes += [note] if note else []
        _skip(source, dialect, header)
        yield sheet


def _are_known(cells: list[str], known: tuple[str, ...]) -> bool:
    """Return True if most names that a model knows are among the cells of a row, which differ.

    Names may be numbers, and need not stand in the order in which one knows them for names.
    """
    return len(set(cells)) == len(cells) and 2 * len({*cells} & {*known}) > len(known) > 0


def _check_first(path: Path, rows: Rows) -> None:
    """Refuse a title above a table, or a remark: a first row of one cell where others have more."""
    widths = [len(row) for row in rows[1:]]
    if len(rows[0]) == 1 and widths and min(widths) > 1:
        raise DataError(
            f"{path}: the first row is {rows[0][0].strip()[:50]!r} alone, and the second has "
            f"{widths[0]} cells; take out what stands above the names or samples"
        )


def _first_lines(source: Source) -> list[str]:
    lines: list[str] = []
    size = 0
    while len(lines) < _LEAST or (len(lines) < _MOST and size < _ENOUGH):
        line = next(source, None)
        if line is None:
            break
        lines.append(line)
        size += len(line)
    return lines


def _skip(source: Source, dialect: Dialect, header: bool) -> None:
    """Go behind what stands above the first sample."""
    if dialect.declared:
        next(source)
    reader = rows_of(source, dialect.separator)
    try:
        while header and not any(map(str.strip, next(reader))):
            pass
    except (StopIteration, csv.Error):
        return
