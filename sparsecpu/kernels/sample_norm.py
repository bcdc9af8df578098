"""Normalisation of each sample over its features, on lane-tiled arrays: the lanes are samples.

Sums over features are taken lane by lane, in the order of the features.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from sparsecpu.kernels.linear.grouped import strip_of
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share
from sparsecpu.kernels.vectors.arithmetic import (
    add,
    fma,
    inverse_root,
    multiply,
    splat,
    subtract,
    total,
)
from sparsecpu.kernels.vectors.memory import at, load_like, store

#: Vectors that are in use at once.
_VECTORS = 4


def plain_layer_norm(x, gamma, beta, epsilon):
    """Return ``gamma (x - mean) / sqrt(variance + epsilon) + beta``; x is (samples, features)."""
    mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def plain_rms_norm(x, gamma, epsilon):
    """Return ``gamma x / sqrt(mean of squares + epsilon)``."""
    return gamma * x / np.sqrt((x**2).mean(axis=1, keepdims=True) + epsilon)


@kernel(inlined=True)
def _place(strip, features, lanes, parts, width):
    """Return where the first feature of a strip of samples begins."""
    return np.int64(strip // parts) * features * lanes + np.int64(strip % parts) * width


@functools.cache
def normalise_kernel(lanes: int, itemsize: int) -> Callable:
    """Return the kernel of both: ``normalise(x, gamma, beta, epsilon, centred, y, statistics)``.

    ``statistics`` is ``(3, tiles, lanes)``: of each sample a centre, what its mean is more than
    that, and 1 over the deviation. The centre is the mean but for rounding, which is made good once
    it is gone from x. Unless ``centred``, both are 0; an empty ``beta`` counts as zeros.
    """
    width = strip_of(_VECTORS, lanes & -lanes, itemsize)
    parts = lanes // width

    @kernel(parallel=True)
    def normalise(team, x, gamma, beta, epsilon, centred, y, statistics):
        tiles, features = x.shape[0], x.shape[1]
        number = x.dtype.type
        part_of_mean, all_lanes = number(1 / features), np.int64(tiles) * lanes
        for strip in share(team, tiles * parts):
            base, sample = _place(strip, features, lanes, parts, width), np.int64(strip) * width
            zero = splat(number(0), width)
            centre = rest = squares = zero
            if centred:
                for f in range(features):
                    centre = add(centre, load_like(x, base + np.int64(f) * lanes, zero))
                centre = fma(zero, part_of_mean, centre)
            for f in range(features):
                d = subtract(load_like(x, base + np.int64(f) * lanes, zero), centre)
                rest, squares = add(rest, d), add(squares, multiply(d, d))
            rest, squares = fma(zero, part_of_mean, rest), fma(zero, part_of_mean, squares)
            if centred:
                squares = subtract(squares, multiply(rest, rest))
            else:
                rest = zero
            inverse = inverse_root(squares, epsilon)
            for f in range(features):
                here = base + np.int64(f) * lanes
                h = multiply(subtract(subtract(load_like(x, here, zero), centre), rest), inverse)
                shift = splat(at(beta, np.int64(f)) if beta.shape[0] else number(0), width)
                store(y, here, fma(shift, at(gamma, np.int64(f)), h))
            store(statistics, sample, centre)
            store(statistics, all_lanes + sample, rest)
            store(statistics, 2 * all_lanes + sample, inverse)

    return normalise


@functools.cache
def input_gradient_kernel(lanes: int, itemsize: int) -> Callable:
    """Return the kernel of dx: ``input_gradient(x, dy, gamma, statistics, centred, other, dx)``.

    ``other`` is added to the gradient, unless it is empty.
    """
    width = strip_of(_VECTORS, lanes & -lanes, itemsize)
    parts = lanes // width

    @kernel(parallel=True)
    def input_gradient(team, x, dy, gamma, statistics, centred, other, dx):
        tiles, features = x.shape[0], x.shape[1]
        number = x.dtype.type
        part_of_mean, all_lanes = number(1 / features), np.int64(tiles) * lanes
        for strip in share(team, tiles * parts):
            base, sample = _place(strip, features, lanes, parts, width), np.int64(strip) * width
            zero = splat(number(0), width)
            centre = load_like(statistics, sample, zero)
            rest = load_like(statistics, all_lanes + sample, zero)
            inverse = load_like(statistics, 2 * all_lanes + sample, zero)
            mean = tilt = zero  # of g = gamma dy, and of g h
            for f in range(features):
                here = base + np.int64(f) * lanes
                g = fma(zero, at(gamma, np.int64(f)), load_like(dy, here, zero))
                h = multiply(subtract(subtract(load_like(x, here, zero), centre), rest), inverse)
                mean, tilt = add(mean, g), add(tilt, multiply(g, h))
            mean = fma(zero, part_of_mean, mean) if centred else zero
            tilt = fma(zero, part_of_mean, tilt)
            for f in range(features):
                here = base + np.int64(f) * lanes
                g = fma(zero, at(gamma, np.int64(f)), load_like(dy, here, zero))
                h = multiply(subtract(subtract(load_like(x, here, zero), centre), rest), inverse)
                g = subtract(subtract(g, mean), multiply(h, tilt))
                g = multiply(g, inverse)
                if other.shape[0]:
                    g = add(g, load_like(other, here, zero))
                store(dx, here, g)

    return input_gradient


@functools.cache
def parameter_gradients_kernel(lanes: int, itemsize: int) -> Callable:
    """Return the kernel ``parameter_gradients(x, dy, statistics, dgamma, dbeta)``.

    An empty ``dbeta`` is left alone. Where there is no sample, dy is 0.
    """
    width = strip_of(_VECTORS, lanes & -lanes, itemsize)
    parts = lanes // width

    @kernel(parallel=True)
    def parameter_gradients(team, x, dy, statistics, dgamma, dbeta):
        tiles, features = x.shape[0], x.shape[1]
        all_lanes = np.int64(tiles) * lanes
        for f in share(team, features):
            zero = splat(x.dtype.type(0), width)
            sum_dy = sum_dy_h = zero
            for strip in range(tiles * parts):
                here = _place(strip, features, lanes, parts, width) + np.int64(f) * lanes
                sample = np.int64(strip) * width
                d = load_like(dy, here, zero)
                h = subtract(load_like(x, here, zero), load_like(statistics, sample, zero))
                h = subtract(h, load_like(statistics, all_lanes + sample, zero))
                h = multiply(h, load_like(statistics, 2 * all_lanes + sample, zero))
                sum_dy, sum_dy_h = add(sum_dy, d), add(sum_dy_h, multiply(d, h))
            dgamma[f] = total(sum_dy_h)
            if dbeta.shape[0]:
                dbeta[f] = total(sum_dy)

    return parameter_gradients
