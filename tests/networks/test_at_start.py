"""First patterns: drawn, given, or chosen by scores of a dense network that is never held."""

import tracemalloc

import numpy as np
import pytest

from sparsecpu.errors import ConflictError, ParameterError
from sparsecpu.experiments.networks import build, describe
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.experiments.trainers import make_trainer
from sparsecpu.layers import SparseLinear
from sparsecpu.networks.at_start import GeneratedNetwork, generated, snip, synflow
from sparsecpu.networks.description import Architecture, LayerSpec, mlp
from sparsecpu.networks.models import find_model
from sparsecpu.sparse.first_patterns import PATTERNS
from sparsecpu.sparse.pattern import Pattern


def dense_weights(network):
    found = []
    for layer, shape in enumerate(network.shapes):
        w = np.full(shape, np.nan)
        for rows, tile in network.tiles(layer):
            w[rows] = tile
        found.append(w)
    return found


def top(scores, count, group=1):
    """Positions of the largest scores over all layers, one sorted array per layer.

    Shared columns have the sums over their rows; as many stay as ``count`` has room for.
    """
    entries = []
    for layer, own in enumerate(scores):
        for first in range(0, len(own), group):
            rows = own[first : first + group]
            entries += [(-s, layer, first, j, len(rows)) for j, s in enumerate(rows.sum(axis=0))]
    found, room = [set() for _ in scores], count
    for _, layer, first, column, rows in sorted(entries):
        room -= rows
        if room < 0:
            break
        width = scores[layer].shape[1]
        found[layer] |= {(first + r) * width + column for r in range(rows)}
    return [np.array(sorted(keys), dtype=int) for keys in found]


@pytest.fixture(params=[1, 4])
def network(monkeypatch, request):
    """With several tiles for each layer, and groups of three rows and two at the ends."""
    monkeypatch.setattr(generated, "_PARTS", 6)
    sizes = {1: (30, 25), 4: (30, 23)}[request.param]
    architecture = mlp(20, sizes, 4).sparsify(0.2)
    return GeneratedNetwork(architecture.in_groups(request.param), 3)


def test_tiles_are_the_same_in_every_pass(network):
    for a, b in zip(dense_weights(network), dense_weights(network), strict=True):
        np.testing.assert_array_equal(a, b)
        assert len(np.unique(a)) == a.size
        assert abs(a.std() - np.sqrt(2 / a.shape[1])) < 0.15 * a.std()


def test_snip_is_the_published_choice(network, rng):
    x, y = rng.standard_normal((20, 16)), rng.integers(0, 4, 16)
    w1, w2, w3 = dense_weights(network)
    h1 = np.maximum(w1 @ x, 0)
    h2 = np.maximum(w2 @ h1, 0)
    z = w3 @ h2
    p = np.exp(z) / np.exp(z).sum(axis=0)
    d3 = (p - np.eye(4)[y].T) / 16
    d2 = (w3.T @ d3) * (h2 > 0)
    d1 = (w2.T @ d2) * (h1 > 0)
    scores = [np.abs(w1 * (d1 @ x.T)), np.abs(w2 * (d2 @ h1.T)), np.abs(w3 * (d3 @ h2.T))]
    group = network.group[0]
    chosen = top(scores, sum(network.counts), group)
    for pattern, keys in zip(snip(network, x, y).values(), chosen, strict=True):
        np.testing.assert_array_equal(pattern.keys(), keys)
        assert pattern.group == group


def test_snip_bends_where_a_relu_stands(rng):
    """Before the first layer and behind the last one too, and not where there is none."""
    sizes = [LayerSpec("linear", {"out_features": n, "nnz": None}) for n in (9, 8, 4)]
    relu = LayerSpec("relu")
    layers = (relu, sizes[0], LayerSpec("dropout", {"rate": 0.5}), sizes[1], relu, sizes[2], relu)
    network = GeneratedNetwork(Architecture((20,), layers).sparsify(0.2), 3)
    x, y = rng.standard_normal((20, 16)), rng.integers(0, 4, 16)
    w1, w2, w3 = dense_weights(network)
    seen = np.maximum(x, 0)
    h1 = w1 @ seen
    h2 = np.maximum(w2 @ h1, 0)
    z = np.maximum(w3 @ h2, 0)
    d3 = (np.exp(z) / np.exp(z).sum(axis=0) - np.eye(4)[y].T) / 16 * (z > 0)
    d2 = (w3.T @ d3) * (h2 > 0)
    d1 = w2.T @ d2
    scores = [np.abs(w1 * (d1 @ seen.T)), np.abs(w2 * (d2 @ h1.T)), np.abs(w3 * (d3 @ h2.T))]
    for pattern, keys in zip(
        snip(network, x, y).values(), top(scores, sum(network.counts)), strict=True
    ):
        np.testing.assert_array_equal(pattern.keys(), keys)


def test_synflow_is_the_published_choice(network):
    weights = [np.abs(w) for w in dense_weights(network)]
    masks, wanted = [np.ones(w.shape) for w in weights], sum(network.counts)
    size, group = sum(w.size for w in weights), network.group[0]
    for k in range(1, 101):
        w1, w2, w3 = (w * m for w, m in zip(weights, masks, strict=True))
        a1 = w1 @ np.ones(20)
        a2 = w2 @ a1
        b2 = w3.T @ np.ones(4)
        b1 = w2.T @ b2
        scores = [w1 * b1[:, None], w2 * b2[:, None] * a1, w3 * a2]
        count = round(size * (wanted / size) ** (k / 100))
        # All but the last round keep what is as good as the last that there is no room for.
        up = (group - 1) * (k < 100)
        for mask, keys in zip(masks, top(scores, count + up, group), strict=True):
            mask[...] = 0
            mask.reshape(-1)[keys] = 1
    for pattern, mask in zip(synflow(network).values(), masks, strict=True):
        np.testing.assert_array_equal(pattern.keys(), np.flatnonzero(mask))


def test_no_layer_is_left_empty():
    network = GeneratedNetwork(mlp(400, (50,), 2).sparsify(0.001), 0)
    patterns = synflow(network)
    assert sum(p.nnz for p in patterns.values()) == sum(network.counts)
    assert min(p.nnz for p in patterns.values()) >= 1


@pytest.mark.parametrize("offered", [0, 3, 30])
def test_free_positions_fill_up_whole_groups(offered):
    """Also where all scores are of one layer, which then gives to the others."""
    network = GeneratedNetwork(mlp(30, (14, 9), 5).sparsify(0.2).in_groups(4), 0)
    best = network.best()
    scores = np.random.default_rng(0).random((4, 30)) + 1e-9
    for row in range(4 if offered else 0):
        best.offer_rows(0, row, scores[row : row + 1, :offered])
    patterns = network.patterns(best).values()
    assert 0 <= sum(network.counts) - sum(p.nnz for p in patterns) < 4
    for pattern, shape in zip(patterns, network.shapes, strict=True):
        assert (pattern.shape, pattern.group) == (shape, 4)
        assert pattern.nnz >= 1


def test_what_is_chosen_full_has_no_groups():
    architecture = mlp(6, (8,), 4).sparsify(1.0).in_groups(4)
    for pattern in synflow(GeneratedNetwork(architecture, 0)).values():
        assert pattern == Pattern.full(pattern.shape)


@pytest.mark.parametrize("group", [1, 4])
def test_choosing_holds_nothing_as_large_as_the_network(group):
    network = GeneratedNetwork(mlp(1500, (1500,), 10).sparsify(0.01).in_groups(group), 0)
    x, y = np.random.default_rng(0).standard_normal((1500, 32)), np.arange(32) % 10
    snip(GeneratedNetwork(mlp(30, (20,), 10).sparsify(0.1), 0), x[:30], y)  # imports
    tracemalloc.start()
    patterns = snip(network, x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0 <= sum(network.counts) - sum(p.nnz for p in patterns.values()) < group
    assert peak < 4 * 1500 * 1500  # its weights alone, in float32


@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.parametrize(
    ("shape", "nnz"), [((7, 9), 20), ((5, 3), 15), ((4, 6), 3), ((50, 40), 900)]
)
def test_patterns_have_their_number(kind, shape, nnz, rng):
    pattern = PATTERNS[kind](shape, nnz, rng)
    Pattern(shape, pattern.indptr, pattern.indices)  # valid
    assert pattern.nnz == nnz
    if kind != "random":
        assert np.ptp(pattern.fan_in) <= 1


def test_small_worlds_have_neighbours(rng):
    pattern = PATTERNS["small-world"]((200, 200), 4000, rng)
    distance = np.abs(pattern.indices - pattern.rows())
    near = np.minimum(distance, 200 - distance) <= 10
    assert 0.85 < near.mean() < 0.97


def test_patterns_are_given(rng):
    mine = Pattern.random((5, 8), 11, rng)
    assert SparseLinear(8, 5, pattern=mine).weight.pattern is mine
    network = mlp(8, (5,), 3).sparsify(0.5).build(rng, pattern={"0.weight": mine})
    assert network.sparse_parameters()["0.weight"].pattern is mine
    for bad in (mine, "round"):
        with pytest.raises(ParameterError):
            SparseLinear(9, 5, pattern=bad)


@pytest.mark.parametrize("kind", ["constant-fan-in", "small-world", "snip", "synflow"])
def test_recipes_start_from_them(kind, rng):
    from sklearn.datasets import load_iris

    x, y = load_iris(return_X_y=True)
    recipe = Recipe(model="40,20", density=0.2, pattern=kind, epochs=15, topology="static")
    architecture = describe(recipe, (4,), 3)
    network = build(recipe, architecture, x, y, "feature")
    assert network.nnz == sum(n for n in GeneratedNetwork(architecture, 0).counts)
    make_trainer(recipe, network, "classification", 150).fit(x, y)
    assert (network.predict(x).argmax(axis=1) == y).mean() > 0.85
    with pytest.raises(ParameterError):
        Recipe(pattern="square")
    if kind in ("snip", "synflow"):
        with pytest.raises(ParameterError, match="pattern"):
            GeneratedNetwork(find_model("lenet-5-caffe")((1, 28, 28), 10), 0)
    if kind == "snip":
        with pytest.raises(ConflictError, match="classes"):
            build(recipe, architecture, x, y.astype(float)[:, None], "feature")
