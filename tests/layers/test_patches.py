"""Images that become sequences of patches, and sequences that become samples again."""

import naive
import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.patches import plain_patches
from sparsecpu.kernels.pooling_of_tokens import plain_mean_of_tokens
from sparsecpu.layers import (
    GELU,
    ClassToken,
    Embedding,
    LayerNorm,
    MeanTokens,
    PatchEmbedding,
    ReLU,
    Sequential,
    SparseConv2d,
    SparseLinear,
)
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import Architecture, LayerSpec

SHAPE, FEATURES = (2, 6, 4), 5


def patches(shape=SHAPE, dtype=np.float64, **options):
    options = {"image_size": shape[1:], "density": 0.6, "dtype": dtype, **options}
    return PatchEmbedding(shape[0], FEATURES, (3, 2), rng=np.random.default_rng(2), **options)


def pooled(pooling, first=(), shape=SHAPE, **options):
    rng = np.random.default_rng(3)
    layers = [
        *first, patches(shape, **options), GELU(), LayerNorm(FEATURES, dtype=np.float64), pooling,
        SparseLinear(FEATURES, 3, density=0.7, rng=rng, dtype=np.float64),
    ]  # fmt: skip
    return Sequential(layers, SHAPE)


def batch(count=7, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, np.prod(SHAPE))), rng.integers(0, 3, count)


def expected_tokens(layer, images):
    """Return what the layer is to put out, (samples, length, features), by its definition."""
    projection = layer.by_name["projection"].layers[0]
    p = projection.weight.pattern
    w = naive.dense(p.shape, p.indptr, p.indices, projection.weight.data)
    y = plain_patches(images, layer.sizes.patch) @ w.T + projection.bias.data
    if layer.class_token is not None:
        y = np.concatenate([np.tile(layer.class_token.data, (len(y), 1, 1)), y], axis=1)
    return y if layer.positions is None else y + layer.positions.values


@pytest.mark.parametrize("options", [{}, {"class_token": False}, {"positions": False}])
def test_patches_become_tokens(options):
    layer, (x, _) = patches(**options), batch()
    layer.by_name["projection"].layers[0].bias.data[:] = np.arange(FEATURES)
    network = Sequential([layer], SHAPE)
    assert network.output_length == layer.length
    assert np.allclose(network.predict(x), expected_tokens(layer, x.reshape(-1, *SHAPE)))


@pytest.mark.parametrize("make", [
    lambda: pooled(MeanTokens()), lambda: pooled(ClassToken()),
    lambda: pooled(MeanTokens(), class_token=False), lambda: pooled(ClassToken(), positions=False),
    lambda: pooled(MeanTokens(), [SparseConv2d(2, 3, 3, padding=1, density=0.5, dtype=np.float64),
                                  ReLU()], (3, 6, 4)),
])  # fmt: skip
def test_gradients_are_those_of_central_differences(make):
    network, (x, y), loss = make(), batch(), SoftmaxCrossEntropy()
    for name, parameter in network.parameters().items():
        if name.endswith(("bias", "class_token")):
            parameter.data[:] = np.random.default_rng(5).uniform(0.5, 1, parameter.nnz)
    _, gradients = network.loss_and_gradients(x, y, loss)
    rng, step = np.random.default_rng(1), 1e-6
    for name, parameter in network.parameters().items():
        for k in rng.choice(parameter.nnz, min(parameter.nnz, 8), replace=False):
            before, found = parameter.data[k], []
            for sign in (1, -1):
                parameter.data[k] = before + sign * step
                parameter.touch()
                found.append(network.loss_and_gradients(x, y, loss)[0])
            parameter.data[k] = before
            parameter.touch()
            assert gradients[name][k] == pytest.approx((found[0] - found[1]) / (2 * step), abs=1e-8)


def test_pooling_takes_what_counts():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 9, (40, 20))
    for row, size in zip(ids, rng.integers(1, 21, 40), strict=True):
        row[size:] = -1
    table = Embedding(9, 6, length=20, rng=rng)
    tokens = Sequential([table], (20,)).predict(ids)
    for pooling in (MeanTokens(), ClassToken()):
        network = Sequential([table, pooling], (20,))
        assert network.output_length is None
        wanted = tokens[:, 0]
        if isinstance(pooling, MeanTokens):
            place = np.where(ids >= 0, np.arange(ids.size).reshape(ids.shape), -1)
            wanted = plain_mean_of_tokens(tokens.reshape(ids.size, -1), place)
        found = network.predict(ids)
        assert np.allclose(found, wanted, atol=1e-6)
        assert np.array_equal(network.predict(ids[3:4]), found[3:4])  # in any company


def test_a_sample_predicts_alike_in_any_company():
    network, (x, _) = pooled(ClassToken()), batch(40)
    together = network.predict(x)
    assert np.array_equal(network.predict(x[9:11]), together[9:11])
    assert np.array_equal(network.compile(batch_size=40)(x), together)


def test_descriptions_build_the_same():
    layers = [
        LayerSpec("patch_embedding", {"features": 8, "patch_size": 2}),
        LayerSpec("residual", {"branch": [{"kind": "layer_norm"},
                  {"kind": "linear", "out_features": 8, "nnz": None}]}),
        LayerSpec("mean_tokens"), LayerSpec("linear", {"out_features": 3, "nnz": None}),
    ]  # fmt: skip
    described = Architecture((2, 6, 4), tuple(layers)).sparsify(0.5)
    assert described.weight_shapes() == [(8, 8), (8, 8), (3, 8)]
    assert described.lengths() == [None, 7, 7, None, None]
    network = described.in_groups(2).build(np.random.default_rng(0))
    assert network.parameters()["0.projection.0.weight"].pattern.group == 2
    again = Architecture.from_dict(described.in_groups(2).to_dict())
    other = again.build(parameters=network.parameters())
    x = np.random.default_rng(1).standard_normal((3, 48)).astype(np.float32)
    assert np.array_equal(other.predict(x), network.predict(x))
    assert sum(p.decays for p in network.parameters().values()) == 4  # 3 weights, and positions


def test_what_does_not_fit_is_refused():
    for wrong in ({"image_size": (6, 5)}, {"image_size": 0}, {"class_token": 1}, {"density": 2.0},
                  {"group": 3}, {"positions": "no"}):  # fmt: skip
        with pytest.raises(ParameterError):
            patches(**wrong)
    with pytest.raises(ParameterError):
        Sequential([patches()], (2, 6, 6))
    with pytest.raises(ParameterError):
        Sequential([patches()], (48,))
    with pytest.raises(ParameterError, match="tokens"):
        Sequential([MeanTokens()], (4,))
    entry = {"features": 8, "patch_size": 4}
    with pytest.raises(ParameterError, match="multiples of the patch"):
        Architecture((2, 6, 4), (LayerSpec("patch_embedding", entry),)).shapes()
