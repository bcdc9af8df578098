"""Layers one behind the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.layers.activations import ReLU
from sparsecpu.layers.base import KINDS, Layer, Shape, Spec
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
        """Whether the first layer asks for sums over its input."""
        return bool(self.layers) and self.layers[0].reads_moments

    def plan(self, spec: Spec) -> Spec:
        """Plan every layer, and let neighbours take over each other's passes.

        Parameters
        ----------
        spec : Spec
            The input.

        Returns
        -------
        Spec
            The output.
        """
        self.widths = [spec.features]
        for layer in self.layers:
            spec = layer.plan(spec)
            self.widths.append(spec.features)
        for i, layer in enumerate(self.layers):
            if isinstance(layer, ReLU):
                layer.done_before = i > 0 and self.layers[i - 1].absorb_relu()
                behind = self.layers[i + 1 : i + 2]
                layer.done_behind = bool(behind) and behind[0].gate_by_input()
            elif layer.reads_moments and i > 0:
                self.layers[i - 1].sum_moments()
        return spec

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        """Run the layers in order; see ``Layer.forward``.

        Parameters
        ----------
        x : ndarray or Planes
            The input.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        y : ndarray or Planes
            The output.
        saved : list
            What each layer saved.
        """
        kept = []
        for layer in self.layers:
            x, saved = layer.forward(x, ctx)
            kept.append(saved)
        return x, kept

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        """Run the layers in reverse; see ``Layer.backward``.

        Parameters
        ----------
        dy : ndarray or Planes
            Gradient of the output.
        saved : list
            From ``forward``.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        ndarray or Planes
            Gradient of the input.
        """
        for layer, kept in zip(reversed(self.layers), reversed(saved), strict=True):
            dy = layer.backward(dy, kept, ctx)
            if ctx.grad_ready is not None:
                ctx.grad_ready(layer)
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
    """Make the layers that a layer's options list.

    Parameters
    ----------
    entries : iterable of dict
        ``kind`` and options of each.
    shape : tuple of ints
        Of one sample of the first one's input.
    name : str
        Of the list, as parameters are named by it.
    given : mapping of str to Parameter, or None
        Use these instead of drawing any.
    **context : object
        See ``Layer.build``.

    Returns
    -------
    list of Layer
        The layers.
    """
    layers, spec = [], Spec(shape)
    for i, entry in enumerate(entries):
        mine = None
        if given is not None:
            head = f"{name}.{i}."
            mine = {k.removeprefix(head): p for k, p in given.items() if k.startswith(head)}
        inner = {key: value for key, value in entry.items() if key != "kind"}
        layer = KINDS[entry["kind"]].build(spec.shape, inner, parameters=mine, **context)
        spec = layer.plan(spec)
        layers.append(layer)
    return layers


def trace_layers(entries: Iterable[dict[str, Any]], shape: Shape) -> tuple[Shape, list[Shape]]:
    """Return what listed layers put out, and the shapes of their weights; see ``Layer.trace``.

    Parameters
    ----------
    entries : iterable of dict
        ``kind`` and options of each.
    shape : tuple of ints
        Of one sample of the first one's input.

    Returns
    -------
    tuple
        Shape and weights.
    """
    weights: list[Shape] = []
    for entry in entries:
        inner = {key: value for key, value in entry.items() if key != "kind"}
        shape, found = KINDS[entry["kind"]].trace(shape, inner)
        weights += found
    return shape, weights
