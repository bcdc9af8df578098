"""The loss of tokens against its definition for one sample."""

import numpy as np
import pytest

from sparsecpu.kernels.loss import plain_softmax_cross_entropy
from sparsecpu.kernels.machine.threads import available_threads, use_threads
from sparsecpu.kernels.token_loss import strips_of_tile, token_loss_kernel

TILES = 2


def run(z, targets, weights, smoothing):
    lanes = z.shape[2]
    dz, scratch = np.empty_like(z), np.empty((3, len(z), lanes), z.dtype)
    losses = np.empty(len(z) * strips_of_tile(lanes, z.itemsize))
    token_loss_kernel(lanes, z.itemsize)(z, targets, weights, smoothing, dz, scratch, losses)
    return losses, dz


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("classes", [1, 5, 300, 513])
@pytest.mark.parametrize(
    ("dtype", "lanes", "tolerance"), [(float, 32, 1e-12), (np.float32, 64, 2e-5)]
)
def test_it_is_the_plain_one(dtype, lanes, tolerance, classes, smoothing, rng):
    z = (5 * rng.standard_normal((TILES, classes, lanes))).astype(dtype)
    targets = rng.integers(-1, classes, TILES * lanes).astype(np.int32)
    weights = rng.random(TILES * lanes).astype(dtype)
    weights[3] = 0
    z[0, :, 3] = 1e4  # padding and tokens that do not count may hold anything finite
    losses, dz = run(z, targets, weights, smoothing)
    total = 0.0
    for token, (target, weight) in enumerate(zip(targets, weights, strict=True)):
        tile, lane = divmod(token, lanes)
        if target < 0:
            assert not dz[tile, :, lane].any()
            continue
        loss, slope = plain_softmax_cross_entropy(z[tile, :, lane].astype(float), target, smoothing)
        total += weight * loss
        np.testing.assert_allclose(dz[tile, :, lane], weight * slope, rtol=0, atol=tolerance)
    assert losses.sum() == pytest.approx(total, rel=tolerance, abs=tolerance)


def test_scores_far_apart_or_not_finite(rng):
    z = np.zeros((1, 4, 64), np.float32)
    z[0, 1, 0], z[0, 2, 1], z[0, 0, 2] = 3e38, -3e38, np.nan
    targets, weights = np.full(64, 1, np.int32), np.ones(64, np.float32)
    _, dz = run(z, targets, weights, 0.0)
    np.testing.assert_array_equal(dz[0, :, 0], [0, 0, 0, 0])
    np.testing.assert_allclose(dz[0, :, 1], [1 / 3, -2 / 3, 0, 1 / 3], rtol=1e-6)
    assert np.isnan(dz[0, :, 2]).all()
    targets[2] = -1
    assert np.isfinite(run(z, targets, weights, 0.0)[0]).all()


def test_any_number_of_threads_makes_the_same_bits(rng):
    z = rng.standard_normal((5, 300, 64)).astype(np.float32)
    targets = rng.integers(-1, 300, 320).astype(np.int32)
    weights, found = rng.random(320).astype(np.float32), []
    for threads in (1, available_threads()):
        with use_threads(threads):
            found.append(b"".join(array.tobytes() for array in run(z, targets, weights, 0.1)))
    assert found[0] == found[1]
