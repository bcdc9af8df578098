"""A prediction for a sample depends on no other: it has the same bits alone and in any batch."""

import numpy as np
import pytest
import scipy.sparse
from architectures import random_case

from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.layers import (
    LeakyReLU,
    ReLU,
    Sequential,
    SparseLinear,
    Tanh,
    tunable_layers,
)
from sparsecpu.layers.images import strips
from sparsecpu.networks.description import mlp
from sparsecpu.networks.models import find_model
from sparsecpu.sparse import row_blocks


def same_in_any_company(network, x, rng):
    """Predict samples together, in parts, in another order and one by one: all the same bits."""
    with use_threads(1):
        wanted = network.predict(x)
    assert np.isfinite(wanted).all()
    order = rng.permutation(len(x))
    parts = [order, order[:70], np.arange(33), np.arange(17), np.arange(len(x))[-16:], order[:3]]
    parts += [order[i : i + 1] for i in range(4)] + [np.arange(2)]
    for number, rows in enumerate(parts):
        with use_threads(1 + number % 2):
            np.testing.assert_array_equal(network.predict(x[rows]), wanted[rows])
    with use_threads(2):
        np.testing.assert_array_equal(network.predict(x), wanted)
    np.testing.assert_array_equal(network.predict(x, batch_size=21), wanted)
    return wanted


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(24))
def test_random_networks(seed, dtype, rng):
    """Layers of every kind, sparse, dense in form and full."""
    network = random_case(seed, dtype).network
    x = rng.standard_normal((140, network.widths[0])).astype(np.float32)
    same_in_any_company(network, x, rng)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("density", [0.1, 0.6, 1.0])
@pytest.mark.parametrize("form", ["sparse", "dense"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh"])
def test_chains_of_linear_layers(dtype, density, form, activation, rng):
    network = mlp(150, (80, 31), 5, activation=activation, batch_norm=activation == "tanh")
    network = network.sparsify(density).build(rng, dtype=dtype)
    for _, layer in tunable_layers(network):
        layer.form = form
        layer.bias.data[:] = rng.standard_normal(layer.out_features)
    network.offset = np.full(150, 3.0)
    same_in_any_company(network, 5 * rng.standard_normal((140, 150)).astype(np.float32), rng)


def test_a_network_whose_layers_are_cut_into_blocks(rng, monkeypatch):
    """Blocks restart the order of sums, and so must be the same in every tile."""
    monkeypatch.setattr(row_blocks, "uncut_bytes", lambda *_: 20_000)
    monkeypatch.setattr(row_blocks, "block_bytes", lambda *_: 10_000)
    network = mlp(600, (500,), 5).sparsify(0.3).build(rng)
    pattern = network.layers[0].weight.pattern
    assert len(pattern.blocks(64)[0]) != len(pattern.blocks(128)[0])
    same_in_any_company(network, rng.standard_normal((140, 600)).astype(np.float32), rng)


@pytest.mark.parametrize(("group", "between"), [(2, LeakyReLU), (4, ReLU), (4, Tanh)])
def test_rows_in_groups(group, between, rng, monkeypatch):
    """A chain in one call, or layer by layer; neither groups nor blocks restart their sums."""
    monkeypatch.setattr(row_blocks, "uncut_bytes", lambda *_: 20_000)
    monkeypatch.setattr(row_blocks, "block_bytes", lambda *_: 10_000)
    network = Sequential(
        [SparseLinear(600, 131, density=0.3, group=group, rng=rng), between(),
         SparseLinear(131, 77, density=0.3, rng=rng), between(),
         SparseLinear(77, 6, density=0.3, group=8, rng=rng)],
    )  # fmt: skip
    for _, layer in tunable_layers(network):
        layer.bias.data[:] = rng.standard_normal(layer.out_features)
    assert len(network.layers[0].weight.pattern.groups.blocks(64)[0]) > 1
    same_in_any_company(network, rng.standard_normal((140, 600)).astype(np.float32), rng)


@pytest.mark.parametrize("blocks", [False, True])
def test_small_images_of_which_several_fill_a_strip(blocks, rng, monkeypatch):
    if blocks:  # so small a cache that channels fall into blocks, by the pixels of a strip
        monkeypatch.setattr(strips, "level_one_cache", lambda: 4_000)
    network = find_model("vgg-like")((2, 8, 8), 4, width=0.125).sparsify(0.5).build(rng)
    x = rng.standard_normal((140, 2, 8, 8)).astype(np.float32)
    same_in_any_company(network, x, rng)


def test_all_ways_to_give_a_sample(rng):
    network = mlp(50, (40, 30), 3).sparsify(0.3).build(rng)
    x = rng.integers(0, 5, (70, 50)) * (rng.random((70, 50)) < 0.3)
    wanted = same_in_any_company(network, x.astype(np.float32), rng)
    for given in (x.astype(np.uint8), x.astype(float), scipy.sparse.csr_array(x.astype(float))):
        for rows in (slice(None), slice(5, 6), slice(20, 42)):
            np.testing.assert_array_equal(network.predict(given[rows]), wanted[rows])
