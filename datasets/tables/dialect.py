"""What separates the cells of a table, how decimals are written, and whether there are names."""

from __future__ import annotations

import contextlib
import csv
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from sparsecpu.datasets.tables.cells import is_missing, is_number, is_whole
from sparsecpu.datasets.tables.source import rows_of
from sparsecpu.errors import DataError

#: Signs between cells, the likeliest first; and others, that are named where they are met.
_SEPARATORS = (",", ";", "\t", "|", " ")
_OTHERS = (":", "^", "~", "&", "/", "\x01")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+", re.ASCII)
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?", re.ASCII)
#: 1,234: either a decimal comma, or one between thousands.
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+", re.ASCII)
_DECLARED = re.compile(r'"?sep=(.)"?\s*')

Rows = Sequence[list[str]]


@dataclass(frozen=True)
class Dialect:
    """How a table is written; ``declared`` is True if its first line says what separates cells."""

    separator: str = ","
    decimal: str = "."
    declared: bool = False


def sniff(path: Path, lines: Sequence[str]) -> tuple[Dialect, Rows]:
    """Return how a table is written, by its first lines, and their cells.

    Raises ``DataError`` if nothing that is known separates its cells.
    """
    declared = _DECLARED.fullmatch(lines[0]) if lines else None
    if declared is not None:
        lines = lines[1:]
    best, found = -1.0, (Dialect(), [[""]])
    for separator in (declared[1],) if declared is not None else _SEPARATORS:
        rows = _cells(lines, separator)
        widths = Counter(len(row) for row in rows)
        width, often = widths.most_common(1)[0] if widths else (0, 0)
        if width < 2:
            continue
        decimal = _decimal(rows)
        cells = [cell for row in rows[1:] for cell in row]
        numbers = sum(is_number(cell, decimal) for cell in cells)
        likely = often / len(rows) * (0.5 + numbers / max(1, len(cells)))
        if likely > best:
            best, found = likely, (Dialect(separator, decimal, declared is not None), rows)
    if best < 0:
        _refuse(path, lines)
    dialect, rows = found
    if dialect.decimal == ",":
        _check_commas(path, rows)
    return dialect, rows


def _cells(lines: Sequence[str], separator: str) -> list[list[str]]:
    """Return the rows in some lines that have something in them."""
    rows: list[list[str]] = []
    if separator == " ":
        lines = [line.strip() for line in lines]
    with contextlib.suppress(csv.Error):
        rows.extend(row for row in rows_of(iter(lines), separator) if any(map(str.strip, row)))
    return rows


def _decimal(rows: Rows) -> str:
    """Return what stands before the decimals of most numbers that have some."""
    cells = [cell.strip() for row in rows[1:] or rows for cell in row]  # the first may be names
    commas = sum(_DECIMAL_COMMA.fullmatch(cell) is not None for cell in cells)
    points = sum(_DECIMAL_POINT.fullmatch(cell) is not None for cell in cells)
    return "," if commas > points else "."


def _check_commas(path: Path, rows: Rows) -> None:
    """Refuse numbers with a comma that may be a decimal one or stand between thousands."""
    cells = [cell.strip() for row in rows[1:] or rows for cell in row]  # the first may be names
    with_comma = [cell for cell in cells if _DECIMAL_COMMA.fullmatch(cell)]
    if all(map(_EITHER.fullmatch, with_comma)):
        cell = with_comma[0]
        one, other = cell.replace(",", ".", 1), cell.replace(",", "")
        raise DataError(f"{path}: {cell!r} may be {one} or {other}; write it in one of these ways")


def _refuse(path: Path, lines: Sequence[str]) -> None:
    """Say that a table has one column, or what its cells seem to be separated by."""
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise DataError(f"{path} is empty; expected rows of numbers")
    for sign in _OTHERS:
        counts = {line.count(sign) for line in lines}
        if len(counts) == 1 and counts.pop():
            known = "a comma, semicolon, tab, vertical bar or blank"
            raise DataError(f"{path}: cells seem to be separated by {sign!r}; expected {known}")
    raise DataError(f"{path} has one column; expected features and a target")


def has_names(rows: Rows, decimal: str, marks: Collection[str]) -> bool:
    """Return True if the first row has names.

    That is so if there is text where numbers stand below, or text that does not occur below, or if
    its numbers count 0, 1, 2 and so on.
    """
    first, below = [cell.strip() for cell in rows[0]], rows[1:]
    numbers, text = list[int](), list[int]()
    for at, cell in enumerate(first):
        if is_number(cell, decimal):
            numbers.append(at)
        elif not is_missing(cell, marks):
            text.append(at)
    if len(numbers) > 1 and [first[at] for at in numbers] == [*map(str, range(len(numbers)))]:
        return True
    values = {at: [row[at].strip() for row in below if at < len(row)] for at in text}
    for column in values.values():
        if 2 * sum(is_number(cell, decimal) for cell in column) > len(column):
            return True  # text above numbers
    return bool(text) and not any(first[at] in column for at, column in values.items())


def sample_note(path: Path, first: Sequence[str]) -> str:
    """Return what to say of a first row that was taken for a sample and counts 1, 2, 3, or years.

    That is "" for all others.
    """
    numbers = [int(cell) for cell in first if is_whole(cell)]
    if not 2 < len(numbers) == len(first):
        return ""
    if numbers != [*range(numbers[0], numbers[0] + len(numbers))]:
        return ""
    return (
        f"{path}: the first row ({_shown(first)}) is taken for a sample; --header if it has names"
    )


def _shown(cells: Sequence[str]) -> str:
    return ", ".join(repr(cell) for cell in cells[:4]) + (" …" if len(cells) > 4 else "")


def name_note(path: Path, names: Sequence[str], decimal: str) -> str:
    """Return what to say of a first row of names with numbers among them, "" if all is clear."""
    numbers = [name for name in names if is_number(name, decimal)]
    counted = numbers == [*map(str, range(len(numbers)))] and len(numbers) < len(names)
    if not numbers or counted:
        return ""
    return (
        f"{path}: the first row ({_shown(names)}) is taken for names; --no-header if it is a sample"
    )
