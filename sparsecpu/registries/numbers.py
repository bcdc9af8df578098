"""Numbers that users give, and what makes random ones."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError


def is_number(value: Any) -> bool:
    """Return True for a real number that a float can hold; True itself is none."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # of an integer
        return False


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return an argument as an int; refuse what is no integer from ``least`` to ``most``.

    ``name`` is the argument that an error names. 2.0 is one, True and "2" are none.
    """
    if is_number(value) and int(value) == value:
        found = int(value)
        if least <= found and (most is None or found <= most):
            return found
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise ParameterError(name, value, f"an integer {limits}")


def above_zero(name: str, value: Any) -> Any:
    """Return an argument; refuse what is no finite number above 0."""
    if not (is_number(value) and value > 0):
        raise ParameterError(name, value, "a number above 0")
    return value


def at_least_zero(name: str, value: Any) -> Any:
    """Return an argument; refuse what is no finite number of at least 0."""
    if not (is_number(value) and value >= 0):
        raise ParameterError(name, value, "a number of at least 0")
    return value


def below_one(name: str, value: Any) -> Any:
    """Return an argument; refuse what is no number in [0, 1)."""
    if not (is_number(value) and 0 <= value < 1):
        raise ParameterError(name, value, "a number in [0, 1)")
    return value


def truth_value(name: str, value: Any) -> Any:
    """Return an argument; refuse what is neither True nor False, as the text "False" is."""
    if not isinstance(value, (bool, np.bool_)):
        raise ParameterError(name, value, "True or False")
    return value


def float_type(dtype: Any) -> np.dtype:
    """Return float32 or float64, which values may have, as a dtype; refuse everything else."""
    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError):
        found = np.dtype(bool)
    if dtype is None or found not in (np.float32, np.float64):
        raise ParameterError("dtype", dtype, "float32 or float64")
    return found.newbyteorder("=")


def generator(rng: Any) -> np.random.Generator:
    """Return a generator of random numbers, for None the one of seed 0; refuse what is none."""
    if rng is None:
        return np.random.default_rng(0)
    if not isinstance(rng, np.random.Generator):
        raise ParameterError("rng", rng, "a numpy.random.Generator")
    return rng
