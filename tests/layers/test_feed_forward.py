"""Feed-forward layers: what they compute, gradients, descriptions."""

import naive
import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.activations import plain_gelu
from sparsecpu.kernels.gating import plain_gated
from sparsecpu.layers import Dropout, FeedForward, Residual, Sequential, SparseLinear
from sparsecpu.losses import SquaredError
from sparsecpu.networks.description import Architecture, LayerSpec


def made(gated, dtype=np.float64, density=0.5):
    rng = np.random.default_rng(1)
    layer = FeedForward(5, 9, gated=gated, density=density, rng=rng, gain=1.5, dtype=dtype)
    return Sequential([SparseLinear(4, 5, density=1.0, rng=rng, dtype=dtype), layer], (4,))


def batch(count=19):
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, 4)), rng.standard_normal((count, 5))


@pytest.mark.parametrize("gated", [False, True])
def test_it_is_what_its_equation_says(gated):
    network, (x, _) = made(gated), batch()

    def applied(layer, x):
        p = layer.weight.pattern
        return x @ naive.dense(p.shape, p.indptr, p.indices, layer.weight.data).T + layer.bias.data

    first, layer = network.layers
    layers = {name: chain.layers[0] for name, chain in layer.by_name.items()}
    rng = np.random.default_rng(2)
    for each in layers.values():
        each.bias.data[:] = rng.standard_normal(each.bias.nnz)
    inner = applied(layers["up"], applied(first, x))
    if gated:
        inner = plain_gated(applied(layers["gate"], applied(first, x)), inner)
    else:
        inner = plain_gelu(inner)[0]
    assert np.allclose(network.predict(x), applied(layers["down"], inner))


@pytest.mark.parametrize("gated", [False, True])
def test_gradients_are_those_of_central_differences(gated):
    network, (x, y), loss, step = made(gated), batch(), SquaredError(), 1e-6
    _, gradients = network.loss_and_gradients(x, y, loss)
    for name, parameter in network.parameters().items():
        for k in range(0, parameter.nnz, 3):
            before, found = parameter.data[k], []
            for sign in (1, -1):
                parameter.data[k] = before + sign * step
                parameter.touch()
                found.append(network.loss_and_gradients(x, y, loss)[0])
            parameter.data[k] = before
            parameter.touch()
            assert gradients[name][k] == pytest.approx((found[0] - found[1]) / (2 * step), abs=1e-7)


@pytest.mark.parametrize("gated", [False, True])
def test_descriptions_build_the_same(gated):
    options = {"features": 6, "hidden": 12, "gated": gated}
    layers = LayerSpec("feed_forward", options), LayerSpec("linear", {"out_features": 3, "nnz": 9})
    described = Architecture((6,), layers).sparsify(0.5)
    assert described.weight_shapes() == [(12, 6)] * (1 + gated) + [(6, 12), (3, 6)]
    network = described.build(np.random.default_rng(0))
    assert network.nnz == (72 * (2 + gated) + 18) // 2
    again = Architecture.from_dict(described.to_dict()).build(parameters=network.parameters())
    x = np.random.default_rng(1).standard_normal((3, 6)).astype(np.float32)
    assert np.array_equal(again.predict(x), network.predict(x))


def test_any_layers_may_stand_inside():
    rng = np.random.default_rng(0)
    down = [Dropout(0.1), SparseLinear(8, 5, rng=rng)]
    network = Sequential([Residual([FeedForward(5, 8, rng=rng, down=down)])], (5,))
    assert network.predict(np.ones((2, 5))).shape == (2, 5)
    for wrong in ({"up": [SparseLinear(5, 7)]}, {"gate": [SparseLinear(5, 8)]}, {"gated": 1},
                  {"approximate": "yes"}, {"density": 0}, {"down": 3}):  # fmt: skip
        with pytest.raises(ParameterError):
            Sequential([FeedForward(5, 8, **wrong)], (5,))
