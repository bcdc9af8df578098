"""Arrays from a file, by name: what each must be, checked before anything is done with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError
from sparsecpu.step.plain_values import shown

#: Arrays by name.
Arrays = Mapping[str, np.ndarray]


def take(
    arrays: Arrays, name: str, dtype: Any, shape: tuple[int | None, ...], *,
    least: float | None = None, most: float | None = None,
) -> np.ndarray:  # fmt: skip
    """Return an array of exactly this type and shape, whose numbers are finite and in range.

    A size of None stands for any. Raises ``FileFormatError`` if there is no such array.
    """
    if name not in arrays:
        raise FileFormatError(f"the array {shown(name)} is missing")
    array, dtype = arrays[name], np.dtype(dtype)
    fits = len(array.shape) == len(shape) and all(
        wanted in (None, size) for wanted, size in zip(shape, array.shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise FileFormatError(
            f"the array {shown(name)} is {array.dtype} of shape {array.shape}; expected {dtype} "
            f"of shape ({wanted})"
        )
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise FileFormatError(f"the array {shown(name)} has entries that are not finite")
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if array.size and ((least is not None and low < least) or (most is not None and high > most)):
        limits = f"at least {least}" if most is None else f"from {least} to {most}"
        raise FileFormatError(f"the array {shown(name)} has {low} to {high}; all must be {limits}")
    return array


def take_keys(arrays: Arrays, name: str, size: int, count: int | None = None) -> np.ndarray:
    """Return keys of a matrix with so many positions: sorted, none twice."""
    keys = take(arrays, name, np.int64, (count,), least=0, most=size - 1)
    if not np.all(keys[1:] > keys[:-1]):
        raise FileFormatError(f"the array {shown(name)} must hold sorted positions, none twice")
    return keys


def behind(arrays: Arrays, start: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin so, by the rest of their names."""
    return {name[len(start) :]: array for name, array in arrays.items() if name.startswith(start)}


def same_names(arrays: Arrays, wanted: Any, what: str) -> None:
    """Refuse arrays if any of ``wanted`` is missing, or another one is there."""
    if missing := sorted(set(wanted) - arrays.keys()):
        raise FileFormatError(f"the array {shown(missing[0])} of {what} is missing")
    if unknown := sorted(arrays.keys() - set(wanted)):
        raise FileFormatError(f"{what} has no array {shown(unknown[0])}, which the file holds")
