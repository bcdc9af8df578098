"""Walking through descriptions of networks: what layers cost, and rewriting them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from sparsecpu.layers import KINDS
from sparsecpu.networks.description import Architecture, LayerSpec

Entry = dict[str, Any]
Shape = tuple[int, ...]

#: Kinds of layers that have weights.
WEIGHTS = ("linear", "conv2d")


def flops(architecture: Architecture) -> int:
    """Return the multiplications and additions of a forward pass per sample, at the nonzeros.

    Parameters
    ----------
    architecture : Architecture
        The network.

    Returns
    -------
    int
        Two per weight and use; norms, biases and activations are left out, as in the paper.
    """
    return 2 * sum(cost for _, cost, _ in costs(architecture))


def activations(architecture: Architecture) -> int:
    """Return the numbers per sample that the layers put out.

    Parameters
    ----------
    architecture : Architecture
        The network.

    Returns
    -------
    int
        Of all layers that have weights, a norm or a pooling; what a backward pass must keep.
    """
    return sum(
        math.prod(behind(entry, shape))
        for entry, shape in walk(entries_of(architecture), architecture.input_shape)
        if entry["kind"] not in ("relu", "dropout", "flatten")
    )


def entries_of(architecture: Architecture) -> list[Entry]:
    """Return the layers as plain values, with their kind.

    Parameters
    ----------
    architecture : Architecture
        The network.

    Returns
    -------
    list of dict
        In order.
    """
    return [{"kind": layer.kind, **layer.options} for layer in architecture.layers]


def _inner(entry: Entry) -> list[tuple[str, list[Entry]]]:
    """Return the lists of layers inside of one, by name."""
    if entry["kind"] == "residual":
        return [(name, list(entry.get(name, ()))) for name in ("branch", "shortcut")]
    if entry["kind"] == "parallel":
        return [(str(i), list(branch)) for i, branch in enumerate(entry["branches"])]
    return []


def behind(entry: Entry, shape: Shape) -> Shape:
    """Return the shape of a sample behind a layer.

    Parameters
    ----------
    entry : dict
        The layer.
    shape : tuple of ints
        What comes in.

    Returns
    -------
    tuple of ints
        What comes out.
    """
    return KINDS[entry["kind"]].trace(shape, {k: v for k, v in entry.items() if k != "kind"})[0]


def walk(entries: list[Entry], shape: Shape) -> Iterator[tuple[Entry, Shape]]:
    """Yield every layer that holds no others, and the shape that comes in.

    Parameters
    ----------
    entries : list of dict
        Layers, in order.
    shape : tuple of ints
        What comes into the first.

    Yields
    ------
    tuple
        Layer and shape.
    """
    for entry in entries:
        inner = _inner(entry)
        for _, listed in inner:
            yield from walk(listed, shape)
        if not inner:
            yield entry, shape
        shape = behind(entry, shape)


def weighted(architecture: Architecture) -> list[tuple[Entry, Shape]]:
    """Return the layers that have weights, and what comes into them.

    Parameters
    ----------
    architecture : Architecture
        The network.

    Returns
    -------
    list of tuple
        Layer and shape, those inside of others included.
    """
    found = walk(entries_of(architecture), architecture.input_shape)
    return [(entry, shape) for entry, shape in found if entry["kind"] in WEIGHTS]


def fans(entry: Entry, shape: Shape) -> tuple[int, int]:
    """Return inputs (of a convolution: per pixel) and outputs of a layer.

    Parameters
    ----------
    entry : dict
        A layer with weights.
    shape : tuple of ints
        What comes in.

    Returns
    -------
    tuple of two ints
        They.
    """
    options = {k: v for k, v in entry.items() if k != "kind"}
    out, *rest = KINDS[entry["kind"]].trace(shape, options)[1][0]
    return math.prod(rest), out


def size_of(entry: Entry, shape: Shape) -> int:
    """Return how many weights a layer would have, dense.

    Parameters
    ----------
    entry : dict
        A layer with weights.
    shape : tuple of ints
        What comes in.

    Returns
    -------
    int
        Their number.
    """
    return math.prod(fans(entry, shape))


def costs(architecture: Architecture) -> list[tuple[Entry, int, Shape]]:
    """Return every layer that has weights with its multiplications per sample.

    Parameters
    ----------
    architecture : Architecture
        The network.

    Returns
    -------
    list of tuple
        Layer, multiplications, and the shape that comes in.
    """
    found = []
    for entry, shape in weighted(architecture):
        pixels = math.prod(behind(entry, shape)[1:])
        nnz = entry.get("nnz")
        found.append((entry, (size_of(entry, shape) if nnz is None else nnz) * pixels, shape))
    return found


def kept_dense(architecture: Architecture) -> list[int]:
    """Return the numbers of the layers that stay dense.

    Parameters
    ----------
    architecture : Architecture
        The network.

    Returns
    -------
    list of int
        A convolution that comes first, and the last layer, among those with weights.
    """
    layers = weighted(architecture)
    first = [0] if layers and layers[0][0]["kind"] == "conv2d" else []
    return [*first, len(layers) - 1]


def rewrite(
    architecture: Architecture,
    change: Callable[[Entry, int, Shape], list[Entry]],
    other: Callable[[Entry], Entry],
    tidy: Callable[[list[Entry]], list[Entry]] = lambda entries: entries,
) -> Architecture:
    """Replace every layer that has weights.

    Parameters
    ----------
    architecture : Architecture
        The network.
    change : callable
        ``change(entry, number, shape)`` returns what takes a layer's place.
    other : callable
        Returns what takes the place of a layer without weights.
    tidy : callable
        Sees every finished list of layers.

    Returns
    -------
    Architecture
        The new network.
    """
    counter = iter(range(len(weighted(architecture))))

    def chain(entries: list[Entry], shape: Shape) -> list[Entry]:
        found: list[Entry] = []
        for entry in entries:
            if entry["kind"] in WEIGHTS:
                found += change(entry, next(counter), shape)
            elif entry["kind"] == "residual":
                lists = {name: chain(listed, shape) for name, listed in _inner(entry)}
                found.append({"kind": "residual", **lists})
            else:
                found.append(other(entry))
            shape = behind(entry, shape)
        return tidy(found)

    entries = chain(entries_of(architecture), architecture.input_shape)
    layers = (LayerSpec(e["kind"], {k: v for k, v in e.items() if k != "kind"}) for e in entries)
    return replace(architecture, layers=tuple(layers))
