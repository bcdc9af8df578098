"""How much memory a run needs, told before it starts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sparsecpu.networks.description import Architecture
from sparsecpu.step.lanes import choose_lanes

#: Bytes per connection while training, without the optimizer's: value, index, gradient; transposed
#: index, its permutation and the values in that order.
_OWN, _TRANSPOSED = 12, 12
#: Bytes per connection of the largest layer that a topology update takes for a while.
_UPDATE = 28


@dataclass(frozen=True)
class Estimate:
    """Bytes of a run.

    Parameters
    ----------
    connections : int
        Values, indices, gradients and the optimizer's numbers of all weights.
    neurons : int
        Rows and columns of the indices, and biases with what belongs to them.
    activations : int
        Of a batch, and their gradients.
    update : int
        What a topology update adds for a while, in the largest layer, and what is watched for it.
    """

    connections: int
    neurons: int
    activations: int
    update: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.connections + self.neurons + self.activations + self.update

    def __str__(self) -> str:
        parts = {"weights": self.connections, "neurons": self.neurons}
        parts |= {"activations": self.activations, "topology": self.update}
        inner = ", ".join(f"{name} {value / 1e9:.1f}" for name, value in parts.items())
        return f"{self.total / 1e9:.1f} GB ({inner})"


def bytes_per_connection(slots: int = 1, *, lean: bool = False) -> int:
    """Return the bytes that training keeps for a weight.

    Parameters
    ----------
    slots : int
        Numbers that the optimizer keeps: 1 with momentum, 2 for Adam.
    lean : bool
        Without the transposed index and without a gradient vector.

    Returns
    -------
    int
        28 with momentum; 12 if lean.
    """
    return 8 + 4 * slots if lean else _OWN + _TRANSPOSED + 4 * slots


def _kept(options: Any) -> Iterator[int | None]:
    """Yield how many weights each layer of a description keeps, those inside of others too."""
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
    """Estimate the memory that training takes.

    Parameters
    ----------
    architecture : Architecture
        The network, its weights shared out.
    batch : int
        Samples per step.
    slots : int
        Numbers that the optimizer keeps per weight.
    lean : bool
        See ``Trainer``.
    watched : float
        Bytes for watching inactive weights.

    Returns
    -------
    Estimate
        In bytes.
    """
    shapes = architecture.weight_shapes()
    sizes = [math.prod(shape) for shape in shapes]
    given = [count for layer in architecture.layers for count in _kept(layer.options)]
    if len(given) != len(sizes):  # no description of ours; all weights are the most there can be
        given = [None] * len(sizes)
    counts = [size if n is None else n for n, size in zip(given, sizes, strict=True)]
    # A ReLU is applied by its neighbours while they store.
    kinds = ["input", *(layer.kind for layer in architecture.layers)]
    widths = [n for n, kind in zip(architecture.widths(), kinds, strict=True) if kind != "relu"]
    images = len(architecture.input_shape) == 3
    lanes = 16 if images else choose_lanes(batch, max(widths))
    rows = -(-batch // lanes) * lanes
    sides = sum(shape[0] * (8 + 4 * (2 + slots)) for shape in shapes)
    sides += 0 if lean else sum(8 * math.prod(shape[1:]) for shape in shapes)
    # Outputs of all layers, and gradients: of all layers again, or two in turn.
    held = 2 * sum(widths) if images else sum(widths) + 2 * max(widths)
    return Estimate(
        sum(counts) * bytes_per_connection(slots, lean=lean),
        sides,
        4 * rows * held,
        int(_UPDATE * max(counts, default=0) + watched),
    )
