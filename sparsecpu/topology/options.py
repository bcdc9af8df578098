"""Checking the options of algorithms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sparsecpu.registries.names import read_name


def one_of(option: str, value: Any, allowed: Iterable[str]) -> Any:
    """Return the one of those allowed that an option's value stands for; refuse another."""
    return read_name(option, value, tuple(allowed))
