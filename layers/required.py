"""What a layer may require: a bias as described, and inputs that are images, or that are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Spec
from sparsecpu.sparse.dense_parameter import Parameter


def require_bias(given: Mapping[str, Parameter], options: dict[str, Any]) -> Parameter | None:
    """Return the bias that a file gives; refuse one where the description has none, or the like."""
    described = bool(options.get("bias", True))
    if described != ("bias" in given):
        raise ParameterError("bias", "bias" in given, f"{described}, as described")
    return given.get("bias")


def filled(layer: Layer, given: Mapping[str, Parameter] | None) -> Layer:
    """Return a layer with the parameters that a file gives, if there is one, as its own."""
    if given is not None:
        for name, own in layer.parameters().items():
            setattr(layer, name, require_like(own, name, given))
    return layer


def require_like(own: Parameter, name: str, given: Mapping[str, Parameter]) -> Parameter:
    """Return the parameter that a file gives for a layer's own; refuse one of another shape."""
    found = given[name]
    if found.data.shape != own.data.shape:
        raise ParameterError(name, found.data.shape, f"shape {own.data.shape}")
    return found


def require_images(spec: Spec, layer: Layer) -> tuple[int, int, int]:
    """Return channels, height and width of an input; refuse what is not images."""
    if len(spec.shape) != 3:
        raise ParameterError(
            "input shape", spec.shape, f"(channels, height, width) for {layer.kind}"
        )
    channels, height, width = spec.shape
    return channels, height, width


def require_vector(spec: Spec, layer: Layer) -> int:
    """Return the number of features of a flat input; refuse images."""
    if len(spec.shape) != 1:
        raise ParameterError("input shape", spec.shape, f"(features,) for {layer.kind}; flatten it")
    return spec.shape[0]
