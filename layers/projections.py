"""Layers that are made of linear layers, each with a name and options of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Shape
from sparsecpu.layers.linear import SparseLinear

#: Options of ``SparseLinear`` for one of the layers inside; None for those that all have.
Own = Mapping[str, Any] | None


class Projections(Layer):
    """Base of layers whose weights are those of linear layers inside.

    A description has the options of each under its name: ``{"query": {"nnz": 40}, …}``.
    """

    #: The linear layers by name, in the order in which weights are counted.
    inner: dict[str, SparseLinear]

    @classmethod
    def sizes(cls, shape: Shape, options: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
        """Return outputs and inputs of each linear layer, for inputs of a shape per token."""
        raise NotImplementedError

    @classmethod
    def of(cls, inner: dict[str, SparseLinear], options: dict[str, Any]) -> Layer:
        """Return the layer with these linear layers, and the other options of a description."""
        raise NotImplementedError

    @classmethod
    def drawn(cls, sizes: Mapping[str, tuple[int, int]], own: Mapping[str, Own], **shared: Any):
        """Return a linear layer for each of some sizes; ``own`` goes before ``shared`` options."""
        return {
            name: SparseLinear(n_in, n_out, **{**shared, **(own.get(name) or {})})
            for name, (n_out, n_in) in sizes.items()
        }

    @classmethod
    def build(cls, shape: Shape, options: dict[str, Any], **context: Any) -> Layer:
        given, inner = context.pop("parameters", None), {}
        shared = {name: options[name] for name in ("bias", "gain", "group") if name in options}
        for name, (n_out, n_in) in cls.sizes(shape, options).items():
            own = None
            if given is not None:
                head = f"{name}."
                own = {k.removeprefix(head): p for k, p in given.items() if k.startswith(head)}
            told = {**shared, "out_features": n_out, **(options.get(name) or {})}
            layer = SparseLinear.build((n_in,), told, parameters=own, **context)
            if (layer.out_features, layer.in_features) != (n_out, n_in):
                expected = f"shape ({n_out}, {n_in})"
                raise ParameterError(f"{name}.weight", layer.weight.shape, expected)
            inner[name] = layer
        return cls.of(inner, {k: v for k, v in options.items() if k not in (*inner, *shared)})

    @classmethod
    def trace(cls, shape: Shape, options: dict[str, Any]) -> tuple[Shape, list[Shape]]:
        sizes = list(cls.sizes(shape, options).values())
        return (sizes[-1][0],), [*sizes]

    @classmethod
    def allot(cls, options: dict[str, Any], counts: Iterator[int]) -> dict[str, Any]:
        return cls._changed(options, lambda inner: SparseLinear.allot(inner, counts))

    @classmethod
    def regroup(cls, options: dict[str, Any], sizes: Iterator[int]) -> dict[str, Any]:
        return cls._changed(options, lambda inner: SparseLinear.regroup(inner, sizes))

    @classmethod
    def _changed(cls, options: dict[str, Any], change: Callable) -> dict[str, Any]:
        """Return options in which those of each linear layer are changed, in order."""
        names = cls.names(options)
        return {**options, **{name: change(dict(options.get(name) or {})) for name in names}}

    @classmethod
    def names(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the linear layers that a description's options ask for."""
        raise NotImplementedError

    def children(self) -> dict[str, Layer]:
        return dict(self.inner)
