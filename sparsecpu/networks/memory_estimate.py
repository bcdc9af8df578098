"""An estimate, before training starts, of the memory that it takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecpu.errors import MemoryBudgetError
from sparsecpu.layers import KINDS
from sparsecpu.layers.chain import leaves_slope
from sparsecpu.layers.composite import Composite
from sparsecpu.layers.network.entry import lanes_filled
from sparsecpu.layers.network.sizes import spec_of_samples
from sparsecpu.networks.description import Architecture
from sparsecpu.sparse.keys import SLAB
from sparsecpu.step.lanes import choose_lanes, token_lanes

#: Bytes of a number: a value, its gradient, a column.
_NUMBER = 4
#: Bytes per weight of the transposed index: the index, its permutation, the values in that order.
_TRANSPOSED = 12
#: Bytes per weight of the largest layer that an update of the topology takes for a while: for a
#: vector, and for its pattern, which rows in a group have in common. Measured where three tenths
#: are dropped: 19 in all where rows stand alone, 7 in groups of 4.
_MOVED, _REWIRED = 4, 16
#: The same for each weight of a slab; measured: 15 in all, 5 in groups of 4.
_MOVED_AT_ONCE, _REWIRED_AT_ONCE = 2, 13
#: Bytes that a run takes beside its network: libraries that are loaded late, and the compiler.
#: Measured where no kernel was compiled before: 65 MB for linear layers, 84 MB where their rows
#: stand in groups, 245 MB for images.
_PROGRAM, _PROGRAM_OF_IMAGES = 85_000_000, 240_000_000


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


def bytes_per_connection(slots: int = 1, *, lean: bool = False, group: int = 1) -> float:
    """Return the bytes per weight in training: 28 with momentum, 12 if that is lean.

    ``slots`` are the optimizer's numbers per weight, 1 with momentum and 2 with Adam; ``lean``
    training has neither the transposed index nor a gradient vector. Rows in a group share one
    column between them, and need no transposed index: 13 bytes in groups of 4, lean 9.
    """
    index = _NUMBER / group + (_TRANSPOSED if group == 1 and not lean else 0)
    return index + _NUMBER * (1 + slots + (not lean))


def rewiring_memory(count: int, group: int) -> float:
    """Return the bytes that an update takes for a while in a layer of so many weights."""
    slab = min(count, SLAB)
    moved = count * _MOVED + slab * _MOVED_AT_ONCE
    return moved + (count * _REWIRED + slab * _REWIRED_AT_ONCE) / group


def _layers(options: Any) -> Iterator[tuple[int | None, int]]:
    """Yield weights to keep, and groups, of each layer of a description, of inner ones too."""
    if isinstance(options, Mapping):
        if "nnz" in options:
            yield options["nnz"], options.get("group", 1)
        for value in options.values():
            yield from _layers(value)
    elif isinstance(options, (list, tuple)):
        for value in options:
            yield from _layers(value)


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
    groups = weight_groups(architecture)
    connections = neurons = update = 0.0
    for shape, count, group in zip(shapes, counts, groups, strict=True):
        connections += count * bytes_per_connection(slots, lean=lean, group=group)
        neurons += shape[0] * (8 + 4 * (2 + slots)) + (8 * shape[0] / group if group > 1 else 0)
        neurons += 8 * math.prod(shape[1:]) if group == 1 and not lean else 0
        update = max(update, rewiring_memory(count, group))
    return Estimate(
        int(connections),
        int(neurons),
        _activation_bytes(architecture, batch),
        int(update + watched),
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
    return [count for count, _ in _kept(architecture)]


def weight_groups(architecture: Architecture) -> list[int]:
    """Return the size of the groups in which the rows of each layer will stand."""
    return [group for _, group in _kept(architecture)]


def _kept(architecture: Architecture) -> list[tuple[int, int]]:
    sizes = [math.prod(shape) for shape in architecture.weight_shapes()]
    given = [found for layer in architecture.layers for found in _layers(layer.options)]
    if len(given) != len(sizes):  # layers that are not ours: assume all weights, the most possible
        return [(size, 1) for size in sizes]
    return [
        (size, 1) if count in (None, size) else (count, group)
        for (count, group), size in zip(given, sizes, strict=True)
    ]


def _activation_bytes(architecture: Architecture, batch: int) -> int:
    """Return the bytes of a batch's outputs and their gradients."""
    if architecture.longest:
        shape = spec_of_samples(architecture.input_shape).shape
        held, blocks = 0, [0, 0]
        for entry, outputs, gradients in _numbers(
            [{"kind": x.kind, **x.options} for x in architecture.layers], shape
        ):
            held += outputs
            if entry["kind"] == "residual":
                blocks.append(gradients)
            else:
                held += gradients
        # Residual blocks take turns in two memories for gradients.
        held += max(blocks[0::2]) + max(blocks[1::2])
        return 4 * lanes_of(architecture, batch) * held
    # A ReLU has no output of its own: its neighbours apply it while they store.
    kinds = ["input", *(layer.kind for layer in architecture.layers)]
    widths = [n for n, kind in zip(architecture.widths(), kinds, strict=True) if kind != "relu"]
    images = len(architecture.input_shape) == 3
    lanes = 16 if images else choose_lanes(batch, max(widths))
    rows = -(-batch // lanes) * lanes
    # Gradients of all layers, or of two layers in turn.
    held = 2 * sum(widths) if images else sum(widths) + 2 * max(widths)
    return 4 * rows * held


def lanes_of(architecture: Architecture, batch: int) -> int:
    """Return how many lanes a batch fills: one for each sample, or for each of their tokens."""
    return lanes_filled(architecture.longest, batch, token_lanes(np.float32), np.float32)


def _numbers(
    entries: Iterable[Mapping[str, Any]], shape: tuple[int, ...]
) -> Iterator[tuple[Mapping[str, Any], int, int]]:
    """Yield listed layers, and the numbers per token of their outputs and of their gradients."""
    entries = list(entries)
    kinds = [KINDS[entry["kind"]] for entry in entries]
    for i, (kind, entry) in enumerate(zip(kinds, entries, strict=True)):
        options = {k: v for k, v in entry.items() if k != "kind"}
        out, _ = kind.trace(shape, options)
        if issubclass(kind, Composite):
            inputs, sums = kind.inputs(shape, options), [kind.numbers(shape, options)]
            for name, inner in kind.entries(options).items():
                sums += [found[1:] for found in _numbers(inner, inputs[name])]
            yield entry, sum(n for n, _ in sums), sum(n for _, n in sums)
        else:
            no_dx = kind.reads_tokens or leaves_slope(kinds, i)
            yield entry, math.prod(out), 0 if no_dx else math.prod(shape)
        shape = out
