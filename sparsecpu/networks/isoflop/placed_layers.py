"""The layers of a description in their places: sizes, FLOPs, and how to replace them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from sparsecpu.layers import KINDS
from sparsecpu.layers.composite import Composite
from sparsecpu.layers.network.sizes import spec_of_samples
from sparsecpu.networks.description import Architecture, LayerSpec
from sparsecpu.sparse.groups import nearest_nnz

#: A layer as plain values: its ``kind``, and its options.
Entry = dict[str, Any]
Shape = tuple[int, ...]

#: Kinds of layers that have weights.
WEIGHTED = ("linear", "conv2d")


def options_of(entry: Entry) -> dict[str, Any]:
    """Return the options of a layer, without its kind."""
    return {key: value for key, value in entry.items() if key != "kind"}


@dataclass(frozen=True)
class PlacedLayer:
    """A layer, and the shape of a sample that comes into it."""

    entry: Entry
    shape: Shape

    @property
    def kind(self) -> str:
        """Name of the kind of layer."""
        return self.entry["kind"]

    @property
    def output_shape(self) -> Shape:
        """Shape of a sample that comes out."""
        return KINDS[self.kind].trace(self.shape, options_of(self.entry))[0]

    @property
    def weight_shape(self) -> Shape:
        """Shape of the weights, of a layer that has them."""
        return KINDS[self.kind].trace(self.shape, options_of(self.entry))[1][0]

    @property
    def fans(self) -> tuple[int, int]:
        """Inputs (of a convolution: per pixel) and outputs."""
        out, *rest = self.weight_shape
        return math.prod(rest), out

    @property
    def size(self) -> int:
        """Number of weights, dense."""
        return math.prod(self.weight_shape)

    @property
    def uses(self) -> int:
        """How often a sample uses each weight: once per pixel of the output."""
        return math.prod(self.output_shape[1:])

    @property
    def products(self) -> int:
        """Multiplications per sample, at the nonzeros."""
        nnz = self.entry.get("nnz")
        return (self.size if nnz is None else nnz) * self.uses

    def nearest_nnz(self, nnz: int) -> int:
        """Return how many weights the layer has where so many are wanted: whole groups of rows."""
        group = self.entry.get("group", 1)
        return nearest_nnz(nnz, self.fans[1], self.fans[0], group)


def flops(architecture: Architecture) -> int:
    """Return the multiplications and additions of a forward pass per sample, at the nonzeros.

    Norms, biases and activations are left out, as in the paper.

    Parameters
    ----------
    architecture : Architecture
        The network.
    """
    return 2 * sum(layer.products for layer in weighted_layers(architecture))


def activations(architecture: Architecture) -> int:
    """Return how many numbers per sample a backward pass must keep.

    They are the outputs of all layers that have weights, a norm or a pooling.

    Parameters
    ----------
    architecture : Architecture
        The network.
    """
    return sum(
        math.prod(layer.output_shape)
        for layer in placed_layers(entries_of(architecture), _entering(architecture))
        if layer.kind not in ("relu", "dropout", "flatten")
    )


def entries_of(architecture: Architecture) -> list[Entry]:
    """Return the layers of a description as plain values."""
    return [{"kind": layer.kind, **layer.options} for layer in architecture.layers]


def _inner(entry: Entry, shape: Shape) -> dict[str, tuple[list[Entry], Shape]]:
    """Return the lists of layers within a layer by name, and the shape that comes into each."""
    made, options = KINDS[entry["kind"]], options_of(entry)
    if not issubclass(made, Composite):
        return {}
    shapes = made.inputs(shape, options)
    return {name: (list(listed), shapes[name]) for name, listed in made.entries(options).items()}


def _entering(architecture: Architecture) -> Shape:
    """Return the shape of what comes into the first layer: a token, where samples have two axes."""
    return spec_of_samples(architecture.input_shape).shape


def placed_layers(entries: list[Entry], shape: Shape) -> Iterator[PlacedLayer]:
    """Yield every layer that holds no others, in its place."""
    for entry in entries:
        inner = _inner(entry, shape)
        for layers, into in inner.values():
            yield from placed_layers(layers, into)
        layer = PlacedLayer(entry, shape)
        if not inner:
            yield layer
        shape = layer.output_shape


def weighted_layers(architecture: Architecture) -> list[PlacedLayer]:
    """Return the layers that have weights, inner ones included."""
    layers = placed_layers(entries_of(architecture), _entering(architecture))
    return [layer for layer in layers if layer.kind in WEIGHTED]


def kept_dense(architecture: Architecture) -> list[int]:
    """Return which of the layers with weights stay dense: the last, and a convolution at first."""
    layers = weighted_layers(architecture)
    first = [0] if layers and layers[0].kind == "conv2d" else []
    return [*first, len(layers) - 1]


def rewrite(
    architecture: Architecture,
    change: Callable[[PlacedLayer, int], list[Entry]],
    other: Callable[[Entry], Entry] = lambda entry: entry,
    tidy: Callable[[list[Entry]], list[Entry]] = lambda entries: entries,
) -> Architecture:
    """Return a description in which every layer with weights is replaced.

    ``change`` returns what takes the place of such a layer, given its number among them; ``other``
    what takes the place of one without weights; ``tidy`` is given every finished list of layers.
    """
    numbers = iter(range(len(weighted_layers(architecture))))

    def within(entry: Entry, shape: Shape) -> Entry:
        inner = {name: chain(*listed) for name, listed in _inner(entry, shape).items()}
        if not inner:
            return entry
        made: Any = KINDS[entry["kind"]]
        return {"kind": entry["kind"], **made.as_options(inner, options_of(entry))}

    def chain(entries: list[Entry], shape: Shape) -> list[Entry]:
        found: list[Entry] = []
        for entry in entries:
            layer = PlacedLayer(entry, shape)
            if entry["kind"] in WEIGHTED:
                found += change(layer, next(numbers))
            else:
                found.append(other(within(entry, shape)))
            shape = layer.output_shape
        return tidy(found)

    entries = chain(entries_of(architecture), _entering(architecture))
    layers = tuple(LayerSpec(entry["kind"], options_of(entry)) for entry in entries)
    return replace(architecture, layers=layers)


def fixed(entry: Entry) -> Entry:
    """Return a layer that topology leaves alone."""
    return {**entry, "fixed": True}


def replace_sparse(
    architecture: Architecture,
    change: Callable[[PlacedLayer], list[Entry]],
    tidy: Callable[[list[Entry]], list[Entry]] = lambda entries: entries,
) -> Architecture:
    """Replace the layers with weights, except for those that stay dense."""
    kept = kept_dense(architecture)

    def change_or_keep(layer: PlacedLayer, number: int) -> list[Entry]:
        return [fixed(layer.entry)] if number in kept else change(layer)

    return rewrite(architecture, change_or_keep, tidy=tidy)
