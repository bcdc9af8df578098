"""Tables and lines for people that are no wider than the terminal.

Where the output goes to a file or another program, they have 80 columns. A table puts what does
not fit below each row, with the names of its columns.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

#: Where there is no terminal, and the least that a table can do with.
USUAL, _LEAST = 80, 40


def room() -> int:
    """Return how many columns the standard output has."""
    try:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError, AttributeError):  # a file, a pipe, or closed
        return USUAL
    return max(columns, _LEAST) if columns else USUAL


def folded(text: str, indent: str = "  ") -> str:
    """Return lines that are too long broken between words, the rest of them indented."""
    wrapper = textwrap.TextWrapper(
        room(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    lines = text.split("\n")
    return "\n".join(wrapper.fill(line) if len(line) > wrapper.width else line for line in lines)


class Column(NamedTuple):
    """A column: its head, how many characters it takes, and on which side its text stands."""

    head: str
    width: int
    left: bool = False
    #: What its values are called below a row, if not by the head.
    below: str | None = None
    #: Whether it may be missing where there is no room for it.
    optional: bool = False

    def cell(self, text: str) -> str:
        """Return a text as wide as the column, or wider where it has to be."""
        return f"{text:<{self.width - 1}} " if self.left else f" {text:>{self.width - 1}}"


class Table:
    """Columns, the most important first.

    Where there is no room for all, those that are optional are missing, and the last of the others
    go below the rows.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns, self.room = list(columns), room()
        self.inside = list(self.columns)
        optional = [column for column in self.columns if column.optional]
        while optional and self._width() > self.room:
            self.inside.remove(optional.pop())
        while len(self.inside) > 1 and self._width() > self.room:
            self.inside.pop()

    def _width(self) -> int:
        return sum(column.width for column in self.inside)

    def heading(self) -> str:
        """Return the heads of the columns that fit."""
        return "".join(column.cell(column.head) for column in self.inside).rstrip()

    def row(self, cells: Sequence[str], *notes: str) -> str:
        """Return the line of a row, and below it what does not fit.

        Parameters
        ----------
        cells : sequence of str
            A text for each column; below a row, those that are empty are left out.
        *notes : str
            What else is to be said of the row.
        """
        pairs = list(zip(self.columns, cells, strict=True))
        line = "".join(column.cell(text) for column, text in pairs if column in self.inside)
        parts = [
            f"{column.head if column.below is None else column.below} {text}".strip()
            for column, text in pairs
            if text and not column.optional and column not in self.inside
        ]
        line, said = line.rstrip(), [note for note in notes if note]
        while said and not parts and len(line) + 2 + len(said[0]) <= self.room:
            line += f"  {said.pop(0)}"
        return "\n".join([line, *self.below([*said, *parts])])

    def below(self, parts: Sequence[str]) -> list[str]:
        """Return lines below a row, indented, with some parts that are broken only if need be."""
        lines: list[str] = []
        for part in parts:
            if lines and len(lines[-1]) + 2 + len(part) <= self.room:
                lines[-1] += f"; {part}"
            else:
                lines.append(f"    {part}")
        return [folded(line, "      ") for line in lines]
