"""Layers one behind the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.layers.activations import ReLU
from sparsecpu.layers.base import KINDS, Layer, Shape, Spec, inner_layers
from sparsecpu.sparse.parameter import Parameter
from sparsecpu.step.context import Context


class Chain(Layer):
    """Layers in order.

    Parameters
    ----------
    layers : iterable of Layer
        In order. A layer must not appear twice.

    Attributes
    ----------
    layers : list of Layer
        The layers.

    Raises
    ------
    ParameterError
        If a layer appears twice.
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.layers = list(layers)
        if len({id(layer) for layer in self.layers}) != len(self.layers):
            raise ParameterError("layers", self.layers, "each layer once")

    @property
    def reads_moments(self) -> bool:
        return bool(self.layers) and self.layers[0].reads_moments

    def plan(self, spec: Spec) -> Spec:
        self.widths = [spec.features]
        for layer in self.layers:
            spec = layer.plan(spec)
            for _, inner in inner_layers(layer):
                inner.alternates = False  # until a plain network says otherwise
            self.widths.append(spec.features)
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
        ready = ctx.grad_ready
        for layer, kept in zip(reversed(self.layers), reversed(saved), strict=True):
            dy = layer.backward(dy, kept, ctx)
            if ready is not None:
                ready(layer)
        return dy

    def children(self) -> dict[str, Layer]:
        return {str(i): layer for i, layer in enumerate(self.layers)}


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
    layers, spec = [], Spec(shape)
    for i, entry in enumerate(entries):
        own = None
        if given is not None:
            head = f"{name}.{i}."
            own = {k.removeprefix(head): p for k, p in given.items() if k.startswith(head)}
        inner = {key: value for key, value in entry.items() if key != "kind"}
        layer = KINDS[entry["kind"]].build(spec.shape, inner, parameters=own, **context)
        spec = layer.plan(spec)
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
