"""What keeps kernels inside of arrays: sizes of what layers hold, and what others' return."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.images.planes import Planes
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.sparse.parameter import SparseParameter


def fitting(layer: Any, name: str, value: Any) -> Any:
    """Return what an attribute that keeps its size is to hold; refuse what has another.

    A parameter is replaced by one of its shape and type; an array is written into, so that kernels
    that know its address see it.
    """
    held = layer.__dict__.get(name)
    if value is held:
        return value
    if isinstance(held, np.ndarray):
        held[...] = vector(name, value, held.shape)
        return held
    if name == "bias":
        weight = layer.__dict__["weight"]
        wanted: tuple[int, ...] = weight.shape[:1]
        dtype = weight.data.dtype
        if value is None:
            return None
    elif held is None:
        return value  # the first one: what makes a layer has checked it
    else:
        wanted, dtype = _shape(held), held.data.dtype
    kind = Parameter if held is None else type(held)
    if not isinstance(value, kind) or _shape(value) != wanted or value.data.dtype != dtype:
        raise ParameterError(name, value, f"a {kind.__name__} of shape {wanted} and {dtype}")
    return value


def _shape(parameter: Parameter) -> tuple[int, ...]:
    if isinstance(parameter, SparseParameter):
        return parameter.shape
    return parameter.data.shape


def vector(name: str, value: Any, *shapes: tuple[int, ...]) -> np.ndarray:
    """Return an argument as an array of finite numbers, of one of some shapes."""
    try:
        array = np.asarray(value)
        good = array.dtype.kind in "biuf" and array.shape in shapes and np.isfinite(array).all()
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        words = " or ".join(map(str, shapes))
        raise ParameterError(name, _words(value), f"finite numbers of shape {words}")
    return array


def _words(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} and shape {value.shape}"
    return f"a {type(value).__name__}"


def check_methods(cls: type) -> None:
    """Let a layer that somebody else wrote check what its passes return, at every step.

    Kernels of the layers around it read and write by what it said in ``plan``.
    """
    for name, check in (("plan", _planned), ("forward", _forward), ("backward", _backward)):
        method = getattr(cls, name)
        if not hasattr(method, "__wrapped__"):  # inherited from one that was checked already
            setattr(cls, name, check(method))


def _planned(plan: Callable) -> Callable:
    @functools.wraps(plan)
    def checked(self: Any, spec: Any) -> Any:
        out = plan(self, spec)
        shape = getattr(out, "shape", None)
        if not isinstance(shape, tuple) or not _are_sizes(shape):
            raise ParameterError(f"plan of {type(self).__name__}", out, "a Spec")
        self.__dict__["_promised"] = spec.shape, shape, spec.needs_gradient
        return out

    return checked


def _are_sizes(shape: tuple[Any, ...]) -> bool:
    whole = all(isinstance(n, (int, np.integer)) for n in shape)
    return whole and len(shape) in (1, 3) and min(shape) >= 1


def _forward(forward: Callable) -> Callable:
    @functools.wraps(forward)
    def checked(self: Any, x: Any, ctx: Any) -> Any:
        found = forward(self, x, ctx)
        if not isinstance(found, tuple) or len(found) != 2:
            raise ParameterError(f"forward of {type(self).__name__}", _words(found), "y and saved")
        if "_promised" in self.__dict__:
            _check(found[0], self._promised[1], x, f"y of {type(self).__name__}")
        return found

    return checked


def _backward(backward: Callable) -> Callable:
    @functools.wraps(backward)
    def checked(self: Any, dy: Any, saved: Any, ctx: Any) -> Any:
        dx = backward(self, dy, saved, ctx)
        if "_promised" in self.__dict__ and self._promised[2]:
            _check(dx, self._promised[0], dy, f"dx of {type(self).__name__}")
        return dx

    return checked


def _check(found: Any, sample: tuple[int, ...], beside: Any, what: str) -> None:
    """Refuse an array, or planes, unless it has the tiles, lanes and type of the one beside it."""
    tiles, lanes, dtype = beside.shape[0], beside.shape[-1], beside.dtype
    inner = sample if len(sample) == 1 else (sample[1], sample[0], sample[2])
    wanted: dict[str, Any] = {"values": (tiles, *inner, lanes), "other": (tiles, *inner, lanes)}
    wanted |= dict.fromkeys(("a", "b", "c", "centre"), sample[:1])
    parts = {"values": found}
    if isinstance(found, Planes):
        parts = {name: getattr(found, name) for name in wanted}
    for name, array in parts.items():
        if array is None and name != "values":
            continue
        good = isinstance(array, np.ndarray) and array.shape == wanted[name]
        if not good or array.dtype != dtype or not array.flags.carray:
            expected = f"C-contiguous {dtype} of shape {wanted[name]}"
            raise ParameterError(what, _words(array), expected)
