"""Compiled predictors: their numbers, their memory, and threads that share them."""

import threading
import tracemalloc

import numpy as np
import pytest

from sparsecpu.errors import DataError, ParameterError
from sparsecpu.layers import (
    AllReLU,
    Dropout,
    Flatten,
    Identity,
    LeakyReLU,
    ReLU,
    Sequential,
    SparseLinear,
    Tanh,
)
from sparsecpu.networks.description import mlp
from sparsecpu.networks.models import find_model


@pytest.mark.parametrize("batch", [1, 2, 17, 40])
@pytest.mark.parametrize("model", ["lenet-300-100", "resnet-8"])
def test_predictor(model, batch, rng):
    shape = (784,) if model == "lenet-300-100" else (3, 8, 8)
    network = find_model(model)(shape, 6).sparsify(0.1).build(rng)
    x = rng.standard_normal((40, *shape)).astype(np.float32)
    predict, wanted = network.compile(batch), network.predict(x)
    for start in range(0, 40, batch):
        got = predict(x[start : start + batch])
        np.testing.assert_allclose(got, wanted[start : start + batch], rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError):
        predict(np.concatenate([x, x])[: batch + 1])
    with pytest.raises(DataError):
        predict(x[:batch, :1])
    with pytest.raises(DataError):
        predict(x[:1], out=np.empty((1, 7), np.float32))
    for bad in (0, 1.5, True):
        with pytest.raises(ParameterError):
            network.compile(bad)


def test_a_predictor_reads_16_bits_where_asked(rng):
    from sparsecpu.kernels.machine.cpu import wide_vectors_pay

    if not wide_vectors_pay():
        pytest.skip("no wide vectors")
    network = mlp(256, (256,), 4).sparsify(0.3).build(rng)
    x = rng.standard_normal((128, 256)).astype(np.float32)
    exact, rough = network.compile(128)(x), network.compile(128, precision="bf16")(x)
    np.testing.assert_allclose(rough, exact, atol=0.02 * np.abs(exact).max())
    assert not np.array_equal(rough, exact)
    with pytest.raises(ParameterError):
        network.compile(128, precision="fp8")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("bias", "group"), [(True, 1), (False, 1), (True, 4), (False, 2)])
def test_a_chain_in_one_call_is_the_layers_one_by_one(dtype, bias, group, rng):
    def linear(n_in, n_out, group=1):
        return SparseLinear(n_in, n_out, density=0.2, bias=bias, group=group, rng=rng, dtype=dtype)

    network = Sequential([Flatten(), linear(60, 50), LeakyReLU(0.3), Dropout(0.5), linear(50, 40),
                          AllReLU(0.6, 2), linear(40, 33, group), ReLU(), Identity(),
                          linear(33, 7, group)],
                         input_shape=(3, 4, 5))  # fmt: skip
    for layer in network.layers[1::3]:
        if bias and hasattr(layer, "bias"):
            layer.bias.data[:] = rng.standard_normal(layer.out_features)
    x = rng.integers(0, 256, (9, 60)).astype(np.uint8)
    network.offset = np.full(60, 99, dtype)
    network.scale = rng.uniform(0.01, 0.02, 60).astype(dtype)
    predict = network.compile(2)
    assert predict._dots is not None
    wanted = network.predict(x)
    near = {"rtol": 1e-4, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-12}
    for rows in (x[:2], x[3:4], x[3:4].astype(float)):
        first = 0 if len(rows) == 2 else 3
        np.testing.assert_allclose(predict(rows), wanted[first : first + len(rows)], **near)
    wide = np.empty((2, 14), dtype)[:, ::2]  # the kernel writes contiguous rows
    predict(x[:2], out=wide)
    np.testing.assert_allclose(wide, predict(x[:2]), rtol=1e-4)


def test_a_predictor_sees_what_becomes_of_the_weights(rng):
    network = mlp(30, (40,), 5).sparsify(0.2).build(rng)
    x = rng.standard_normal((1, 30)).astype(np.float32)
    predict, layer = network.compile(1), network.layers[0]
    weight = layer.weight
    free = np.setdiff1d(np.arange(weight.pattern.size), weight.pattern.keys())

    def in_place():
        weight.data *= 1.5
        weight.touch()

    def replaced():
        weight.data = 2 * weight.data
        weight.touch()

    def another_bias():
        layer.bias.data = np.arange(40, dtype=np.float32)

    def rewired():
        weight.rewire_keys(np.array([0, 3]), free[5:6], {"data": np.array([0.7])})

    def dense():
        layer.form = "dense"

    for change in (in_place, replaced, another_bias, rewired, dense):
        before = predict(x)
        change()
        np.testing.assert_allclose(predict(x), network.predict(x), rtol=1e-5, atol=1e-6)
        assert change is dense or not np.allclose(predict(x), before)


@pytest.mark.parametrize(
    "layers",
    [
        lambda rng: [ReLU(), SparseLinear(6, 4, rng=rng)],
        lambda rng: [SparseLinear(6, 4, rng=rng), LeakyReLU(), ReLU()],
        lambda rng: [SparseLinear(6, 4, rng=rng), Tanh()],
        lambda rng: [SparseLinear(6, 4, rng=rng), Clipped()],
        lambda rng: [SparseLinear(300, 300, density=1, rng=rng)],
        lambda rng: [ReLU(), Dropout(0.1)],
    ],
)
def test_other_networks_are_predicted_layer_by_layer(layers, rng):
    layers = layers(rng)
    features = 300 if getattr(layers[0], "in_features", 6) == 300 else 6
    network = Sequential(layers, input_shape=(features,))
    predict, x = network.compile(1), 3 * rng.standard_normal((40, features)).astype(np.float32)
    assert predict._dots is None
    np.testing.assert_allclose(predict(x[5:6]), network.predict(x)[5:6], rtol=1e-5, atol=1e-6)


class Clipped(ReLU):
    """Not what its base class does: nobody may take it for a ReLU."""

    kind = ""

    def forward(self, x, ctx):
        return np.clip(x, 0, 0.5), None


@pytest.mark.parametrize("batch", [1, 64])
def test_a_predictor_allocates_no_arrays(batch, rng):
    network = Sequential([SparseLinear(3000, 2000, density=0.01, rng=rng), ReLU(),
                          SparseLinear(2000, 40, density=0.1, rng=rng)])  # fmt: skip
    predict = network.compile(batch)
    x = rng.standard_normal((batch, 3000)).astype(np.float32)
    out = np.empty((batch, 40), np.float32)
    for _ in range(3):
        predict(x, out=out)
    tracemalloc.start()
    for _ in range(5):
        predict(x, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000  # a single sample of the first layer's output has as many bytes


@pytest.mark.parametrize("batch", [1, 20])
def test_threads_share_a_predictor(batch, rng):
    network = mlp(200, (300, 300), 10).sparsify(0.6).build(rng)  # the last layer is full
    predict = network.compile(batch)
    x = rng.standard_normal((8, batch, 200)).astype(np.float32)
    wanted = [predict(part).copy() for part in x]
    wrong = []

    def ask(part, right):
        wrong.extend(1 for _ in range(50) if not np.array_equal(predict(part), right))

    threads = [threading.Thread(target=ask, args=pair) for pair in zip(x, wanted, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_blas_gets_its_threads_back():
    from threadpoolctl import threadpool_info

    from sparsecpu.kernels.machine.blas import one_blas_thread

    def numbers():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    np.ones((2, 2)) @ np.ones((2, 2))
    before, inside = numbers(), threading.Event()
    leave = threading.Event()

    def hold():
        with one_blas_thread():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=hold)
    with one_blas_thread():
        thread.start()
        inside.wait()
        assert set(numbers()) <= {1}
    leave.set()
    thread.join()
    assert numbers() == before
    with one_blas_thread(), one_blas_thread():
        assert set(numbers()) <= {1}
    assert numbers() == before
