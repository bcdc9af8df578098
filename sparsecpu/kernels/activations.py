"""Activations and their gradients on arrays, one value at a time, without scratch memory.

The definitions return ``f(x)`` and ``f'(x)``, in float64.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from numba.core.extending import intrinsic

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share
from sparsecpu.kernels.vectors import llvm as emit
from sparsecpu.kernels.vectors.exponential import at_least, at_most, constant, exp
from sparsecpu.kernels.vectors.memory import load, store
from sparsecpu.kernels.vectors.s_curves import logistic, normal, tanh

#: Numbers that are computed at once: enough registers of them to wait for none.
_AT_ONCE = 64
#: Numbers that a thread takes at a time.
_CHUNK = 1 << 14
_GELU = math.sqrt(2 / math.pi), 0.044715


def plain_exponential(x):
    """Return ``exp(x)``, twice."""
    return np.exp(x), np.exp(x)


def plain_tanh(x):
    """Return ``tanh(x)`` and ``1 - tanh(x)**2``."""
    return np.tanh(x), 1 - np.tanh(x) ** 2


def plain_sigmoid(x):
    """Return ``s = 1 / (1 + exp(-x))`` and ``s (1 - s)``."""
    e = np.exp(-np.abs(x))
    s = np.where(x < 0, e, 1) / (1 + e)
    return s, e / (1 + e) ** 2


def plain_silu(x):
    """Return ``x s(x)`` and ``s + x s (1 - s)``."""
    s, slope = plain_sigmoid(x)
    return x * s, s + x * slope


def plain_gelu(x):
    """Return ``x F(x)`` and ``F + x F'``, with the normal distribution function F."""
    from scipy.special import ndtr

    return x * ndtr(x), ndtr(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def plain_gelu_tanh(x):
    """Return ``x s(u)``, where ``u = 2 a (x + b x**3)``, and ``s + x s (1 - s) u'``."""
    a, b = _GELU
    s, slope = plain_sigmoid(2 * a * (x + b * x**3))
    return x * s, s + x * slope * 2 * a * (1 + 3 * b * x**2)


def _exponential(builder, x):
    e = exp(builder, x)
    return e, e


def _tanh(builder, x):
    y = tanh(builder, x)
    return y, emit.fma(builder, constant(x.type, 1), builder.fneg(y), y)


def _sigmoid(builder, x):
    s, rest = logistic(builder, x)
    return s, builder.fmul(s, rest)


def _silu(builder, x):
    s, rest = logistic(builder, x)
    y = builder.fmul(x, s)
    return y, emit.fma(builder, s, y, rest)


def _gelu(builder, x):
    f, density = normal(builder, x)
    return builder.fmul(x, f), emit.fma(builder, f, x, density)


def _gelu_tanh(builder, x):
    """Do as ``plain_gelu_tanh``; u of an x beyond 50 could run over, and s is 0 or 1 there."""
    a, b = _GELU
    inner = at_least(builder, at_most(builder, x, 50), -50)
    square = builder.fmul(inner, inner)
    part = emit.fma(builder, constant(x.type, 2 * a), square, constant(x.type, 2 * a * b))
    s, rest = logistic(builder, builder.fmul(inner, part))
    rise = emit.fma(builder, constant(x.type, 2 * a), square, constant(x.type, 6 * a * b))
    bend = builder.fmul(builder.fmul(s, rest), builder.fmul(inner, rise))
    return builder.fmul(x, s), builder.fadd(s, bend)


#: Name to what emits f(x) and f'(x).
_FUNCTIONS: dict[str, Callable] = {
    "exponential": _exponential,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "silu": _silu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
}


@intrinsic(prefer_literal=True)
def activated(typing_context, v, name):
    """Return ``f(v)`` of a function that is named."""

    def generate(context, builder, signature, args):
        return _FUNCTIONS[name.literal_value](builder, args[0])[0]

    return v(v, name), generate


@intrinsic(prefer_literal=True)
def slope_of(typing_context, v, name):
    """Return ``f'(v)`` of a function that is named."""

    def generate(context, builder, signature, args):
        return _FUNCTIONS[name.literal_value](builder, args[0])[1]

    return v(v, name), generate


@intrinsic(prefer_literal=True)
def times_slope(typing_context, dv, v, name):
    """Return ``dv f'(v)`` of a function that is named."""

    def generate(context, builder, signature, args):
        slope = _FUNCTIONS[name.literal_value](builder, args[1])[1]
        return builder.fmul(args[0], slope)

    return v(v, v, name), generate


@functools.cache
def activation_kernel(name: str) -> Callable:
    """Return the kernel ``activate(x, y)``, which writes ``y = f(x)``; both are vectors."""

    @kernel(parallel=True)
    def activate(team, x, y):
        size = x.shape[0]
        for chunk in share(team, (size + _CHUNK - 1) // _CHUNK):
            i, end = np.int64(chunk) * _CHUNK, min(np.int64(chunk + 1) * _CHUNK, size)
            while i + _AT_ONCE <= end:
                store(y, i, activated(load(x, i, _AT_ONCE), name))
                i += _AT_ONCE
            while i < end:
                store(y, i, activated(load(x, i, 1), name))
                i += 1

    return activate


@functools.cache
def activation_and_slope_kernel(name: str) -> Callable:
    """Return the kernel ``both(x, y)``: ``y = f(x)``, and then ``f'(x)`` in the place of x."""

    @kernel(parallel=True)
    def both(team, x, y):
        size = x.shape[0]
        for chunk in share(team, (size + _CHUNK - 1) // _CHUNK):
            i, end = np.int64(chunk) * _CHUNK, min(np.int64(chunk + 1) * _CHUNK, size)
            while i + _AT_ONCE <= end:
                v = load(x, i, _AT_ONCE)
                store(y, i, activated(v, name))
                store(x, i, slope_of(v, name))
                i += _AT_ONCE
            while i < end:
                v = load(x, i, 1)
                store(y, i, activated(v, name))
                store(x, i, slope_of(v, name))
                i += 1

    return both


@functools.cache
def slope_kernel(name: str) -> Callable:
    """Return the kernel ``slope(x, dy, dx)``, which writes ``dx = f'(x) dy``; all are vectors."""

    @kernel(parallel=True)
    def slope(team, x, dy, dx):
        size = x.shape[0]
        for chunk in share(team, (size + _CHUNK - 1) // _CHUNK):
            i, end = np.int64(chunk) * _CHUNK, min(np.int64(chunk + 1) * _CHUNK, size)
            while i + _AT_ONCE <= end:
                dv = load(dy, i, _AT_ONCE)
                store(dx, i, times_slope(dv, load(x, i, _AT_ONCE), name))
                i += _AT_ONCE
            while i < end:
                store(dx, i, times_slope(load(dy, i, 1), load(x, i, 1), name))
                i += 1

    return slope
