"""Whole networks of images: the models of papers, saved, rewired, and as an estimator."""

import math
import pickle
import threading
import tracemalloc

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from small import images, small_net

from sparsecpu import SparseCNNClassifier
from sparsecpu.errors import DataError, ParameterError
from sparsecpu.experiments.networks import describe
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.files.model import load, save
from sparsecpu.layers import (
    BatchNorm,
    GlobalAvgPool2d,
    ReLU,
    Sequential,
    SparseConv2d,
    SparseLinear,
)
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import Architecture, LayerSpec
from sparsecpu.networks.models import find_model
from sparsecpu.topology import SparseMomentum
from sparsecpu.trainer import Trainer


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
    """1280 channels on 4 x 4 pixels: all memory together stays below the dense filters'."""

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

    train(1280)  # imports and compiles outside of the trace
    tracemalloc.start()
    train(1280)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1280 * 1280 * 9 * 4


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
