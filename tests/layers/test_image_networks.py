"""Networks over images: layers around convolutions, models, topology, the estimator."""

import naive
import numpy as np
import pytest
from small import filters_of

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
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace
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
    for name in ("_FEW_TAPS", "_FEW_POINTS"):
        monkeypatch.setattr(sparse_convolution, name, -1)
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
