"""Layers one behind the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.layers.activations import ReLU
from sparsecpu.layers.base import KINDS, Layer, Shape, Spec, inner_layers
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.step.context import Context


def listed(name: str, given: Any) -> tuple[Any, ...]:
    """Return an argument that lists things as a tuple; refuse what lists nothing."""
    try:
        return tuple(given)
    except TypeError:
        raise ParameterError(name, given, "a list of layers") from None


class Chain(Layer):
    """Layers in order.

    Parameters
    ----------
    layers : iterable of Layer
        The layers, in order; none may appear twice, nor inside of another.

    Attributes
    ----------
    layers : tuple of Layer
        The layers.

    Raises
    ------
    ParameterError
        If a layer, or its weights, appear twice.
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.layers = listed("layers", layers)
        if not all(isinstance(layer, Layer) for layer in self.layers):
            raise ParameterError("layers", self.layers, "objects of subclasses of Layer")
        parts: list[Any] = [inner for _, inner in inner_layers(self)]
        for each in (parts, list(self.parameters().values())):  # a gradient has one writer
            if len({id(part) for part in each}) != len(each):
                raise ParameterError("layers", self.layers, "each layer once, and its weights")

    @property
    def reads_moments(self) -> bool:
        return bool(self.layers) and self.layers[0].reads_moments

    def plan(self, spec: Spec) -> Spec:
        self.widths, self.lengths = [spec.features], [spec.length]
        self._needs_dx, self._first = spec.needs_gradient, 0
        for i, layer in enumerate(self.layers):
            learns = spec.needs_gradient or bool(layer.parameters())
            spec = replace(plan_layer(layer, spec), needs_gradient=learns)
            if not learns:
                self._first = i + 1  # where a backward pass ends: nothing learns up to here
            for _, inner in inner_layers(layer):
                inner.alternates = inner.ends = False  # until a plain network says otherwise
            self.widths.append(spec.features)
            self.lengths.append(spec.length)
        for i, layer in enumerate(self.layers):
            if isinstance(layer, ReLU):  # neighbours do its work while storing theirs, if they can
                layer.done_before = i > 0 and self.layers[i - 1].absorb_relu()
                behind = self.layers[i + 1 : i + 2]
                layer.done_behind = bool(behind) and behind[0].gate_by_input()
            elif layer.reads_moments and i > 0:
                self.layers[i - 1].sum_moments()
        return spec

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        kept = []
        for layer in self.layers:
            x, saved = layer.forward(x, ctx)
            kept.append(saved)
        return x, kept

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        ready, first = ctx.grad_ready, self._first
        learning = zip(reversed(self.layers[first:]), reversed(saved[first:]), strict=True)
        for layer, kept in learning:
            dy = layer.backward(dy, kept, ctx)
            if ready is not None:
                ready(layer)
        return dy if self._needs_dx else None

    def children(self) -> dict[str, Layer]:
        return {str(i): layer for i, layer in enumerate(self.layers)}


def plan_layer(layer: Layer, spec: Spec) -> Spec:
    """Plan a layer; return what comes out, which is as many tokens unless the layer says others."""
    out = layer.plan(spec)
    return out if layer.sets_length else replace(out, length=spec.length)


def build_layers(
    entries: Iterable[dict[str, Any]],
    shape: Shape,
    name: str,
    given: Mapping[str, Parameter] | None,
    **context: Any,
) -> list[Layer]:
    """Make the layers that a layer's options list, for inputs of ``shape`` per sample.

    Parameters are taken from ``given``, where it is not None, by their names behind ``name``;
    ``context`` is that of ``Layer.build``.
    """
    layers, spec = [], Spec(shape, length=context.get("length"))
    for i, entry in enumerate(entries):
        own = None
        if given is not None:
            head = f"{name}.{i}."
            own = {k.removeprefix(head): p for k, p in given.items() if k.startswith(head)}
        inner = {key: value for key, value in entry.items() if key != "kind"}
        context["length"] = spec.length
        layer = KINDS[entry["kind"]].build(spec.shape, inner, parameters=own, **context)
        spec = plan_layer(layer, spec)
        layers.append(layer)
    return layers


def trace_layers(entries: Iterable[dict[str, Any]], shape: Shape) -> tuple[Shape, list[Shape]]:
    """Return what listed layers put out, and the shapes of their weights; see ``Layer.trace``."""
    weights: list[Shape] = []
    for entry in entries:
        inner = {key: value for key, value in entry.items() if key != "kind"}
        shape, found = KINDS[entry["kind"]].trace(shape, inner)
        weights += found
    return shape, weights
