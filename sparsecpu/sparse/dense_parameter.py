"""Trainable values that are never pruned: dense vectors, with what an optimizer remembers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sparsecpu.kernels.machine.arrays import aligned_copy, aligned_zeros
from sparsecpu.kernels.machine.cached import cached_property
from sparsecpu.registries.numbers import float_type
from sparsecpu.sparse.vectors import Slots, numbers

#: In place of an order, where there is no second copy; read-only as all index arrays are, so that
#: kernels compile once.
NO_ORDER = np.empty(0, dtype=np.int32)
NO_ORDER.setflags(write=False)


class Parameter:
    """A vector of trainable values (bias, norm scale and shift): dense, never pruned.

    ``data`` are the values, shape (n,); ``slots`` hold what the optimizer remembers for each of
    them, by name. To assign to ``data``, ``grad`` or a slot writes into the memory that is there,
    and refuses what has another length: kernels rely on it.
    """

    #: True if weight decay acts on the values.
    decays: ClassVar[bool] = False

    data: np.ndarray
    slots: Slots

    def __init__(self, data: Any, dtype: Any = np.float32) -> None:
        values = aligned_copy(numbers(data, "data"), float_type(dtype))
        self._set(data=values, slots=Slots(values.shape, values.dtype))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.data.size:,} numbers, {self.data.dtype})"

    def _set(self, **attributes: Any) -> None:
        """Replace attributes by what fits together; see ``__setattr__``."""
        self.__dict__.update(attributes)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("data", "grad"):
            getattr(self, name)[...] = numbers(value, name, self.data.shape)
            self.touch()
        elif name == "slots":
            self._set(slots=Slots(self.data.shape, self.data.dtype, value))
        else:
            super().__setattr__(name, value)

    @cached_property
    def grad(self) -> np.ndarray:
        """The gradient, shape (n,); its memory is taken at the first use."""
        return aligned_zeros(self.data.shape, self.data.dtype)

    @property
    def nnz(self) -> int:
        """Number of values."""
        return self.data.size

    def slot(self, name: str) -> np.ndarray:
        """Return a slot, such as ``"momentum"``, shape (n,); zeros at the first use."""
        found = self.slots.get(name)
        if found is None:
            found = self.slots.hold(name, aligned_zeros(self.data.shape, self.data.dtype))
        return found

    def vectors(self) -> dict[str, np.ndarray]:
        """Return everything of length n that there is, by name: data, grad and every slot."""
        found: dict[str, np.ndarray] = {"data": self.data}
        if "grad" in self.__dict__:
            found["grad"] = self.grad
        found.update(self.slots)
        return found

    def touch(self) -> None:
        """Say that ``data`` changed, where something else is made from it."""

    def second_copy(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the order and the memory of a second copy that an update of ``data`` writes too.

        The copy is ``data[order]``; both are empty where there is none, as here.
        """
        return NO_ORDER, self.data[:0]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "slots": dict(self.slots)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up pickled or copied attributes, with arrays that start on a cache line again."""
        held = {n: aligned_copy(state[n]) for n in ("data", "grad") if n in state}
        slots = {name: aligned_copy(slot) for name, slot in state["slots"].items()}
        self._set(**state)
        self._set(**held, slots=Slots(held["data"].shape, held["data"].dtype, slots))


class Table(Parameter):
    """Trainable values with a row for each thing that they describe: dense, and they decay.

    ``values`` is a view of ``data`` with the shape of the table.
    """

    decays = True

    def __init__(self, values: Any, dtype: Any = np.float32) -> None:
        array = np.asarray(values)
        super().__init__(array.reshape(-1), dtype)
        self._set(shape=array.shape)

    shape: tuple[int, int]

    @property
    def values(self) -> np.ndarray:
        """The values, shape (rows, columns)."""
        return self.data.reshape(self.shape)
