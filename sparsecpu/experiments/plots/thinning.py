"""Fewer things than there are, where all would not be readable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def evenly(things: Sequence[T], most: int) -> list[T]:
    """Return at most so many things, the first and the last among them, evenly from all."""
    if len(things) <= most:
        return list(things)
    return [things[round(i * (len(things) - 1) / (most - 1))] for i in range(most)]
