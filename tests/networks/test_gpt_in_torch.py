"""Transformers as plain modules of PyTorch."""

import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.interop import to_torch
from sparsecpu.models import gpt
from sparsecpu.networks.description import Architecture, LayerSpec

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_language_model_predicts_the_same(dtype):
    described = gpt((9,), 7, layers=2, heads=2, width=8, norm="rms").sparsify(0.4)
    network = described.build(np.random.default_rng(0), dtype=dtype)
    ids = np.random.default_rng(1).integers(0, 7, (3, 9))
    module = to_torch(network)
    with torch.no_grad():
        found = module(torch.from_numpy(ids)).numpy()
        short = module(torch.from_numpy(ids[:, :4])).numpy()
    wanted = network.predict(ids)
    close = 2e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, wanted, atol=close)
    np.testing.assert_allclose(short, wanted[:, :4], atol=close)  # none sees those behind it


def test_rotary_positions_are_refused():
    with pytest.raises(ParameterError):
        to_torch(gpt((9,), 7, layers=1, heads=2, width=8, rotary=True).build())


@pytest.mark.parametrize("gated", [False, True])
def test_a_feed_forward_layer_does(gated):
    layer = LayerSpec("feed_forward", {"features": 5, "hidden": 11, "gated": gated})
    network = Architecture((4, 5), (layer,)).build(np.random.default_rng(0), dtype=np.float64)
    x = np.random.default_rng(1).standard_normal((3, 4, 5))
    with torch.no_grad():
        found = to_torch(network)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, network.predict(x), atol=1e-12)
