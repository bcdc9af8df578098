"""Layers that were made by hand, as a description has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import KINDS, Layer
from sparsecpu.layers.chain import Chain
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.sparse.parameter import SparseParameter


def described(layers: Iterable[Layer]) -> list[dict[str, Any]]:
    """Return what a description lists of layers: ``kind`` and options of each, in order.

    Raises ``ParameterError`` for a layer that no description can have.
    """
    entries = []
    for number, layer in enumerate(layers):
        where = f"layer {number}"
        if isinstance(layer, Chain):
            expected = "its layers in its place, where the network is to be described or saved"
            raise ParameterError(where, f"a {type(layer).__name__}", expected)
        if KINDS.get(layer.kind) is not type(layer):
            expected = "a layer whose class has a kind of its own, by which files name it"
            raise ParameterError(where, f"a {type(layer).__name__}", expected)
        try:
            entries.append({"kind": layer.kind, **layer.options()})
        except AttributeError as error:
            expected = f"attributes named as its arguments, or a method options ({error})"
            raise ParameterError(f"{where} ({layer.kind})", layer, expected) from None
    return entries


def options_of_weight(weight: SparseParameter, bias: Parameter | None) -> dict[str, Any]:
    """Return what a description says of the weights of a layer, as far as it is out of the usual.

    The scale of first values is not among it: these have been drawn.
    """
    found: dict[str, Any] = {"nnz": weight.nnz}
    if weight.pattern.group > 1:
        found["group"] = weight.pattern.group
    if bias is None:
        found["bias"] = False
    if weight.fixed:
        found["fixed"] = True
    return found
