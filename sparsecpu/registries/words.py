"""Objects in a line for people: what ``repr`` shows of them."""

from __future__ import annotations

import inspect
from typing import Any


def spelled(thing: Any) -> str:
    """Return the call that makes the like of an object, as far as it is out of the usual.

    Arguments are looked up among its attributes.
    """
    given = []
    for name, argument in inspect.signature(type(thing)).parameters.items():
        value = getattr(thing, name, argument.default)
        usual = value is argument.default or str(value) == str(argument.default)
        if not usual and not callable(value):
            given.append(f"{name}={value!r}")
    return f"{type(thing).__name__}({', '.join(given)})"


def in_weights(nnz: int, size: int) -> str:
    """Return how many weights there are, of how many."""
    return f"{nnz:,} of {size:,} weights, {100 * nnz / max(size, 1):.3g} %"
