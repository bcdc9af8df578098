"""Plain values from a file: each kind said once, and checked before anything is done with it.

A kind is a function of a value and of words for where it stands. It returns the value, or refuses
it with a ``FileFormatError`` in one line.
"""

from __future__ import annotations

import math
import reprlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

from sparsecpu.errors import FileFormatError

Kind = Callable[[Any, str], Any]
#: Of float64.
_LARGEST = sys.float_info.max
#: Characters of names and of errors that a message holds.
_LONGEST_NAME, _LONGEST_TEXT = 80, 400


def refuse(where: str, value: Any, expected: str) -> NoReturn:
    """Say that a file has a value that it cannot have."""
    raise FileFormatError(f"{where} is {reprlib.repr(value)}; expected {expected}")


def shown(name: str) -> str:
    """Return a name from a file as it can stand in a message, whatever is in it."""
    return name if len(name) <= _LONGEST_NAME and name.isprintable() else reprlib.repr(name)


def brief(error: BaseException) -> str:
    """Return what an error says of a file, in a line that is not too long."""
    text = " ".join((str(error) or type(error).__name__).split())
    text = "".join(sign if sign.isprintable() else "?" for sign in text)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} …"


def anything(value: Any, where: str) -> Any:
    """Accept every value."""
    return value


def truth(value: Any, where: str) -> bool:
    """Accept true and false."""
    return value if isinstance(value, bool) else refuse(where, value, "true or false")


def text(value: Any, where: str) -> str:
    """Accept text; no file name or option has a zero byte in it."""
    good = isinstance(value, str) and "\0" not in value
    return value if good else refuse(where, value, "text")


def whole(least: int = -(2**63), most: int = 2**63 - 1) -> Kind:
    """Return the kind of integers from ``least`` to ``most``."""

    def check(value: Any, where: str) -> int:
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return value if good else refuse(where, value, f"an integer from {least} to {most}")

    return check


def real(least: float = -math.inf, most: float = math.inf, *, finite: bool = True) -> Kind:
    """Return the kind of numbers from ``least`` to ``most``; NaN is none, infinity may be one."""

    def check(value: Any, where: str) -> float:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        good = good and least <= value <= most
        if not good or (abs(value) > _LARGEST and (finite or isinstance(value, int))):
            limits = "" if least == -math.inf else f" of at least {least:g}"
            limits += "" if most == math.inf else f", at most {most:g}"
            refuse(where, value, f"a {'finite ' if finite else ''}number{limits}")
        return value

    return check


def one_of(names: Collection[str]) -> Kind:
    """Return the kind of texts that are among the names."""

    def check(value: Any, where: str) -> str:
        good = isinstance(value, str) and value in names
        return value if good else refuse(where, value, f"one of {', '.join(names)}")

    return check


def maybe(kind: Kind) -> Kind:
    """Return the kind of values that are null or of this kind."""
    return lambda value, where: None if value is None else kind(value, where)


def listed(kind: Kind, length: int | None = None) -> Kind:
    """Return the kind of lists of values of one kind, of a ``length`` where one is given."""

    def check(value: Any, where: str) -> list:
        if not isinstance(value, list) or length not in (None, len(value)):
            many = "a list" if length is None else f"a list of {length} entries"
            refuse(where, value, many)
        for number, entry in enumerate(value):
            kind(entry, f"{where}[{number}]")
        return value

    return check


def named(kind: Kind, names: Collection[str] | None = None) -> Kind:
    """Return the kind of tables of values of one kind; the names may be fixed, too."""

    def check(value: Any, where: str) -> dict[str, Any]:
        good = isinstance(value, dict) and all(isinstance(name, str) for name in value)
        if not good or (names is not None and set(names) != value.keys()):
            expected = "a table" if names is None else f"a table of {', '.join(names) or 'nothing'}"
            refuse(where, value, expected)
        for name, entry in value.items():
            kind(entry, f"{where}.{shown(name)}")
        return value

    return check


def table(
    needed: Mapping[str, Kind], optional: Mapping[str, Kind] | None = None,
    others: Kind | None = None,
) -> Kind:  # fmt: skip
    """Return the kind of tables that have all of ``needed``, and perhaps some of ``optional``.

    Entries of other names must be of the kind ``others``; where that is None there must be none.
    """
    known = {**needed, **(optional or {})}

    def check(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            refuse(where, value, "a table")
        for name in needed:
            if name not in value:
                raise FileFormatError(f"{where} lacks {name!r}")
        for name, entry in value.items():
            kind = known.get(name, others)
            if kind is None:
                raise FileFormatError(f"{where} has an entry {reprlib.repr(name)} that is unknown")
            kind(entry, f"{where}.{shown(name)}")
        return value

    return check
