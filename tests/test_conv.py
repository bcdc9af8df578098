"""Convolutions and the layers around them, against plain twins and central differences."""

import math
import pickle
import tracemalloc

import naive
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sparsecpu import SparseCNNClassifier, taps
from sparsecpu.architecture import Architecture, LayerSpec
from sparsecpu.augmentation import AugmentedSource
from sparsecpu.batches import ArraySource
from sparsecpu.callbacks import Callback
from sparsecpu.checkpoint import load, save
from sparsecpu.csr import Pattern
from sparsecpu.datasets import make_shapes
from sparsecpu.errors import DataError, ParameterError
from sparsecpu.kernels.threads import use_threads
from sparsecpu.layers import (
    AvgPool2d,
    BatchNorm,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
    SparseConv2d,
    SparseLinear,
    Spec,
    Subsample,
)
from sparsecpu.losses import SoftmaxCrossEntropy, SquaredError
from sparsecpu.models import find_model
from sparsecpu.parameters import SparseParameter
from sparsecpu.planes import Planes
from sparsecpu.recipes import Recipe
from sparsecpu.scaling import standardise
from sparsecpu.topology import SparseMomentum
from sparsecpu.trainer import Trainer
from sparsecpu.workspace import Context, Workspace

TOLERANCE = {np.float32: 3e-5, np.float64: 1e-11}


def made(shape, kernel, size, *, density=0.4, dtype=np.float64, empty=(), **options):
    """Return a planned layer; rows in ``empty`` have no nonzeros."""
    channels, filters = shape
    rng = np.random.default_rng(3)
    layer = SparseConv2d(channels, filters, kernel, density=density, rng=rng, dtype=dtype,
                         **options)  # fmt: skip
    if len(empty):
        pattern = layer.weight.pattern
        kept = ~np.isin(pattern.rows(), empty)
        keys = pattern.keys()[kept]
        weight = SparseParameter(Pattern.from_keys(pattern.shape, keys), layer.weight.data[kept],
                                 dtype)  # fmt: skip
        layer._set(weight, None if layer.bias is None else layer.bias.data)
    if layer.bias is not None:
        layer.bias.data[:] = rng.standard_normal(filters)
    layer.plan(Spec((channels, *size), needs_gradient=True))
    return layer


def filters_of(layer):
    p = layer.weight.pattern
    dense = naive.dense(p.shape, p.indptr, p.indices, layer.weight.data)
    return dense.reshape(p.shape[0], -1, *layer.kernel)


def check(layer, size, batch, dtype):
    rng = np.random.default_rng(batch)
    x = rng.standard_normal((batch, layer.in_channels, *size)).astype(dtype)
    ctx = Context(Workspace(), train=True, n_valid=batch)
    y, saved = layer.forward(naive.to_planes(x, 16), ctx)
    bias = np.zeros(layer.out_channels) if layer.bias is None else layer.bias.data
    settings = layer.stride, layer.padding, layer.groups
    wanted = naive.conv2d(x, filters_of(layer), bias, *settings)
    scale = TOLERANCE[dtype] * max(1, np.abs(wanted).max(initial=0))
    np.testing.assert_allclose(naive.from_planes(y.values, batch), wanted, atol=scale, rtol=0)
    if y.sums is not None:
        by_channel = wanted.sum(axis=(0, 2, 3)), (wanted**2).sum(axis=(0, 2, 3))
        np.testing.assert_allclose(y.sums, by_channel, atol=scale * wanted[:, 0].size, rtol=0)
    dy = rng.standard_normal(wanted.shape).astype(dtype)
    tiles = naive.to_planes(dy, 16)
    tiles[-1, ..., (batch - 1) % 16 + 1 :] = 7  # what padding lanes hold must not count
    dx = layer.backward(tiles, saved, ctx)
    wanted = naive.conv2d_backward(x, filters_of(layer), dy, *settings)
    p = layer.weight.pattern
    flat = wanted[1].reshape(p.shape)
    for found, want in (
        (naive.from_planes(dx.values, batch), wanted[0]),
        (layer.weight.grad, naive.at_nonzeros(flat, p.indptr, p.indices)),
        *(() if layer.bias is None else ((layer.bias.grad, wanted[2]),)),
    ):
        scale = TOLERANCE[dtype] * max(1, np.abs(want).max(initial=0)) * 4
        np.testing.assert_allclose(found, want, atol=scale, rtol=0)


CASES = [
    # kernel, stride, padding, groups, image, batch
    (3, 1, 1, 1, (9, 7), 17),
    (3, 2, 1, 1, (9, 11), 3),
    (1, 1, 0, 1, (5, 5), 1),
    (1, 2, 0, 1, (7, 15), 4),
    (5, 2, 2, 2, (13, 13), 4),
    (11, 2, 2, 1, (20, 19), 2),
    ((3, 5), (1, 2), (0, 2), 2, (9, 33), 2),
    (7, 3, 3, 1, (17, 40), 2),
    (3, 1, 2, 1, (4, 4), 3),
    (1, 3, 0, 1, (8, 9), 2),
    (3, 1, 1, 4, (6, 6), 5),
    (3, 1, 1, 1, (1, 7), 2),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_convolution(case):
    kernel, stride, padding, groups, size, batch = case
    layer = made((4, 8), kernel, size, stride=stride, padding=padding, groups=groups)
    check(layer, size, batch, np.float64)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("columns", [1, 100])
def test_blocks_of_channels(case, columns, monkeypatch):
    """Many blocks of channels, rows in one chunk or in as many as there can be: the same sums."""
    kernel, stride, padding, groups, size, batch = case
    monkeypatch.setattr(taps, "level_one_cache", lambda: 64)
    monkeypatch.setattr(taps, "_WORTH_WAITING", 1)
    monkeypatch.setattr(taps, "choose_chunk", lambda width, strip, *_: min(
        columns * strip, -(-width // strip) * strip))  # fmt: skip
    options = {"stride": stride, "padding": padding, "groups": groups, "density": 0.7}
    layer = made((8, 12), kernel, size, empty=(0, 5), **options)
    forward, backward = layer.sparse.taps(
        Planes(naive.to_planes(np.zeros((1, 8, *size)), 16)), "fp32"
    )
    if groups == 1 and np.ndim(kernel) == 0:
        assert len(forward.starts) > 1
        assert stride > 1 or len(backward.starts) > len(backward.phases)
    if columns == 1 and layer.geometry().out_size[1] > forward.strip:
        assert forward.chunks > 1
    check(layer, size, batch, np.float64)


@pytest.mark.parametrize("case", [*CASES[:4], CASES[6]], ids=str)
def test_dw_by_itself(case, monkeypatch):
    """CPUs with fewer registers make dx and dW one after the other."""
    kernel, stride, padding, groups, size, batch = case
    both = made((4, 8), kernel, size, stride=stride, padding=padding, groups=groups)
    check(both, size, batch, np.float64)
    monkeypatch.setattr("sparsecpu.layers.sparse_conv.widest_lanes", lambda: 64)
    alone = made((4, 8), kernel, size, stride=stride, padding=padding, groups=groups)
    check(alone, size, batch, np.float64)
    np.testing.assert_allclose(alone.weight.grad, both.weight.grad, rtol=0, atol=1e-11)


def test_rows_in_one_chunk_where_tiles_suffice():
    assert taps.choose_chunk(32, 8, 100, 8) == 32
    assert taps.choose_chunk(32, 8, 30, 8) == 16  # the ring has no room for more
    assert taps.choose_chunk(32, 8, 100, 2) == 8  # chunks are jobs
    assert taps.choose_chunk(5, 8, 1, 1) == 8


ABREAST = [
    # kernel, stride, padding, groups, image, batch; several tiles, the last ones often alone
    (3, 1, 1, 1, (4, 4), 50),
    (3, 2, 1, 1, (5, 5), 70),
    (3, 1, 1, 2, (2, 2), 40),
    (5, 1, 2, 1, (3, 3), 130),
    (1, 1, 0, 1, (1, 1), 33),
    (1, 2, 0, 1, (3, 6), 33),
    ((5, 3), (2, 1), (2, 1), 4, (7, 3), 65),
]


@pytest.mark.parametrize("moments", [False, True])
@pytest.mark.parametrize("case", ABREAST, ids=str)
def test_small_planes_of_several_tiles(case, moments):
    kernel, stride, padding, groups, size, batch = case
    options = {"stride": stride, "padding": padding, "groups": groups, "dtype": np.float32}
    layer = made((4, 8), kernel, size, **options)
    images = np.zeros((batch, 4, *size), np.float32)
    assert layer.sparse.taps(Planes(naive.to_planes(images, 16)), "fp32")[0].plan[18] > 1
    if moments:
        layer.sum_moments()
    check(layer, size, batch, np.float32)


@pytest.mark.parametrize("abreast", [1, 2, 4, 8])
@pytest.mark.parametrize(
    "case", [(3, 1, 1, (5, 9)), (3, 2, 1, (6, 7)), (5, 1, 2, (13, 13))], ids=str
)
def test_any_number_of_tiles_abreast(case, abreast, monkeypatch):
    """Rows of more than a strip, teams of tiles of which the last lacks some, bands of rows."""
    kernel, stride, padding, size = case
    monkeypatch.setattr(taps, "choose_strip", lambda *_, **__: (8, abreast))
    check(made((6, 8), kernel, size, stride=stride, padding=padding), size, 90, np.float64)


def test_images_of_another_size_are_watched_anew(rng):
    """Where the nonzeros of another pattern read depends on the size, for which plan() speaks."""
    layer = made((4, 8), 3, (5, 6), padding=1)
    pattern = layer.weight.pattern
    for size in ((5, 6), (9, 11)):
        layer.plan(Spec((4, *size), needs_gradient=True))
        ctx = Context(Workspace(), train=True, n_valid=16)
        x, dy = (Planes(naive.to_planes(rng.standard_normal((16, n, *size)), 16)) for n in (4, 8))
        found = layer.sparse.gradient_at(pattern, x, dy, ctx).copy()
        layer.filter_gradient(x, dy, ctx)
        np.testing.assert_allclose(found, layer.weight.grad, atol=1e-11, rtol=0)


def test_convolution_in_float32():
    size = (6, 19)  # two strips of 16 pixels, the second one partly empty
    check(made((5, 6), 3, size, padding=1, dtype=np.float32), size, 18, np.float32)


@pytest.mark.parametrize(
    "options",
    [{"empty": (0, 3)}, {"empty": range(8)}, {"density": 1.0}, {"groups": 4, "bias": False}],
    ids=["empty rows", "nnz 0", "full", "depthwise"],
)
def test_odd_patterns(options):
    check(made((4, 8), 3, (7, 6), padding=1, **options), (7, 6), 2, np.float64)


@pytest.mark.parametrize("size", [(12, 20), (3, 3)])
@pytest.mark.parametrize("threads", [1, 2])
def test_any_number_of_threads_gives_the_same_bits(threads, size, rng):
    layer = made((6, 10), 3, size, padding=1, dtype=np.float32)
    x = rng.standard_normal((70, 6, *size)).astype(np.float32)
    dy = rng.standard_normal((70, 10, *size)).astype(np.float32)
    layer.sum_moments()

    def run(threads):
        with use_threads(threads):
            ctx = Context(Workspace(), train=True, n_valid=70)
            y, saved = layer.forward(naive.to_planes(x, 16), ctx)
            dx = layer.backward(naive.to_planes(dy, 16), saved, ctx)
        return y.values, y.sums, dx.values, layer.weight.grad.copy(), layer.bias.grad.copy()

    for a, b in zip(run(1), run(threads), strict=True):
        np.testing.assert_array_equal(a, b)


def test_bad_sizes_are_refused():
    for options in ({"groups": 3}, {"stride": 0}, {"padding": -1}, {"kernel_size": (3, 3, 3)},
                    {"in_channels": 0}):  # fmt: skip
        arguments = {"in_channels": 4, "out_channels": 8, "kernel_size": 3} | options
        with pytest.raises(ParameterError):
            SparseConv2d(**arguments)
    layer = SparseConv2d(4, 8, 5)
    for shape in ((4,), (3, 8, 8), (4, 3, 8)):
        with pytest.raises(ParameterError):
            layer.plan(Spec(shape))


@pytest.mark.parametrize("pending", [False, True])
@pytest.mark.parametrize("size", [(2, 2, 0), (3, 2, 1), ((1, 3), (2, 1), 0)], ids=str)
def test_pooling(size, pending, rng):
    kernel, stride, padding = size
    x = np.round(rng.standard_normal((5, 3, 7, 8)), 1)  # ties happen
    planes = Planes(naive.to_planes(x, 16))
    if pending:
        a, c = np.array([1.0, -2.0, 0.5]), np.array([0.1, 0.0, -0.2])
        planes = Planes(planes.values, a=a, c=c, relu=True)
        x = np.maximum(a[:, None, None] * x + c[:, None, None], 0)
    for kind, twin in ((MaxPool2d, naive.max_pool), (AvgPool2d, naive.average_pool)):
        layer = kind(kernel, stride=stride, padding=padding)
        layer.plan(Spec((3, 7, 8), needs_gradient=True))
        if pending:
            layer.gate_by_input()
        ctx = Context(Workspace(), train=True, n_valid=5)
        y, saved = layer.forward(planes, ctx)
        sizes = (layer.kernel, layer.stride, layer.padding)
        dy = rng.standard_normal(naive.from_planes(y.values, 5).shape)
        wanted, wanted_dx = twin(x, dy, *sizes)
        np.testing.assert_allclose(naive.from_planes(y.values, 5), wanted, atol=1e-12)
        dx = layer.backward(naive.to_planes(dy, 16), saved, ctx)
        if pending:
            wanted_dx = wanted_dx * (x > 0)
        found = naive.from_planes(dx.values, 5)
        np.testing.assert_allclose(found, wanted_dx, atol=1e-12)
        if pending:  # sums for the backward pass of the normalisation before
            raw = naive.from_planes(planes.values, 5)
            np.testing.assert_allclose(dx.sums[0], found.sum(axis=(0, 2, 3)), atol=1e-10)
            np.testing.assert_allclose(dx.sums[1], (found * raw).sum(axis=(0, 2, 3)), atol=1e-10)


def network(rng, *, fused=True):
    """Return a small network with every kind of connection, in float64."""
    D = np.float64

    def conv(i, o, k, **options):
        return SparseConv2d(i, o, k, density=0.6, rng=rng, dtype=D, **options)

    def norm(n):
        layer = BatchNorm(n, dtype=D)
        layer.gamma.data[:], layer.beta.data[:] = rng.standard_normal((2, n))
        return layer

    def gap():  # breaks up what Sequential would fuse
        return [] if fused else [Dropout(0.0)]

    layers = [
        conv(2, 4, 3, padding=1, bias=False), *gap(),
        Residual([norm(4), *gap(), ReLU(), *gap(), conv(4, 4, 3, padding=1), *gap(), norm(4),
                  ReLU(), conv(4, 4, 3, padding=1, bias=False)]),
        *gap(), norm(4), ReLU(), *gap(),
        Residual([conv(4, 6, 3, stride=2, padding=1, bias=False)], [conv(4, 6, 1, stride=2)]),
        norm(6), *gap(), ReLU(), *gap(), MaxPool2d(2), conv(6, 6, 3, padding=1), ReLU(), *gap(),
        Residual([conv(6, 8, 3, stride=2, padding=1), norm(8)], [Subsample(8, 2)]), *gap(), ReLU(),
        *gap(), AvgPool2d(1), GlobalAvgPool2d(), SparseLinear(8, 3, density=0.9, rng=rng, dtype=D),
    ]  # fmt: skip
    return Sequential(layers, (2, 11, 10))


def test_fused_and_materialised_networks_agree():
    a, b = network(np.random.default_rng(5)), network(np.random.default_rng(5), fused=False)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((19, 220)), rng.integers(0, 3, 19)
    loss, gradients = a.loss_and_gradients(x, y, SoftmaxCrossEntropy())
    wanted, others = b.loss_and_gradients(x, y, SoftmaxCrossEntropy())
    assert loss == pytest.approx(wanted, rel=1e-12)
    for (name, found), want in zip(gradients.items(), others.values(), strict=True):
        np.testing.assert_allclose(found, want, atol=1e-10, err_msg=name)
    for found, want in zip(a.buffers().values(), b.buffers().values(), strict=True):
        np.testing.assert_allclose(found, want, atol=1e-12)
    np.testing.assert_allclose(a.predict(x), b.predict(x), atol=1e-10)  # running statistics


@pytest.mark.parametrize("train", [True, False])
def test_gradients_by_central_differences(train):
    net = network(np.random.default_rng(5))
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((5, 220)), rng.standard_normal((5, 3))
    _, gradients = net.loss_and_gradients(x, y, SquaredError(), train=train)
    kept = {name: b.copy() for name, b in net.buffers().items()}
    for name, parameter in net.parameters().items():
        for k in rng.choice(parameter.data.size, min(4, parameter.data.size), replace=False):
            values, old = [], parameter.data[k]
            for step in (1e-6, -1e-6):
                parameter.data[k] = old + step
                if isinstance(parameter, SparseParameter):
                    parameter.touch()
                for buffer, value in zip(net.buffers().values(), kept.values(), strict=True):
                    buffer[...] = value
                values.append(net.loss_and_gradients(x, y, SquaredError(), train=train)[0])
            parameter.data[k] = old
            wanted = (values[0] - values[1]) / 2e-6
            assert gradients[name][k] == pytest.approx(wanted, abs=2e-6, rel=1e-5), name


def test_a_network_may_begin_and_end_with_images(rng):
    net = Sequential([SparseConv2d(1, 2, 3, padding=1, density=1.0, dtype=np.float64)], (1, 4, 5))
    x = rng.standard_normal((3, 1, 4, 5))
    layer = net.layers[0]
    wanted = naive.conv2d(x, filters_of(layer), layer.bias.data, (1, 1), (1, 1), 1)
    np.testing.assert_allclose(net.predict(x), wanted.reshape(3, -1), atol=1e-12)
    flat = Sequential([*net.layers, Flatten()], (1, 4, 5))
    np.testing.assert_allclose(flat.predict(x), wanted.reshape(3, -1), atol=1e-12)
    target = rng.standard_normal((3, 40))
    ends = [n.loss_and_gradients(x.reshape(3, -1), target, SquaredError()) for n in (net, flat)]
    assert ends[0][0] == ends[1][0]
    np.testing.assert_array_equal(ends[0][1]["0.weight"], ends[1][1]["0.weight"])
    Trainer(net, loss=SquaredError(), epochs=1, batch_size=2).fit(x.reshape(3, -1), target)


def test_every_model_has_the_papers_number_of_weights():
    colour, large = (3, 32, 32), (3, 224, 224)
    wanted = {
        "lenet-5-caffe": ((1, 28, 28), 10, 430_500),
        "alexnet-s": (colour, 10, 5_066_784),
        "alexnet-b": (colour, 10, 8_484_896),
        "vgg-d": (colour, 10, 15_239_872),
        "vgg-c": (colour, 10, 11_307_712),
        "vgg-like": (colour, 10, 14_977_728),
        "vgg16-small": (colour, 10, 1_252_528),
        "wrn-16-8": (colour, 10, 10_954_160),
        "wrn-16-10": (colour, 10, 17_107_632),
        "wrn-22-8": (colour, 10, 17_147_312),
        "wrn-28-2": (colour, 10, 1_463_984),
        "wrn-22-2": (colour, 10, 1_076_912),
        "resnet-50": (large, 1000, 25_502_912),
        "resnet-18": (large, 1000, 11_678_912),
        "resnet-56": (colour, 10, 848_944),
    }
    for name, (shape, classes, weights) in wanted.items():
        described = find_model(name)(shape, classes)
        assert sum(math.prod(s) for s in described.weight_shapes()) == weights, name
        assert described.shapes()[-1] == (classes,)
    small = find_model("resnet-18")(colour, 100)
    assert sum(math.prod(s) for s in small.weight_shapes()) == 11_210_432
    for bad in ("wrn-15-2", "vgg-e"):
        with pytest.raises(ParameterError):
            Recipe(model=bad).architecture(colour, 10)


@pytest.mark.parametrize("name", ["wrn-10-1", "resnet-56", "vgg16-small"])
def test_saved_networks_are_the_same(name, tmp_path, rng):
    described = find_model(name)((3, 8, 8), 4, width=0.25).sparsify(0.3)
    net = described.build(rng)
    x = rng.standard_normal((5, 3 * 64)).astype(np.float32)
    if name == "wrn-10-1":  # moves running statistics
        net.loss_and_gradients(x, np.arange(5) % 4, SoftmaxCrossEntropy())
    save(net, tmp_path / "model.npz", described)
    again, _ = load(tmp_path / "model.npz")
    if name == "wrn-10-1":
        np.testing.assert_array_equal(again.predict(x), net.predict(x))
    for kind in ("parameters", "buffers"):
        mine, theirs = getattr(net, kind)(), getattr(again, kind)()
        assert list(mine) == list(theirs)
        for a, b in zip(mine.values(), theirs.values(), strict=True):
            np.testing.assert_array_equal(getattr(a, "data", a), getattr(b, "data", b))
    assert "conv" in net.summary()


def images(samples=96, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, samples)
    x = rng.standard_normal((samples, 1, 8, 8)).astype(np.float32)
    for i, label in enumerate(y):
        x[i, 0, 2 * label : 2 * label + 2] += 2
    return x.reshape(samples, -1), y


def small_net(rng):
    return Sequential(
        [SparseConv2d(1, 8, 3, padding=1, density=0.6, rng=rng), BatchNorm(8), ReLU(),
         MaxPool2d(2), SparseConv2d(8, 12, 3, padding=1, density=0.2, rng=rng), BatchNorm(12),
         ReLU(), GlobalAvgPool2d(), SparseLinear(12, 3, density=0.9, rng=rng)],
        (1, 8, 8),
    )  # fmt: skip


@pytest.mark.parametrize("source", ["candidates", "tiles"])
def test_sparse_momentum_rewires_convolutions(source):
    x, y = images()

    def train(threads):
        net = small_net(np.random.default_rng(0))
        before = [p.pattern for p in net.sparse_parameters().values()]
        total = net.nnz
        topology = SparseMomentum(source=source, window=2, update_every=12)
        trainer = Trainer(net, loss=SoftmaxCrossEntropy(), topology=topology, epochs=20,
                          learning_rate=0.05, batch_size=32, threads=threads)  # fmt: skip
        trainer.fit(x, y)
        assert net.nnz == total
        after = [p.pattern for p in net.sparse_parameters().values()]
        assert any(a != b for a, b in zip(before, after, strict=True))
        return net

    net = train(1)
    assert (net.predict(x).argmax(axis=1) == y).mean() > 0.9
    for a, b in zip(net.parameters().values(), train(2).parameters().values(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_topology_sees_the_dense_gradient(rng):
    """What a source is told equals the dense gradient at any positions, inactive ones included."""
    layer = made((4, 6), 3, (7, 5), padding=1, stride=2, groups=2, bias=False)
    x = rng.standard_normal((18, 4, 7, 5))
    ctx, seen = Context(Workspace(), train=True, n_valid=18), {}
    every = Pattern.full(layer.weight.shape)

    def observe(parameter, view, _):
        seen["gradient"], seen["squares"] = view.at(every).copy(), view.activity("norm", rng)

    ctx.observe = observe
    y, saved = layer.forward(naive.to_planes(x, 16), ctx)
    dy = rng.standard_normal(naive.from_planes(y.values, 18).shape)
    layer.backward(naive.to_planes(dy, 16), saved, ctx)
    _, wanted, _ = naive.conv2d_backward(x, filters_of(layer), dy, (2, 2), (1, 1), 2)
    np.testing.assert_allclose(seen["gradient"], wanted.reshape(-1), atol=1e-11)
    np.testing.assert_allclose(seen["squares"][0] ** 2, (dy**2).sum(axis=(0, 2, 3)), rtol=1e-12)
    assert seen["squares"][1].shape == (layer.weight.shape[1],)


def test_training_allocates_no_filter_bank():
    """1024 channels on 4 x 4 pixels: all memory together stays below the dense filters'."""

    def train(channels):
        rng = np.random.default_rng(0)
        density = 3 / channels
        net = Sequential(
            [SparseConv2d(channels, channels, 3, padding=1, density=density, rng=rng, bias=False),
             BatchNorm(channels), ReLU(),
             SparseConv2d(channels, channels, 3, padding=1, density=density, rng=rng, bias=False),
             BatchNorm(channels), ReLU(), GlobalAvgPool2d(), SparseLinear(channels, 10, rng=rng)],
            (channels, 4, 4),
        )  # fmt: skip
        topology = SparseMomentum(window=2, update_every=3)
        trainer = Trainer(net, loss=SoftmaxCrossEntropy(), topology=topology, epochs=2,
                          batch_size=16, threads=2)  # fmt: skip
        x = rng.integers(0, 256, (64, channels * 16), dtype=np.uint8)
        trainer.fit(x, rng.integers(0, 10, 64))

    train(1024)  # imports and compiles outside of the trace
    tracemalloc.start()
    train(1024)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1024 * 1024 * 9 * 4


def test_shapes_are_what_they_say(tmp_path):
    data = make_shapes(300)
    assert data.x_train.shape == (300, 3072)
    assert data.x_train.dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(data.y_train), np.full(10, 30))
    again = make_shapes(700)
    np.testing.assert_array_equal(again.x_train[:300], data.x_train)  # i alone decides sample i
    np.testing.assert_array_equal(again.x_test, data.x_test)
    assert (make_shapes(300, seed=1).x_train != data.x_train).mean() > 0.9
    from sklearn.linear_model import RidgeClassifier

    many = make_shapes(1000)
    linear = RidgeClassifier().fit(many.x_train / 255.0, many.y_train)
    assert linear.score(many.x_test / 255.0, many.y_test) < 0.6


def test_images_are_standardised_channel_by_channel(rng):
    net = small_net(rng)
    colour = Sequential([SparseConv2d(3, 2, 3, density=1.0)], (3, 4, 4))
    x = rng.normal([[1.0], [5.0], [-3.0]], [[1.0], [2.0], [9.0]], (200, 3, 16)).reshape(200, -1)
    standardise(colour, x, "channel")
    z = ((x - colour.offset) * colour.scale).reshape(200, 3, -1)
    np.testing.assert_allclose(z.mean(axis=(0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(axis=(0, 2)), 1, rtol=1e-5)
    standardise(net, np.zeros((3, 64)), "global")
    assert np.isfinite(net.scale).all()


def test_the_estimator_takes_images():
    x, y = images(160)
    x = x.reshape(-1, 1, 8, 8)
    labels = np.array(["low", "middle", "high"])[y]

    def describe(shape, n_outputs):
        layers = [LayerSpec("conv2d", {"out_channels": 8, "kernel_size": 3, "padding": 1}),
                  LayerSpec("batch_norm"), LayerSpec("relu"), LayerSpec("global_avg_pool2d"),
                  LayerSpec("linear", {"out_features": n_outputs, "nnz": None})]  # fmt: skip
        return Architecture(shape, tuple(layers))

    model = SparseCNNClassifier("wrn-10-1", width=0.5, density=0.4, max_iter=8, batch_size=32,
                                random_state=0, topology="set")  # fmt: skip
    with pytest.warns(ConvergenceWarning):
        model.fit(x, labels)
    assert model.score(x, labels) > 0.9
    assert model.image_shape_ == (1, 8, 8)
    np.testing.assert_array_equal(model.predict(x.reshape(160, 64)), model.predict(x))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(x), model.predict(x))
    assert clone(model).get_params()["width"] == 0.5
    for wrong in (x[:, :, :4], x.reshape(160, 64)[:, :36]):
        with pytest.raises(DataError):
            model.predict(wrong)
    own = SparseCNNClassifier(describe, density=0.9, random_state=0, image_shape=(4, 4, 4))
    own.partial_fit(x.reshape(160, 64), labels, classes=np.unique(labels))
    assert own.predict_proba(x.reshape(160, 64)).shape == (160, 3)
    with pytest.raises(ParameterError):
        SparseCNNClassifier("no-such-net").fit(x, labels)


def test_augmented_images_are_shifted_and_mirrored():
    pixels = np.arange(2 * 9 * 8, dtype=np.float32).reshape(1, -1).repeat(40, axis=0)
    source = AugmentedSource(ArraySource(pixels), (2, 9, 8), "crop-flip",
                             np.random.default_rng(0), padding=2)  # fmt: skip
    array, rows = source.take_samples(np.arange(40))
    padded = np.pad(pixels[0].reshape(2, 9, 8), ((0, 0), (2, 2), (2, 2)), mode="reflect")
    seen = set()
    for image in array[rows].reshape(-1, 2, 9, 8):
        found = [
            (dy, dx, step)
            for dy in range(5) for dx in range(5) for step in (1, -1)
            if (padded[:, dy : dy + 9, dx : dx + 8][:, :, ::step] == image).all()
        ]  # fmt: skip
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 15
    plain = AugmentedSource(ArraySource(pixels), (2, 9, 8), "crop", np.random.default_rng(0))
    assert plain.take_samples(np.arange(3))[0].shape == (3, 144)
    for shape, kind in (((2, 9, 8), "turn"), ((4, 6, 6), "crop"), ((144,), "crop")):
        with pytest.raises(ParameterError):
            AugmentedSource(ArraySource(pixels), shape, kind, None, padding=6)


@pytest.mark.parametrize("kind", ["affine", "affine-flip"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_images_are_turned_resized_and_shifted(kind, dtype, rng):
    """Against SciPy's map of each image by the matrix that its corners say."""
    from scipy.ndimage import map_coordinates

    height, width = 12, 11
    pixels = rng.integers(0, 256, (1, 2, height, width)).astype(dtype)
    places = np.stack(np.mgrid[:height, :width]).astype(np.float32)[None]  # images of places
    count = 60
    made = [
        AugmentedSource(ArraySource(x.reshape(1, -1).repeat(count, axis=0)), x.shape[1:], kind,
                        np.random.default_rng(4)).take_samples(np.arange(count))[0]
        .reshape(count, 2, height, width) for x in (pixels, places)
    ]  # fmt: skip
    mirrored = 0
    for image, (y, x) in zip(*made, strict=True):
        inside = (y > 0.5) & (y < height - 1.5) & (x > 0.5) & (x < width - 1.5)
        wanted = np.stack([
            map_coordinates(channel.astype(float), (y, x), order=1) for channel in pixels[0]
        ])  # fmt: skip
        np.testing.assert_allclose(
            image[:, inside], wanted[:, inside], atol=1.0 if dtype is np.uint8 else 0.01
        )
        assert inside.mean() > 0.4
        mirrored += bool(np.median(np.diff(x, axis=1)) < 0)
        size = np.hypot(np.median(np.diff(y, axis=0)), np.median(np.diff(x, axis=0)))
        assert 0.85 < size < 1.15
    assert (10 < mirrored < 50) if kind == "affine-flip" else mirrored == 0


def test_augmented_training_resumes_bit_for_bit(tmp_path):
    """A run in two parts equals a run in one, variations of the images included."""
    x, y = images(64)

    def made():
        net = small_net(np.random.default_rng(0))
        trainer = Trainer(net, loss=SoftmaxCrossEntropy(), epochs=4, batch_size=16, seed=3,
                          topology=SparseMomentum(window=1, update_every=3))  # fmt: skip
        rng = trainer.rngs["augmentation"]
        return trainer, AugmentedSource(ArraySource(x), (1, 8, 8), "crop-flip", rng, padding=1)

    whole, source = made()
    whole.fit(source, y)

    class Break(Callback):
        def on_epoch_end(self, trainer, record):
            trainer.stop = trainer.epochs_done == 2

    first, source = made()
    first.callbacks.append(Break())
    first.fit(source, y)
    values, arrays = first.state()
    second, source = made()
    for name, parameter in second.network.parameters().items():
        old = first.network.parameters()[name]
        if isinstance(parameter, SparseParameter):
            parameter.pattern, parameter.grad = old.pattern, np.zeros_like(old.data)
        parameter.data = old.data.copy()
    for name, buffer in second.network.buffers().items():
        buffer[...] = first.network.buffers()[name]
    second.load_state({**values, "stop": False}, arrays, 64)
    second.fit(source, y)
    for a, b in zip(whole.network.parameters().values(), second.network.parameters().values(),
                    strict=True):  # fmt: skip
        np.testing.assert_array_equal(a.data, b.data)
