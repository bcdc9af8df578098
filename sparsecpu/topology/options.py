"""Checking the options of algorithms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sparsecpu.errors import ParameterError


def one_of(option: str, value: Any, allowed: Iterable[str]) -> Any:
    """Return an option's value; raise ParameterError if it is not one of those allowed."""
    if not isinstance(value, str) or value not in (allowed := tuple(allowed)):
        raise ParameterError(option, value, f"one of {', '.join(allowed)}")
    return value
