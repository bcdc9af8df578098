"""Layers one behind the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.activations import ReLU
from sparsecpu.layers.base import KINDS, Layer, Shape, Spec, inner_layers
from sparsecpu.layers.smooth_activations import Slope, SmoothActivation
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

    @property
    def adds_behind(self) -> bool:
        """True if the last layer adds to its output in passing."""
        last = self.layers[-1:]
        return any(type(layer).forward_plus is not Layer.forward_plus for layer in last)

    @property
    def adds_before(self) -> bool:
        """True if the first layer adds to the gradient of its input in passing."""
        first = self.layers[:1]
        return any(type(layer).backward_plus is not Layer.backward_plus for layer in first)

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
                inner.role = ""
            self.widths.append(spec.features)
            self.lengths.append(spec.length)
        for i, layer in enumerate(self.layers):
            if isinstance(layer, ReLU):  # neighbours do its work while storing theirs, if they can
                layer.done_before = i > 0 and self.layers[i - 1].absorb_relu()
                behind = self.layers[i + 1 : i + 2]
                layer.done_behind = bool(behind) and behind[0].gate_by_input()
            elif isinstance(layer, SmoothActivation):
                layer.leaves_slope = leaves_slope([type(one) for one in self.layers], i)
            elif layer.reads_moments and i > 0:
                self.layers[i - 1].sum_moments()
        return spec

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        return self._forward(x, ctx, self.layers)

    def _forward(self, x: Any, ctx: Context, layers: Iterable[Layer]) -> tuple[Any, list[Any]]:
        kept = []
        for layer in layers:
            x, saved = layer.forward(x, ctx)
            kept.append(saved)
            if ctx.predicts:  # what nobody holds is memory for the layers behind
                kept[-1] = saved = None
        return x, kept

    def forward_plus(self, x, ctx, other):
        if not self.layers:
            return np.add(x, other, out=ctx.workspace.array(self, "sum", x.shape, x.dtype)), []
        x, kept = self._forward(x, ctx, self.layers[:-1])
        y, saved = self.layers[-1].forward_plus(x, ctx, other)
        return y, [*kept, saved]

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        dy = self._backward(dy, saved, ctx, self._first)
        return dy if self._needs_dx else None

    def backward_plus(self, dy, saved, ctx, other):
        if not self.layers:
            return np.add(dy, other, out=ctx.workspace.array(self, "sum", dy.shape, dy.dtype))
        dy = self._backward(dy, saved, ctx, 1)
        first = self.layers[0]
        dx = first.backward_plus(dy, saved[0], ctx, other)
        if ctx.grad_ready is not None:
            ctx.grad_ready(first)
        return dx

    def _backward(self, dy: Any, saved: Any, ctx: Context, first: int) -> Any:
        """Go back through all layers from the last to this one."""
        ready, layers = ctx.grad_ready, self.layers
        for i in range(len(layers) - 1, first - 1, -1):
            layer, slope = layers[i], saved[i - 1] if i > 0 else None
            if isinstance(slope, Slope):
                dy = layer.backward_times(dy, saved[i], ctx, slope.values)  # type: ignore[attr-defined]
            else:
                dy = layer.backward(dy, saved[i], ctx)
            if ready is not None:
                ready(layer)
        return dy

    def children(self) -> dict[str, Layer]:
        return {str(i): layer for i, layer in enumerate(self.layers)}


def leaves_slope(kinds: list[type[Layer]], i: int) -> bool:
    """Return True if one of these layers leaves the product with its slope to the one behind it."""
    around = [kind.takes_slope for kind in kinds[max(i - 1, 0) : i + 2]]
    return issubclass(kinds[i], SmoothActivation) and around == [True, False, True]


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
