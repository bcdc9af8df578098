"""Which groups are fastest here: times each layer of a description alone, before it is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsecpu.kernels.machine.blas import one_blas_thread
from sparsecpu.layers import KINDS, Layer, SparseLinear, Spec
from sparsecpu.layers.composite import Composite
from sparsecpu.layers.network.autotune import race
from sparsecpu.layers.network.planned import IMAGE_LANES
from sparsecpu.layers.network.sizes import widest_tile
from sparsecpu.networks.description import Architecture
from sparsecpu.networks.groups import DENSE
from sparsecpu.sparse.groups import SIZES
from sparsecpu.step.lanes import choose_lanes, token_lanes

#: Seconds for a layer at most, once its kernels are compiled, and for all of them.
_EACH, _ALL = 0.3, 3.0
#: Of sizes within this factor of the fastest the smallest is taken: freedom in the choice of
#: weights is worth more than a tenth of the time, which so many more weights would take.
_AS_FAST = 1.1
#: Of a linear layer with more weights only some rows are timed, with inputs from so many columns.
_MOST, _COLUMNS = 1_000_000, 1 << 18
#: A full matrix of more numbers is not made only to be timed.
_MOST_DENSE = 1 << 24
#: Tiles of images for each thread: all take as long.
_TILES = 2


@dataclass(frozen=True)
class GroupChoice:
    """How fast one layer is in groups of each size, and which it takes.

    ``ms`` are milliseconds of forward and backward pass by ``"1"``, ``"2"``, ``"4"``, ``"8"`` and
    ``"dense"``, empty for a layer that keeps all its weights; ``takes`` is an entry of a list as
    ``networks.groups`` has them.
    """

    name: str
    shape: tuple[int, int]
    density: float
    takes: int | str
    ms: dict[str, float] = field(default_factory=dict)


def choose_groups(
    architecture: Architecture, batch: int, threads: int | None = None, *,
    dtype: Any = np.float32, precision: str = "fp32",
) -> list[GroupChoice]:  # fmt: skip
    """Time the layers of a sparse description in groups of each size; return what each takes.

    ``batch`` are the samples per step, ``threads`` those of the kernels, as in training; so are
    ``dtype`` and ``precision``. Layers with the same sizes and weights are timed once.
    """
    from sparsecpu.kernels.machine.threads import current_threads, team, use_threads

    entries = [{"kind": layer.kind, **layer.options} for layer in architecture.layers]
    places = list(_placed(entries, architecture.input_shape))
    timed: dict[Any, dict[str, float]] = {}
    seconds = min(_EACH, _ALL / max(1, len({place.alike for place in places})))
    with use_threads(team(places, batch, threads)), one_blas_thread():
        widths = _lanes(architecture, places, batch, dtype)
        batch *= architecture.longest or 1
        if len(architecture.input_shape) == 3 or architecture.longest:
            batch = min(batch, _TILES * max(widths.values()) * current_threads())
        for number, place in enumerate(places):
            if place.alike not in timed:
                runs, part = _runs(place, number > 0, widths, dtype)
                ms = race(runs, batch, dtype, seconds, precision) if runs else {}
                timed[place.alike] = {name: spent / part for name, spent in ms.items()}
    return [_choice(place, timed[place.alike]) for place in places]


@dataclass(frozen=True)
class _Place:
    """A layer with weights, where it stands: shapes of a sample before and behind it."""

    name: str
    kind: type[Layer]
    options: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    weights: tuple[int, ...]

    @property
    def size(self) -> int:
        """Weights that it would have dense."""
        return math.prod(self.weights)

    @property
    def nnz(self) -> int:
        """Weights that it keeps."""
        nnz = self.options.get("nnz")
        return self.size if nnz is None else nnz

    @property
    def uses(self) -> int:
        """How often a sample meets each weight."""
        return math.prod(self.outputs[1:])

    @property
    def alike(self) -> tuple[Any, ...]:
        """What layers that take as long have in common."""
        return self.kind.kind, self.inputs, self.outputs, self.weights, self.nnz

    @property
    def is_timed(self) -> bool:
        """True if groups make a difference: weights are missing, and filters see all channels."""
        known = self.kind.kind in ("linear", "conv2d") and self.options.get("groups", 1) == 1
        return known and self.nnz < self.size


def _placed(
    entries: Iterable[dict[str, Any]], shape: tuple[int, ...], prefix: str = ""
) -> Iterator[_Place]:
    """Yield the layers that have weights, those inside of others included, in order."""
    for number, entry in enumerate(entries):
        kind, name = KINDS[entry["kind"]], f"{prefix}{number}"
        options = {key: value for key, value in entry.items() if key != "kind"}
        outputs, weights = kind.trace(shape, options)
        if issubclass(kind, Composite):
            shapes = kind.inputs(shape, options)
            for chain, inner in kind.entries(options).items():
                yield from _placed(inner, shapes[chain], f"{name}.{chain}.")
        else:
            for each in weights:
                yield _Place(name, kind, options, shape, outputs, each)
        shape = outputs


def _lanes(
    architecture: Architecture, places: list[_Place], batch: int, dtype: Any
) -> dict[int, int]:
    """Return the width of the tiles that the network will have, by the size of its groups."""
    if architecture.longest:
        return dict.fromkeys(SIZES, token_lanes(dtype))
    first = architecture.layers[0].kind if architecture.layers else ""
    if len(architecture.input_shape) == 3 and first != "flatten":
        return dict.fromkeys(SIZES, IMAGE_LANES)
    density = sum(place.nnz for place in places) / max(1, sum(place.size for place in places))
    widest = widest_tile(architecture.widths(), density)
    return {size: choose_lanes(batch, widest, dtype, size) for size in SIZES}


def _runs(
    place: _Place, needs_dx: bool, widths: dict[int, int], dtype: Any
) -> tuple[dict[str, tuple[Layer, str, int]], float]:
    """Return a layer by what it may take, as ``race`` wants it; and the fraction of its rows."""
    if not place.is_timed:
        return {}, 1.0
    options, inputs, part = _part_of(place)
    runs: dict[str, tuple[Layer, str, int]] = {}
    for size in SIZES:
        layer = place.kind.build(
            inputs, {**options, "group": size}, rng=np.random.default_rng(0), dtype=dtype
        )
        layer.plan(Spec(inputs, needs_gradient=needs_dx))
        runs[str(size)] = layer, "sparse", widths[size]
    if place.size <= _MOST_DENSE:
        runs[DENSE] = runs["1"][0], DENSE, widths[1]
    return runs, part


def _part_of(place: _Place) -> tuple[dict[str, Any], tuple[int, ...], float]:
    """Return options and inputs of so many rows of a layer as are timed, and their fraction."""
    if place.kind is not SparseLinear or place.nnz <= _MOST:
        return place.options, place.inputs, 1.0
    n_out, n_in = place.weights
    rows, columns = 8 * -(-n_out * _MOST // (8 * place.nnz)), min(n_in, _COLUMNS)
    nnz = min(round(place.nnz / n_out * rows), rows * columns)
    return {**place.options, "out_features": rows, "nnz": nnz}, (columns,), rows / n_out


def _choice(place: _Place, ms: dict[str, float]) -> GroupChoice:
    """Return what a layer takes: the first that is as fast as the fastest."""
    most = _AS_FAST * min(ms.values(), default=0.0)
    takes = next((name for name, spent in ms.items() if spent <= most), "1")
    shape = place.weights[0], math.prod(place.weights[1:])
    entry = takes if takes == DENSE else int(takes)
    return GroupChoice(place.name, shape, place.nnz / place.size, entry, ms)
