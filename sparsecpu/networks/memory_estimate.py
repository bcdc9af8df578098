"""An estimate, before training starts, of the memory that it takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sparsecpu.errors import MemoryBudgetError
from sparsecpu.networks.description import Architecture
from sparsecpu.step.lanes import choose_lanes

#: Bytes per weight, without the optimizer's: value, index, gradient.
_WEIGHT = 12
#: Bytes per weight of the transposed index: the index, its permutation, the values in that order.
_TRANSPOSED = 12
#: Bytes per weight of the largest layer that an update of the topology takes for a while.
_UPDATE = 50
#: Bytes that a run takes beside its network: libraries that are loaded late, and the compiler.
#: Measured where no kernel was compiled before: 57 MB for linear layers, 245 MB for images.
_PROGRAM, _PROGRAM_OF_IMAGES = 60_000_000, 240_000_000


@dataclass(frozen=True)
class Estimate:
    """Bytes that training takes."""

    #: Values, indices, gradients and the optimizer's numbers of all weights.
    connections: int
    #: Row and column pointers of the indices, and biases with their gradients and slots.
    neurons: int
    #: Outputs of a batch, and their gradients.
    activations: int
    #: What an update of the topology adds for a while in the largest layer, the momentum of absent
    #: weights, and what is noted about patterns.
    update: int
    #: Libraries, and what compiling the kernels takes.
    program: int

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return self.connections + self.neurons + self.activations + self.update + self.program

    def __str__(self) -> str:
        parts = {"weights": self.connections, "neurons": self.neurons}
        parts |= {"activations": self.activations, "topology": self.update}
        parts["programs"] = self.program
        unit, name = (1e9, "GB") if self.total >= 1e9 else (1e6, "MB")
        digits = 1 if unit == 1e9 else 0
        inner = ", ".join(f"{part} {value / unit:.{digits}f}" for part, value in parts.items())
        return f"{self.total / unit:.{digits}f} {name} ({inner})"


def bytes_per_connection(slots: int = 1, *, lean: bool = False) -> int:
    """Return the bytes per weight in training: 28 with momentum, 12 if that is lean.

    ``slots`` are the optimizer's numbers per weight, 1 with momentum and 2 with Adam; ``lean``
    training has neither the transposed index nor a gradient vector.
    """
    return 8 + 4 * slots if lean else _WEIGHT + _TRANSPOSED + 4 * slots


def _kept(options: Any) -> Iterator[int | None]:
    """Yield how many weights each layer of a description keeps, inner layers included."""
    if isinstance(options, Mapping):
        if "nnz" in options:
            yield options["nnz"]
        for value in options.values():
            yield from _kept(value)
    elif isinstance(options, (list, tuple)):
        for value in options:
            yield from _kept(value)


def estimate(
    architecture: Architecture,
    batch: int,
    *,
    slots: int = 1,
    lean: bool = False,
    watched: float = 0.0,
) -> Estimate:
    """Estimate the memory that training takes, with ``batch`` samples per step.

    ``slots`` are the optimizer's numbers per weight; ``watched`` are bytes that the topology takes
    by itself, and that are taken to note what it does.
    """
    shapes, counts = architecture.weight_shapes(), weight_counts(architecture)
    neurons = sum(shape[0] * (8 + 4 * (2 + slots)) for shape in shapes)
    neurons += 0 if lean else sum(8 * math.prod(shape[1:]) for shape in shapes)
    return Estimate(
        sum(counts) * bytes_per_connection(slots, lean=lean),
        neurons,
        _activation_bytes(architecture, batch),
        int(_UPDATE * max(counts, default=0) + watched),
        _PROGRAM_OF_IMAGES if len(architecture.input_shape) == 3 else _PROGRAM,
    )


def refuse_unless_it_fits(need: Estimate, advice: str) -> int | None:
    """Raise ``MemoryBudgetError`` with some advice if training takes more than is free.

    Returns the bytes that are free, None if the system does not tell.
    """
    from sparsecpu.reading import memory

    free = memory.free_memory()
    if free is not None and need.total > free:
        left = memory.in_words(free)
        raise MemoryBudgetError(f"the run would need about {need}, and {left} are free; {advice}")
    return free


def weight_counts(architecture: Architecture) -> list[int]:
    """Return how many weights each layer has."""
    sizes = [math.prod(shape) for shape in architecture.weight_shapes()]
    given = [count for layer in architecture.layers for count in _kept(layer.options)]
    if len(given) != len(sizes):  # layers that are not ours: assume all weights, the most possible
        return sizes
    return [size if count is None else count for count, size in zip(given, sizes, strict=True)]


def _activation_bytes(architecture: Architecture, batch: int) -> int:
    """Return the bytes of a batch's outputs and their gradients."""
    # A ReLU has no output of its own: its neighbours apply it while they store.
    kinds = ["input", *(layer.kind for layer in architecture.layers)]
    widths = [n for n, kind in zip(architecture.widths(), kinds, strict=True) if kind != "relu"]
    images = len(architecture.input_shape) == 3
    lanes = 16 if images else choose_lanes(batch, max(widths))
    rows = -(-batch // lanes) * lanes
    # Gradients of all layers, or of two layers in turn.
    held = 2 * sum(widths) if images else sum(widths) + 2 * max(widths)
    return 4 * rows * held
