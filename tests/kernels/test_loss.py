"""Losses and their gradients against plain twins."""

import naive
import numpy as np
import pytest

from sparsecpu.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace


def test_confident_samples_have_no_gradient():
    """A very confident softmax would pass subnormal numbers back."""
    z = np.zeros((1, 3, 16), np.float32)
    z[0, 0], z[0, 1] = 95.0, np.linspace(-9, 95, 16)
    rows = np.arange(16)
    _, dz = SoftmaxCrossEntropy()(z, rows, np.zeros(16, np.int32), Context())
    _, wanted = naive.softmax_cross_entropy(z[0].T.astype(np.float64), np.zeros(16, int))
    assert not ((dz != 0) & (np.abs(dz) < 1e-30)).any()
    np.testing.assert_allclose(naive.from_tiles(dz, 16), wanted, atol=1e-8)
    assert (dz[0, 2] == 0).all()


LOSSES = {
    "softmax": (SoftmaxCrossEntropy(), naive.softmax_cross_entropy),
    "smoothed": (
        SoftmaxCrossEntropy(0.1),
        lambda z, y, w: naive.softmax_cross_entropy(z, y, w, 0.1),
    ),
    "sigmoid": (SigmoidCrossEntropy(), naive.sigmoid_cross_entropy),
    "squared": (SquaredError(), naive.squared_error),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch", [1, 17, 33])
def test_losses(name, weighted, batch, rng):
    loss, twin = LOSSES[name]
    z = 3 * rng.standard_normal((batch, 4))
    rows = rng.permutation(50)[:batch]
    targets = rng.integers(0, 4, 50) if "s" in name[:2] and name != "sigmoid" else None
    if name in ("sigmoid", "squared"):
        targets = rng.integers(0, 2, (50, 4)).astype(float)
    weights = rng.random(50) + 0.1 if weighted else None
    ctx = Context(Workspace(), n_valid=batch)
    tiles = naive.to_tiles(z, 16)
    tiles[-1, :, (batch - 1) % 16 + 1 :] = 7.0  # padding must not count
    value, dz = loss(tiles, rows, loss.prepare(targets, 4), ctx, weights)
    wanted, gradient = twin(z, targets[rows], None if weights is None else weights[rows])
    assert value == pytest.approx(wanted, rel=1e-12)
    np.testing.assert_allclose(naive.from_tiles(dz, batch), gradient, atol=1e-14)
    assert not dz[-1, :, (batch - 1) % 16 + 1 :].any()
