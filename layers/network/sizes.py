"""Sizes that a network plans once, and that nobody may change behind its back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.errors import ParameterError, brief
from sparsecpu.kernels.machine.arrays import aligned_copy
from sparsecpu.layers.base import Layer, Plan, Spec
from sparsecpu.layers.chain import Chain
from sparsecpu.layers.checked import vector
from sparsecpu.registries.numbers import whole
from sparsecpu.sparse.row_blocks import effective_width

if TYPE_CHECKING:
    from sparsecpu.layers.network.planned import PlannedNetwork

#: What a plan decides, and nothing else.
_PLANNED = ("input_shape", "widths", "n_outputs")
_NARROW = 1024  # features that need no blocks of columns


class FixedSizes(Chain):
    """A chain whose sizes are those of its plan, and the scaling of its inputs, which fits them.

    Kernels read and write by these sizes, so assignments are checked, and reads cost nothing.
    """

    offset: np.ndarray
    scale: np.ndarray
    dtype: np.dtype
    _plan: Plan

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("layers", "dtype", *_PLANNED) and name in self.__dict__:
            raise ParameterError(
                name, value, f"{brief(self.__dict__[name])}, or make a new network"
            )
        if name in ("offset", "scale"):
            values = vector(name, value, (0,), (self.widths[0],))
            self._set_scaling(name if values.size else None, values)
        else:
            super().__setattr__(name, value)

    def _set_scaling(self, name: str | None, values: Any = None) -> None:
        """Let offset or scale have values, and the other one as many; None for no name empties."""
        size = self.widths[0] if name else 0
        for each, neutral in (("offset", 0.0), ("scale", 1.0)):
            old = self.__dict__.get(each, ())
            new = values if name == each else old if len(old) == size else np.full(size, neutral)
            self.__dict__[each] = aligned_copy(new, self.dtype)

    def plan(self, spec: Spec) -> Spec:
        before = {name: self.__dict__.pop(name) for name in _PLANNED if name in self.__dict__}
        try:
            self.input_shape = spec.shape if spec.length is None else (spec.length, *spec.shape)
            return self._plan_layers(spec)
        except BaseException:
            self.__dict__.update(before)
            self._plan.current = False  # the next pass plans for these sizes again
            raise

    def _plan_layers(self, spec: Spec) -> Spec:
        """Do what ``plan`` does, where no size is set."""
        return super().plan(spec)


def spec_of_samples(shape: tuple[int, ...]) -> Spec:
    """Return what samples of a shape are: ``(length, features)`` is a sequence of tokens."""
    return Spec(shape[1:], length=shape[0]) if len(shape) == 2 else Spec(shape)


def sample_shape(shape: Any, layers: Iterable[Layer]) -> tuple[int, ...]:
    """Return the shape of one sample: features, or channels, height and width, or a sequence's.

    Where it is not given, the first of the layers that has ``in_features`` says it.
    """
    if shape is None:
        first = next((x.in_features for x in layers if hasattr(x, "in_features")), None)
        if first is None:
            raise ParameterError("input_shape", None, "the shape of one sample")
        shape = (first,)
    try:
        sizes = tuple(shape)
    except TypeError:
        sizes = ()
    if len(sizes) not in (1, 2, 3):
        expected = "(features,), (length, features) or (channels, height, width)"
        raise ParameterError("input_shape", shape, expected)
    return tuple(whole("input_shape", size, 1) for size in sizes)


def widest_tile(widths: Sequence[int], density: float) -> int:
    """Return the features of the widest tile; of wide layers, only those in use at once."""
    widest = max(widths)
    if widest <= _NARROW:
        return widest
    return max(effective_width(n, n * density) for n in widths)


def most_common_group(network: PlannedNetwork) -> int:
    """Return the size of the groups that most weights stand in."""
    counts: dict[int, int] = {}
    for parameter in network.sparse_parameters().values():
        group = parameter.pattern.group
        counts[group] = counts.get(group, 0) + parameter.nnz
    return max(counts, key=lambda group: (counts[group], -group), default=1)
