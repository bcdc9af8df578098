"""Optimizer steps and batch normalisation against plain twins."""

import naive
import numpy as np
import pytest

from sparsecpu.kernels.machine.threads import available_threads, use_threads
from sparsecpu.kernels.norm import batch_statistics, normalise, normalise_backward
from sparsecpu.kernels.update import adam_update, refresh, sgd_update


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd(nesterov, momentum, rng):
    w, g, v = rng.standard_normal((3, 41))
    if momentum == 0:
        v[:] = 0
    perm = rng.permutation(41).astype(np.int32)
    turned = np.empty(41)
    wanted = naive.sgd(w, g, v, 0.1, momentum, 0.01, nesterov)
    slot = v if momentum else g
    by_gradient, by_velocity = (1.0, momentum) if nesterov else (0.0, 1.0)
    sgd_update(w, g, slot, 0.1, momentum, 0.01, by_gradient, by_velocity, 1.0, perm, turned)
    np.testing.assert_allclose(w, wanted[0], rtol=1e-13)
    np.testing.assert_array_equal(turned, w[perm])
    refresh(v, perm, turned)
    np.testing.assert_array_equal(turned, v[perm])
    if momentum:
        np.testing.assert_allclose(v, wanted[1], rtol=1e-13)


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam(decoupled, rng):
    w, g, m, v = rng.standard_normal((4, 23))
    v = np.abs(v)
    args = (0.1, 0.9, 0.99, 1e-8, 0.01, decoupled)
    wanted = naive.adam(w, g, m, v, *args, 4)
    adam_update(w, g, m, v, *args, 5, 1.0, np.empty(0, np.int32), w[:0])
    for found, want in zip((w, m, v), wanted, strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("update", [adam_update, sgd_update])
def test_updates_have_the_same_bits_on_any_number_of_threads(update, dtype):
    """Where two products are added up, both forms of a kernel round the same one of them."""
    found = []
    numbers = map(dtype, (0.01, 0.9, 0.999, 1e-8, 0.01) if update is adam_update
                  else (0.01, 0.9, 0.01, 0.37, 0.9))  # fmt: skip
    options, perm = tuple(numbers), np.empty(0, np.int32)
    for threads in (1, available_threads()):
        w, g, m, v = np.random.default_rng(0).standard_normal((4, 1001)).astype(dtype)
        slots, more = ((m, v**2), (False, 7)) if update is adam_update else ((v,), ())
        with use_threads(threads):
            update(w, g, *slots, *options, *more, dtype(0.7), perm, w[:0])
        found.append((w.tobytes(), *(slot.tobytes() for slot in slots)))
    assert found[0] == found[1]


def test_tiny_values_are_flushed():
    w = np.array([1e-31, -1e-31, 1e-20, np.nan], np.float32)
    v = np.array([1e-33, 0, 0, 0], np.float32)
    zero = np.zeros(4, np.float32)
    n = np.float32
    sgd_update(w, zero, v, n(0.1), n(0.9), n(0), n(1), n(0.9), n(1), np.empty(0, np.int32), w[:0])
    assert w[0] == 0
    assert w[1] == 0
    assert w[2] == n(1e-20)
    assert np.isnan(w[3])
    assert v[0] == 0


@pytest.mark.parametrize("batch", [2, 17, 40])
def test_batch_norm_kernels(batch, rng):
    x, dy = rng.standard_normal((2, batch, 5))
    gamma, beta = np.array([1.0, -2.0, 0.5, 0.0, 3.0]), rng.standard_normal(5)
    xt, dyt = naive.to_tiles(x, 16), naive.to_tiles(dy, 16)
    xt[-1, :, (batch - 1) % 16 + 1 :] = 9.0
    mean, variance, y = np.empty(5), np.empty(5), np.empty_like(xt)
    batch_statistics(xt, batch, mean, variance)
    np.testing.assert_allclose(mean, x.mean(axis=0), atol=1e-14)
    np.testing.assert_allclose(variance, x.var(axis=0), rtol=1e-12)
    normalise(xt, mean, variance, 1e-5, gamma, beta, y)
    wanted = naive.batch_norm(x, gamma, beta, 1e-5)
    np.testing.assert_allclose(naive.from_tiles(y, batch), wanted, atol=1e-12)
    dx, dgamma, dbeta = np.full_like(xt, np.nan), np.empty(5), np.empty(5)
    normalise_backward(
        xt, dyt, batch, mean, variance, 1e-5, gamma, True, dgamma, dbeta, dx
    )  # fmt: skip
    h = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
    np.testing.assert_allclose(dgamma, (dy * h).sum(axis=0), atol=1e-11)
    np.testing.assert_allclose(dbeta, dy.sum(axis=0), atol=1e-12)
    inner = dy - dy.mean(axis=0) - h * (dy * h).mean(axis=0)
    wanted = gamma / np.sqrt(x.var(axis=0) + 1e-5) * inner
    np.testing.assert_allclose(naive.from_tiles(dx, batch), wanted, atol=1e-11)
    assert not dx[-1, :, (batch - 1) % 16 + 1 :].any()
