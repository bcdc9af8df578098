"""What of the strips of a row matters: where a tap sees padding, its products are zeros.

A row of seven pixels in strips of four, and a filter three pixels wide::

    pixels of the row           0 1 2 3 | 4 5 6 -
    left taps see a pixel       . x x x | x x x
    middle taps                 x x x x | x x x
    right taps                  x x x x | x x .

Only what is marked x is computed: parts of the first strip and of the last one.
"""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """Pixels of a strip, from ``begin`` on and before ``end``."""

    begin: int
    end: int


class StripCut(NamedTuple):
    """Strips of a row: pixels of each, and of a column; those of the last; if there is only one.

    A column has a pixel of each of the tiles that are interleaved. Where the last strip is whole,
    it does not matter if it is the only one: ``alone`` is False.
    """

    strip: int
    column: int
    rest: int
    alone: bool

    @classmethod
    def of(cls, pixels: int, strip: int, column: int) -> StripCut:
        """Cut a row of so many pixels."""
        rest = (pixels - 1) % strip + 1
        return cls(strip, column, rest, pixels < strip)

    @property
    def first(self) -> Part:
        """What left taps add to in the first strip."""
        return Part(self.column, self.rest if self.alone else self.strip)

    @property
    def last(self) -> Part:
        """What right taps add to in the last strip."""
        return Part(0, self.rest - self.column)
