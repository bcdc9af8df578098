"""Single cells: numbers, missing marks, integers."""

from __future__ import annotations

import re
from collections.abc import Collection

#: What stands in a cell without a value, unless the user says otherwise; an empty one always does.
MISSING = (
    "?", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NaT", "NULL",
    "Null", "null", "None",
)  # fmt: skip
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_ENDLESS = re.compile(r"[+-]?(?:inf|infinity|nan)", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
#: Signs of numbers that ``float`` reads as we do; of others it reads some that we refuse.
_SIGNS = re.compile(r"[-+.0-9eE \t,]*")
#: So many digits are a float of their own.
_EXACT_DIGITS = 15


def is_number(cell: str, decimal: str = ".") -> bool:
    """Return True if text is a number as tables have them, infinity and NaN included."""
    return as_number(cell, decimal) is not None


def as_number(cell: str, decimal: str = ".") -> float | None:
    """Return the float64 nearest to the number in a cell, None if there is none in it."""
    cell = cell.strip()
    if decimal != ".":
        if "." in cell:
            return None
        cell = cell.replace(decimal, ".")
    if _NUMBER.fullmatch(cell) or _ENDLESS.fullmatch(cell):
        return float(cell)
    return None


def all_numbers(cells: list[str]) -> list[float] | None:
    """Return the numbers in cells, None if one of them needs to be looked at by itself."""
    if not _SIGNS.fullmatch(",".join(cells)) or max(map(len, cells), default=0) > _EXACT_DIGITS + 9:
        return None
    if any(len(cell) > _EXACT_DIGITS and is_inexact(cell) for cell in cells):
        return None
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return None


def is_inexact(cell: str) -> bool:
    """Return True for an integer that the float nearest to it is not."""
    digits = cell.strip().lstrip("+-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) <= _EXACT_DIGITS:
        return False
    return len(digits) > 309 or int(float(digits)) != int(digits)


def is_whole(text: str) -> bool:
    """Return True for an int64 that is written as Python writes it."""
    return bool(_WHOLE.fullmatch(text)) and -(2**63) <= int(text) < 2**63


def is_missing(cell: str, marks: Collection[str]) -> bool:
    """Return True if a cell has no value in it."""
    cell = cell.strip()
    return not cell or cell in marks


def numeric_marks(marks: Collection[str], decimal: str) -> tuple[float, ...]:
    """Return the marks that are numbers, such as -999: cells of that value are missing."""
    found = (as_number(mark, decimal) for mark in marks)
    return tuple(mark for mark in found if mark is not None and abs(mark) < float("inf"))
