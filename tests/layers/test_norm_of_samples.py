"""Normalisation of each sample over its features."""

import naive
import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.machine.threads import available_threads, use_threads
from sparsecpu.kernels.sample_norm import plain_layer_norm, plain_rms_norm
from sparsecpu.layers import LayerNorm, RMSNorm, Sequential, SparseLinear, Spec
from sparsecpu.losses import SquaredError
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace

KINDS = [LayerNorm, RMSNorm]


def make(kind, features, rng, dtype=np.float64):
    layer = kind(features, dtype=dtype)
    for parameter in layer.parameters().values():
        parameter.data[:] = rng.standard_normal(features)
    layer.plan(Spec((features,), needs_gradient=True))
    return layer


def passes(layer, x, dy, lanes):
    """Return y and dx in the users' order, and the gradients of the parameters."""
    ctx = Context(Workspace(), train=True, n_valid=len(x))
    y, saved = layer.forward(naive.to_tiles(x, lanes), ctx)
    y = naive.from_tiles(y, len(x))
    dx = naive.from_tiles(layer.backward(naive.to_tiles(dy, lanes), saved, ctx), len(x))
    return [y, dx, *(p.grad.copy() for p in layer.parameters().values())]


def wanted(layer, x, dy):
    gamma = layer.gamma.data
    if isinstance(layer, RMSNorm):
        return naive.rms_norm(x, dy, gamma, layer.epsilon)
    return naive.layer_norm(x, dy, gamma, layer.beta.data, layer.epsilon)


@pytest.mark.parametrize(("samples", "features"), [(1, 1), (3, 7), (37, 20)])
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients(kind, samples, features, rng):
    layer, (x, dy) = make(kind, features, rng), rng.standard_normal((2, samples, features))
    for one, want in zip(passes(layer, x, dy, 16), wanted(layer, x, dy), strict=True):
        np.testing.assert_allclose(one, want, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_by_central_differences(kind, rng):
    layer, step = make(kind, 6, rng), 1e-6
    network = Sequential([SparseLinear(5, 6, rng=rng, dtype=np.float64), layer])
    x, y = rng.standard_normal((19, 5)), rng.standard_normal((19, 6))
    gradients = network.loss_and_gradients(x, y, SquaredError())[1]
    for name, parameter in network.parameters().items():
        for k in range(min(parameter.nnz, 6)):
            losses = []
            for sign in (1, -2, 1):
                parameter.data[k] += sign * step
                parameter.touch()
                losses.append(network.loss_and_gradients(x, y, SquaredError())[0])
            slope = (losses[0] - losses[1]) / (2 * step)
            assert gradients[name][k] == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_a_mean_far_from_zero_takes_no_digits(rng):
    """In float32 the mean is known to a digit or two of what is left when it is gone."""
    x = (1000 + rng.standard_normal((20, 300))).astype(np.float32)
    layer, dy = make(LayerNorm, 300, rng, np.float32), rng.standard_normal((20, 300))
    found = passes(layer, x, dy.astype(np.float32), 64)
    exact = wanted(layer, x.astype(np.float64), dy.astype(np.float32).astype(np.float64))
    for one, want in zip(found, exact, strict=True):
        np.testing.assert_allclose(one, want, atol=2e-5)


@pytest.mark.skipif(available_threads() < 2, reason="needs two threads")
def test_any_number_of_threads(rng):
    x, dy = rng.standard_normal((2, 200, 30)).astype(np.float32)
    layer, found = make(LayerNorm, 30, rng, np.float32), []
    for threads in (1, 2):
        with use_threads(threads):
            found.append(passes(layer, x, dy, 64))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_definitions_are_those_of_the_twins(rng):
    x, gamma, beta = rng.standard_normal((5, 7)), *rng.standard_normal((2, 7))
    layer = naive.layer_norm(x, x, gamma, beta, 0.1)[0]
    np.testing.assert_allclose(plain_layer_norm(x, gamma, beta, 0.1), layer)
    np.testing.assert_allclose(plain_rms_norm(x, gamma, 0.1), naive.rms_norm(x, x, gamma, 0.1)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_input(kind):
    with pytest.raises(ParameterError, match="epsilon"):
        kind(3, epsilon=0)
    for shape in ((4,), (3, 2, 2)):
        with pytest.raises(ParameterError, match="input shape"):
            kind(3).plan(Spec(shape))
