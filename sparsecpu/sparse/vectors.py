"""A parameter's vectors: checked as they come from outside, moved when its pattern changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sparsecpu.errors import PatternError
from sparsecpu.kernels.machine.arrays import aligned_copy
from sparsecpu.sparse.merging import Merge


def numbers(values: Any, what: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return a vector of real numbers, of a shape where one is given; refuse everything else."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise PatternError(f"{what} must be a vector of numbers ({error})") from error
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        words = f"{array.dtype} of shape {array.shape}"
        raise PatternError(f"{what} must be a vector of numbers, not {words}")
    if shape is not None and array.shape != shape:
        raise PatternError(f"{what} has {len(array)} values; expected {shape[0]}")
    return array


def owned_vector(values: Any, what: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return a vector as kernels read and write it: the array that is given, or else a copy."""
    array = numbers(values, what, shape)
    flags = array.flags
    if array.dtype == dtype and flags.c_contiguous and flags.aligned and flags.writeable:
        return array
    return aligned_copy(array, dtype)


class Slots(dict[str, np.ndarray]):
    """Slots by name. What is assigned to one has its length, and is written into its memory."""

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype, held: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.shape, self.dtype = shape, dtype
        self.update(held or {})

    def hold(self, name: str, array: np.ndarray) -> np.ndarray:
        """Take over an array that fits."""
        super().__setitem__(name, array)
        return array

    def __setitem__(self, name: str, values: Any) -> None:
        if name in self:
            self[name][...] = numbers(values, f"slot {name}", self.shape)
        else:
            self.hold(name, owned_vector(values, f"slot {name}", self.shape, self.dtype))

    def setdefault(self, name: str, default: Any = None) -> np.ndarray:
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, *more: Any, **named: Any) -> None:
        for name, values in dict(*more, **named).items():
            self[name] = values

    def __ior__(self, other: Any) -> Slots:  # type: ignore[override,misc]
        self.update(other)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def move(old: np.ndarray | None, new: np.ndarray, first: np.ndarray | None, merge: Merge) -> None:
    """Write a vector on a pattern anew, from the one before.

    ``first`` is what new positions start with, if not with 0; all start so without an old vector.
    """
    from sparsecpu.kernels.shared_columns import move as move_columns

    if old is None:
        new[...] = 0
    else:
        groups = merge.old.groups.indptr, merge.pattern.groups.indptr
        move_columns(old, new, merge.stays, merge.stays_at, *groups, merge.old.group,
                     merge.old.shape[0])  # fmt: skip
    if first is not None:
        new[merge.new_at] = first
