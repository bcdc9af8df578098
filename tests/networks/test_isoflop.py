"""Sparse-IFT: sizes and FLOPs by the formulas, exact gradients, and networks that go on."""

import json
import math

import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.files.model import load, save
from sparsecpu.isoflop import (
    TRANSFORMS,
    doped_rank,
    factorized_rank,
    flops,
    sparse_doped,
    sparse_factorized,
    sparse_parallel,
    sparse_wide,
)
from sparsecpu.layers import Parallel, ReLU, Sequential, SparseConv2d, SparseLinear
from sparsecpu.losses import SquaredError, TokenCrossEntropy
from sparsecpu.networks.description import Architecture, LayerSpec, mlp
from sparsecpu.networks.isoflop.placed_layers import weighted_layers
from sparsecpu.networks.models import find_model, resnet
from sparsecpu.sparse.parameter import SparseParameter

SHAPES = {"lenet-300-100": (784,), "vgg-d": (3, 32, 32), "resnet-18": (3, 32, 32),
          "wrn-16-8": (3, 32, 32)}  # fmt: skip


def dense_costs(name):
    """MACs of every layer with weights: (out, in, k, MACs), by hand from the description."""
    found = []

    def chain(layers, shape):
        for kind, options in layers:
            if kind == "residual":
                inner = [[(e["kind"], e) for e in options[way]] for way in ("branch", "shortcut")]
                chain(inner[1], shape)
                shape = chain(inner[0], shape)
            elif kind == "conv2d":
                k, s, p = options["kernel_size"], options["stride"], options["padding"]
                side = (shape[1] + 2 * p - k) // s + 1
                out = options["out_channels"]
                found.append((out, shape[0], k, out * shape[0] * k * k * side * side))
                shape = (out, side, side)
            elif kind == "linear":
                found.append((options["out_features"], shape[0], 1,
                              options["out_features"] * shape[0]))  # fmt: skip
                shape = (options["out_features"],)
            elif kind == "max_pool2d":
                shape = (shape[0], shape[1] // 2, shape[2] // 2)
            elif kind == "global_avg_pool2d":
                shape = (shape[0],)
            elif kind == "flatten":
                shape = (math.prod(shape),)
        return shape

    architecture = find_model(name)(SHAPES[name], 10)
    chain([(x.kind, x.options) for x in architecture.layers], architecture.input_shape)
    return architecture, found


@pytest.mark.parametrize("sparsity", [0.5, 0.75, 0.9])
@pytest.mark.parametrize("name", SHAPES)
def test_flops_are_those_of_the_dense_network(name, sparsity):
    dense, layers = dense_costs(name)
    total = 2 * sum(macs for *_, macs in layers)
    assert flops(dense) == total
    changed = layers[1:-1] if SHAPES[name] == (3, 32, 32) else layers[:-1]
    assert abs(flops(sparse_wide(dense, sparsity)) / total - 1) < 1e-3
    assert flops(sparse_parallel(dense, sparsity)) == total
    # A factorized layer has r (k k d_in + d_out) (1 - s) weights, each used once per pixel of y (U
    # of a strided convolution too: its stride is U's).
    expected = total
    for out, d_in, k, macs in changed:
        r = math.ceil(k * k * d_in * out / ((1 - sparsity) * (k * k * d_in + out)) - 1e-6)
        expected += (
            2 * macs * (r * (k * k * d_in + out) * (1 - sparsity) / (k * k * d_in * out) - 1)
        )
    assert flops(sparse_factorized(dense, sparsity)) == pytest.approx(expected, rel=1e-4)
    expected = total
    for out, d_in, k, macs in changed:
        r = math.floor(sparsity * k * k * d_in * out / (k * k * d_in + out) + 1e-6)
        share = (1 - sparsity) + r * (k * k * d_in + out) / (k * k * d_in * out)
        expected += 2 * macs * (share - 1)
    assert flops(sparse_doped(dense, sparsity)) == pytest.approx(expected, rel=1e-4)


def test_sizes_are_those_of_the_paper():
    conv = [factorized_rank(9 * 64, 64, s) for s in (0.5, 0.75, 0.9)]
    assert conv == [116, 231, 576]
    assert [doped_rank(9 * 64, 64, s) for s in (0.5, 0.75, 0.9)] == [28, 43, 51]
    assert [factorized_rank(300, 100, s) for s in (0.5, 0.75, 0.9)] == [150, 300, 750]
    assert [doped_rank(300, 100, s) for s in (0.5, 0.75, 0.9)] == [37, 56, 67]
    for sparsity, width in ((0.5, 90), (0.75, 128), (0.9, 202)):
        wide = sparse_wide(resnet((3, 32, 32), 10), sparsity)
        assert wide.shapes()[1][0] == width
        assert wide.layers[0].options["fixed"]
        assert wide.layers[-1].options["fixed"]
        assert wide.layers[-1].options["out_features"] == 10
        branches = sparse_parallel(mlp(8, (6,), 3), sparsity).layers[0].options["branches"]
        assert len(branches) == round(1 / (1 - sparsity))
        assert [e["kind"] for e in branches[0]] == ["linear", "relu"]


@pytest.mark.parametrize("member", TRANSFORMS)
def test_rows_that_share_columns_still_do(member, rng):
    """What takes the place of a layer stands in its groups; counts are within a group of it."""
    dense = mlp(41, (30, 26), 6).in_groups(4)
    described = TRANSFORMS[member](dense, 0.75)
    network = described.build(rng)
    wanted = [layer.entry.get("nnz") for layer in weighted_layers(described)]
    for weight, nnz in zip(network.sparse_parameters().values(), wanted, strict=True):
        if nnz is None or weight.pattern.is_full:
            assert (weight.pattern.is_full, weight.pattern.group) == (True, 1)
        else:
            assert weight.pattern.group == 4
            assert abs(weight.nnz - nnz) < (1 if member == "wide" else 4)
    if member == "wide":
        assert flops(described) == pytest.approx(flops(dense), rel=2e-3)
    assert network.predict(rng.standard_normal((3, 41))).shape == (3, 6)


def test_bad_sparsities():
    dense = mlp(8, (6,), 3)
    for transform in TRANSFORMS.values():
        for bad in (1.0, -0.1, float("nan")):
            with pytest.raises(ParameterError):
                transform(dense, bad)
    with pytest.raises(ParameterError, match="1/k"):
        sparse_parallel(dense, 0.6)
    with pytest.raises(ParameterError):
        sparse_wide(mlp(4000, (2,), 2000), 0.99)


def small(image):
    if not image:
        return mlp(9, (8, 7), 3)
    return Architecture.from_dict({
        "name": "small", "input_shape": [2, 6, 5],
        "layers": [
            {"kind": "conv2d", "out_channels": 6, "kernel_size": 3, "padding": 1, "bias": False},
            {"kind": "batch_norm"}, {"kind": "relu"},
            {"kind": "residual", "shortcut": [
                {"kind": "conv2d", "out_channels": 8, "kernel_size": 1, "stride": 2}],
             "branch": [
                {"kind": "conv2d", "out_channels": 8, "kernel_size": 3, "padding": 1, "stride": 2},
                {"kind": "batch_norm"}, {"kind": "relu"},
                {"kind": "conv2d", "out_channels": 8, "kernel_size": 3, "padding": 1}]},
            {"kind": "batch_norm"}, {"kind": "relu"}, {"kind": "global_avg_pool2d"},
            {"kind": "linear", "out_features": 3, "gain": 1.0},
        ],
    })  # fmt: skip


@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize("member", TRANSFORMS)
def test_gradients_by_central_differences(member, image):
    net = TRANSFORMS[member](small(image), 0.5).build(np.random.default_rng(2), dtype=np.float64)
    rng = np.random.default_rng(1)
    for name, p in net.parameters().items():
        if name.endswith("bias"):
            p.data[:] = rng.normal(0, 0.3, p.data.shape)
    x, y = rng.standard_normal((5, math.prod(net.input_shape))), rng.standard_normal((5, 3))
    _, gradients = net.loss_and_gradients(x, y, SquaredError())
    kept = {name: b.copy() for name, b in net.buffers().items()}
    for name, parameter in net.parameters().items():
        for k in rng.choice(parameter.data.size, min(3, parameter.data.size), replace=False):
            values, old = [], parameter.data[k]
            for step in (1e-6, -1e-6):
                parameter.data[k] = old + step
                if isinstance(parameter, SparseParameter):
                    parameter.touch()
                for buffer, value in zip(net.buffers().values(), kept.values(), strict=True):
                    buffer[...] = value
                values.append(net.loss_and_gradients(x, y, SquaredError())[0])
            parameter.data[k] = old
            if isinstance(parameter, SparseParameter):
                parameter.touch()
            wanted = (values[0] - values[1]) / 2e-6
            assert gradients[name][k] == pytest.approx(wanted, abs=5e-6, rel=1e-4), name


@pytest.mark.parametrize("image", [False, True])
def test_branches_are_added(image, rng):
    shape = (2, 5, 4) if image else (9,)

    def layer():
        if image:
            return SparseConv2d(2, 4, 3, padding=1, density=0.5, rng=rng, dtype=np.float64)
        return SparseLinear(9, 4, density=0.5, rng=rng, dtype=np.float64)

    parts = [layer() for _ in range(3)]
    x = rng.standard_normal((6, math.prod(shape)))
    wanted = sum(np.maximum(Sequential([p], shape).predict(x), 0) for p in parts)
    net = Sequential([Parallel([[p, ReLU()] for p in parts])], shape)
    np.testing.assert_allclose(net.predict(x), wanted, atol=1e-12)
    with pytest.raises(ParameterError):
        Parallel([])
    with pytest.raises(ParameterError):
        Sequential([Parallel([[SparseLinear(9, 4)], [SparseLinear(9, 5)]])], (9,))


@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize("member", TRANSFORMS)
def test_description_and_file_give_the_same_network(member, image, tmp_path, rng):
    described = TRANSFORMS[member](small(image), 0.5)
    again = Architecture.from_dict(json.loads(json.dumps(described.to_dict())))
    a, b = (d.build(np.random.default_rng(3)) for d in (described, again))
    save(a, tmp_path / "m.npz", described)
    c = load(tmp_path / "m.npz")[0]
    x = rng.standard_normal((7, math.prod(a.input_shape))).astype(np.float32)
    for other in (b, c):
        np.testing.assert_array_equal(a.predict(x), other.predict(x))
        for ours, theirs in zip(
            a.sparse_parameters().values(), other.sparse_parameters().values(), strict=True
        ):
            assert ours.pattern == theirs.pattern
            assert ours.fixed == theirs.fixed


def token_network(width=32, words=20, length=8):
    """Describe an embedding, a block of attention and feed-forward, and a head."""
    norm = {"kind": "layer_norm"}
    attention = {"kind": "attention", "features": width, "heads": 4, "causal": True}
    up, down = ({"kind": "linear", "out_features": n, "nnz": None} for n in (4 * width, width))
    layers = [
        LayerSpec("embedding", {"vocabulary": words, "features": width}),
        LayerSpec("residual", {"branch": [norm, attention]}),
        LayerSpec("residual", {"branch": [norm, up, {"kind": "gelu"}, down]}),
        LayerSpec("linear", {"out_features": words, "nnz": None}),
    ]
    return Architecture((length,), tuple(layers))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_networks_of_tokens_keep_their_flops(name):
    dense, rng = token_network(), np.random.default_rng(0)
    assert flops(dense) == 2 * (4 * 32 * 32 + 2 * 32 * 128 + 32 * 20)
    made = TRANSFORMS[name](dense, 0.75)
    assert flops(made) == pytest.approx(flops(dense), rel=0.02)
    network = made.build(rng)
    x, y = rng.integers(0, 20, (2, 3, 8))
    loss, gradients = network.loss_and_gradients(x, y, TokenCrossEntropy())
    assert loss > 0
    assert all(np.isfinite(g).all() for g in gradients.values())
    if name == "wide":
        attention = network.layers[1].children()["branch"].layers[1]
        shapes = {key: p.shape for key, p in attention.parameters().items() if "weight" in key}
        assert shapes["query.0.weight"] == (64, 64)
        assert shapes["output.0.weight"] == (64, 64)


def test_wide_heads_stay_whole():
    network = sparse_wide(token_network(36), 0.5).build()  # heads of 9 become 12, features 50
    attention = network.layers[1].children()["branch"].layers[1]
    shapes = {key: p.shape for key, p in attention.parameters().items() if "weight" in key}
    assert shapes["key.0.weight"] == (48, 50)
    assert shapes["output.0.weight"] == (50, 48)
