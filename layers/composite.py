"""Layers that are made of chains of others, each with a name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sparsecpu.layers.base import KINDS, Layer, Shape
from sparsecpu.layers.chain import Chain, build_layers, listed, trace_layers
from sparsecpu.layers.described import described

#: What a description lists of a chain: ``kind`` and options of each layer.
Entries = Iterable[dict[str, Any]]


class Composite(Layer):
    """Base of layers with chains of layers inside, and of their descriptions.

    A subclass says what its chains are called, in files and in descriptions, and what comes into
    each of them.
    """

    def __init__(self, chains: dict[str, Iterable[Layer]]) -> None:
        self.by_name = {name: Chain(listed(name, layers)) for name, layers in chains.items()}

    @classmethod
    def entries(cls, options: dict[str, Any]) -> dict[str, Entries]:
        """Return what a description's options list for each chain, by its name, in order."""
        raise NotImplementedError

    @classmethod
    def as_options(cls, chains: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        """Return a description's options, or arguments, with these chains: undo ``entries``."""
        return {**options, **chains}

    @classmethod
    def inputs(cls, shape: Shape, options: dict[str, Any]) -> dict[str, Shape]:
        """Return the shape of what comes into each chain, where ``shape`` comes into the layer."""
        return dict.fromkeys(cls.entries(options), shape)

    @classmethod
    def numbers(cls, shape: Shape, options: dict[str, Any]) -> tuple[int, int]:
        """Return how many numbers per sample, or token, it holds of a batch beside its chains'.

        What it puts out, and gradients; here, the output and the gradient of its input.
        """
        return math.prod(cls.trace(shape, options)[0]), math.prod(shape)

    @classmethod
    def build(cls, shape: Shape, options: dict[str, Any], **context: Any) -> Layer:
        given, shapes = context.pop("parameters", None), cls.inputs(shape, options)
        chains = {
            name: build_layers(entries, shapes[name], name, given, **context)
            for name, entries in cls.entries(options).items()
        }
        return cls(**cls.as_options(chains, options))

    @classmethod
    def trace_chains(
        cls, shape: Shape, options: dict[str, Any]
    ) -> tuple[dict[str, Shape], list[Shape]]:
        """Return what each described chain puts out, and the shapes of all weights in order."""
        shapes, ends, weights = cls.inputs(shape, options), {}, list[Shape]()
        for name, entries in cls.entries(options).items():
            ends[name], found = trace_layers(entries, shapes[name])
            weights += found
        return ends, weights

    @classmethod
    def allot(cls, options: dict[str, Any], counts: Iterator[int]) -> dict[str, Any]:
        return cls._changed(options, lambda kind, entry: kind.allot(entry, counts))

    @classmethod
    def regroup(cls, options: dict[str, Any], sizes: Iterator[int]) -> dict[str, Any]:
        return cls._changed(options, lambda kind, entry: kind.regroup(entry, sizes))

    @classmethod
    def _changed(
        cls, options: dict[str, Any], change: Callable[[type[Layer], Any], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return options in which each layer of the chains is changed, in order."""
        chains = {
            name: [change(KINDS[entry["kind"]], entry) for entry in entries]
            for name, entries in cls.entries(options).items()
        }
        return cls.as_options(chains, options)

    def children(self) -> dict[str, Layer]:
        return dict(self.by_name)

    def own_options(self) -> dict[str, Any]:
        """Return what a description has of it beside its chains."""
        return {}

    def options(self) -> dict[str, Any]:
        chains = {name: described(chain.layers) for name, chain in self.by_name.items()}
        return self.as_options(chains, self.own_options())
