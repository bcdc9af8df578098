"""Networks over images: layers around convolutions, models, topology, the estimator."""

import math
import pickle
import threading
import tracemalloc

import naive
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from small import filters_of, images, small_net

from sparsecpu import SparseCNNClassifier
from sparsecpu.errors import DataError, ParameterError
from sparsecpu.experiments.networks import describe
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.files.model import load, save
from sparsecpu.layers import (
    AvgPool2d,
    BatchNorm,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    MaxPool2d,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    SparseConv2d,
    SparseLinear,
    Spec,
    Subsample,
)
from sparsecpu.layers.images import sparse_convolution
from sparsecpu.layers.images.planes import Planes
from sparsecpu.losses import SoftmaxCrossEntropy, SquaredError
from sparsecpu.networks.description import Architecture, LayerSpec
from sparsecpu.networks.models import find_model
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace
from sparsecpu.topology import SparseMomentum
from sparsecpu.trainer import Trainer


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


def network(rng, *, fused=True, group=1):
    """Return a small network with every kind of connection, in float64."""
    D = np.float64

    def conv(i, o, k, **options):
        return SparseConv2d(i, o, k, density=0.6, rng=rng, dtype=D, group=group, **options)

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
        Parallel([[conv(6, 6, 3, padding=1)], [conv(6, 6, 1, bias=False), *gap(), ReLU()], []]),
        *gap(), norm(6), ReLU(), *gap(),
        Residual([conv(6, 8, 3, stride=2, padding=1), norm(8)], [Subsample(8, 2)]), *gap(), ReLU(),
        *gap(), AvgPool2d(1), GlobalAvgPool2d(), SparseLinear(8, 3, density=0.9, rng=rng, dtype=D),
    ]  # fmt: skip
    return Sequential(layers, (2, 11, 10))


@pytest.fixture(params=[1, 4])
def group(request, monkeypatch):
    """How many filters share their taps; none of these layers has few of them."""
    monkeypatch.setattr(sparse_convolution, "_FEW_TAPS", -1)
    return request.param


def test_fused_and_materialised_networks_agree(group):
    a, b = (network(np.random.default_rng(5), fused=way, group=group) for way in (True, False))
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
def test_gradients_by_central_differences(train, group):
    net = network(np.random.default_rng(5), group=group)
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


def test_branches_may_make_features_of_images_and_need_no_gradient(rng):
    """The first layer's input has no gradient; what comes out is no image any more."""
    conv = SparseConv2d(1, 3, 3, stride=2, density=1.0, rng=rng, dtype=np.float64)
    other = SparseConv2d(1, 3, 1, density=1.0, rng=rng, dtype=np.float64)
    block = Parallel([[conv, GlobalAvgPool2d()], [other, GlobalAvgPool2d()]])
    net = Sequential([block], (1, 5, 6))
    x, target = rng.standard_normal((3, 30)), rng.standard_normal((3, 3))
    images = x.reshape(3, 1, 5, 6)
    means = [
        naive.conv2d(images, filters_of(c), c.bias.data, c.stride, (0, 0), 1).mean(axis=(2, 3))
        for c in (conv, other)
    ]
    np.testing.assert_allclose(net.predict(x), sum(means), atol=1e-12)
    _, gradients = net.loss_and_gradients(x, target, SquaredError())
    bias = gradients["0.branches.0.0.bias"]
    np.testing.assert_allclose(bias, gradients["0.branches.1.0.bias"], atol=1e-12)
    assert np.abs(bias).min() > 0


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
            describe(Recipe(model=bad), colour, 10)


@pytest.mark.parametrize("samples", [1, 96])
def test_two_threads_predict_with_one_network(samples):
    """Also the very first time, when what a network makes only once is made."""
    x = images(2 * samples)[0].reshape(2, samples, -1)
    alone = small_net(np.random.default_rng(0))
    wanted, right = [alone.predict(part) for part in x], []
    for _ in range(5):
        net, together = small_net(np.random.default_rng(0)), threading.Barrier(2, timeout=60)

        def ask(k, net=net, together=together):
            together.wait()
            found = [net.predict(x[k]) for _ in range(10)]
            right.extend(np.array_equal(answer, wanted[k]) for answer in found)

        threads = [threading.Thread(target=ask, args=(k,)) for k in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert right == [True] * 100


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
