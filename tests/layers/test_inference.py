"""Prediction of few samples, and predictors for services."""

import threading
import tracemalloc

import naive
import numpy as np
import pytest

from sparsecpu.errors import DataError, ParameterError
from sparsecpu.kernels.linear.group_dots import group_dots_kernel, plain_group_dots
from sparsecpu.kernels.linear.row_dots import row_dots
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
from sparsecpu.sparse.pattern import Pattern


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("samples", [1, 2, 5])
def test_row_dots(dtype, relu, density, samples, rng):
    pattern = Pattern.random((37, 53), round(density * 37 * 53), rng)
    data, x = rng.standard_normal(pattern.nnz).astype(dtype), rng.standard_normal((samples, 53))
    bias, y = rng.standard_normal(37).astype(dtype), np.empty((samples, 37), dtype)
    x = x.astype(dtype)
    row_dots(pattern.indptr, pattern.indices, data, x, bias, y, relu, pattern.chunks)
    matrix = naive.dense(pattern.shape, pattern.indptr, pattern.indices, data)
    wanted = naive.linear(matrix, bias, x)
    wanted = np.maximum(wanted, 0) if relu else wanted
    np.testing.assert_allclose(y, wanted, atol=2e-5 if dtype == np.float32 else 1e-12)
    row_dots(pattern.indptr, pattern.indices, data, x, bias[:0], y, False, pattern.chunks)
    wanted = naive.linear(matrix, 0 * bias, x)
    np.testing.assert_allclose(y, wanted, atol=2e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("group", [2, 4, 8])
@pytest.mark.parametrize(("rows", "nnz"), [(37, 600), (3, 25), (8, 0)])
def test_group_dots(dtype, group, rows, nnz, rng):
    """Of columns that fill vectors, and of what is left; the last group has other rows."""
    pattern = Pattern.random((rows, 53), nnz, rng, group=group)
    shared, data = pattern.groups, rng.standard_normal(pattern.nnz).astype(dtype)
    x, bias = (rng.standard_normal(n).astype(dtype) for n in ((3, 53), rows))
    x[1, 7], y, kernel = np.inf, np.empty((3, rows), dtype), group_dots_kernel()
    index, near = (shared.indptr, shared.indices), 2e-5 if dtype == np.float32 else 1e-12
    for relu, biases in ((False, bias), (True, bias), (False, bias[:0])):
        kernel(group, *index, data, x, biases, y, relu, np.unique([0, 1, shared.shape[0]]))
        for sample in range(3):
            wanted = plain_group_dots(group, *index, data, x[sample], biases if len(biases)
                                      else 0 * bias)  # fmt: skip
            wanted = np.where(relu & (wanted < 0), 0, wanted)
            np.testing.assert_allclose(y[sample], wanted, atol=near)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "leaky_relu", "sigmoid"])
@pytest.mark.parametrize("density", [0.2, 1.0])
def test_one_sample_is_predicted_as_many_are(activation, density, rng):
    network = mlp(300, (260, 31), 4, activation=activation, batch_norm=True, dropout=0.3)
    network = network.sparsify(density).build(rng, dtype=np.float64)
    for buffer in network.buffers().values():
        buffer[...] = rng.uniform(0.5, 1, buffer.shape)
    x = rng.integers(0, 256, (40, 300)).astype(np.uint8)
    network.offset, network.scale = np.full(300, 128.0), rng.uniform(0.005, 0.01, 300)
    many = network.predict(x)
    assert network.lanes_to_predict(1) == 1
    for rows in (x[:1], x[:2], x[:1].astype(float), [list(map(float, x[0]))]):
        few = network.predict(rows)
        np.testing.assert_allclose(few, many[: len(few)], rtol=1e-12, atol=1e-12)


def test_predicting_nothing(rng):
    network = mlp(5, (4,), 3).build(rng)
    assert network.predict(np.empty((0, 5))).shape == (0, 3)
    assert network.compile(2)(np.empty((0, 5))).shape == (0, 3)


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


@pytest.mark.parametrize(("form", "width"), [("sparse", 260), ("sparse", 50), ("dense", 260)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_full_layers_predict_the_same_bits_in_any_company(dtype, form, width, rng):
    from sparsecpu.kernels.machine.threads import available_threads, use_threads
    from sparsecpu.layers import tunable_layers

    described = mlp(300, (width, 31), 4).sparsify(1.0 if form == "sparse" else 0.4)
    network = described.build(rng, dtype=dtype)
    for _, layer in tunable_layers(network):
        layer.form = form
        layer.bias.data[:] = rng.standard_normal(layer.out_features)
    x = rng.standard_normal((150, 300)).astype(dtype)
    with use_threads(min(2, available_threads())):
        alone = network.predict(x)
    for count in (1, 2, 3, 17, 33, 65, 129):
        np.testing.assert_array_equal(network.predict(x[:count]), alone[:count])
        np.testing.assert_array_equal(network.predict(x[-count:]), alone[-count:])
        np.testing.assert_array_equal(network.compile(count)(x[:count]), alone[:count])
    np.testing.assert_array_equal(network.predict(x, batch_size=40), alone)


@pytest.mark.parametrize("samples", [1, 2, 40])
def test_threads_change_no_bit_of_a_prediction(samples, rng):
    from sparsecpu.kernels.machine.threads import available_threads, use_threads

    network = mlp(300, (200, 31), 4).sparsify(0.3).build(rng)
    x = rng.standard_normal((samples, 300)).astype(np.float32)
    compiled, predicted = [], []
    for threads in (1, min(2, available_threads()), None):
        compiled.append(network.compile(samples, threads=threads)(x))
        with use_threads(threads):
            predicted.append(network.predict(x))
    for found in (compiled, predicted):  # whose sums may have another order
        for other in found[1:]:
            np.testing.assert_array_equal(other, found[0])
    np.testing.assert_allclose(compiled[0], predicted[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ParameterError, match="threads"):
        network.compile(samples, threads=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dense_form_computes_the_same(dtype, rng):
    from sparsecpu.layers import tunable_layers
    from sparsecpu.losses import SoftmaxCrossEntropy

    network = mlp(30, (41, 7), 3).sparsify(0.4).build(rng, dtype=dtype)
    x, y = rng.standard_normal((37, 30)), rng.integers(0, 3, 37)
    loss = SoftmaxCrossEntropy()
    wanted, gradients = network.loss_and_gradients(x, y, loss)
    outputs = network.predict(x)
    for _, layer in tunable_layers(network):
        layer.form = "dense"
    for turn in range(2):  # the second one on another pattern
        got, found = network.loss_and_gradients(x, y, loss)
        tolerance = dict(rtol=1e-4, atol=1e-6) if dtype == np.float32 else dict(rtol=1e-10)
        assert got == pytest.approx(wanted, rel=1e-5)
        for name, gradient in gradients.items():
            np.testing.assert_allclose(found[name], gradient, **tolerance)
        np.testing.assert_allclose(network.predict(x), outputs, **tolerance)
        np.testing.assert_allclose(network.predict(x[:1]), outputs[:1], **tolerance)
        np.testing.assert_allclose(network.compile(5)(x[:5]), outputs[:5], **tolerance)
        if turn == 0:
            for _, layer in tunable_layers(network):
                free = np.setdiff1d(
                    np.arange(layer.weight.pattern.size), layer.weight.pattern.keys()
                )
                come = free[5:6]  # none, where a layer is all but full
                first = {"data": np.full(len(come), 0.7)}
                layer.weight.rewire_keys(np.array([0, 3]), come, first)
                layer.form = "sparse"
            wanted, gradients = network.loss_and_gradients(x, y, loss)
            outputs = network.predict(x)
            for _, layer in tunable_layers(network):
                layer.form = "dense"


def test_autotune_times_both_and_keeps_the_faster(rng, monkeypatch):
    from sparsecpu.layers import set_forms, tunable_layers

    monkeypatch.setattr("sparsecpu.layers.network.autotune._SECONDS", 0.05)
    network = find_model("lenet-5-caffe")((1, 28, 28), 10).sparsify(0.05).build(rng)
    gradients = {name: p.grad.copy() for name, p in network.parameters().items()}
    choices = network.autotune(32, threads=1)
    assert [choice.name for choice in choices] == [name for name, _ in tunable_layers(network)]
    for choice, (_, layer) in zip(choices, tunable_layers(network), strict=True):
        faster = "dense" if choice.dense_ms < choice.sparse_ms else "sparse"
        assert choice.form == layer.form == faster
        assert str(choice).endswith(faster)
    for name, p in network.parameters().items():
        np.testing.assert_array_equal(p.grad, gradients[name])
    set_forms(network, {choices[0].name: "dense"})
    assert dict(tunable_layers(network))[choices[0].name].form == "dense"
    for bad in ({"99": "dense"}, {choices[0].name: "x"}):
        with pytest.raises(ParameterError):
            set_forms(network, bad)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"),
    [(3, 1, 1, (7, 9)), (3, 2, 1, (8, 7)), (1, 1, 0, (5, 5)), (5, 2, 0, (9, 8)),
     ((3, 1), (1, 2), (0, 1), (6, 7))],
)  # fmt: skip
@pytest.mark.parametrize("density", [0.4, 1.0])
def test_dense_form_of_convolutions_computes_the_same(kernel, stride, padding, size, density, rng):
    from sparsecpu.layers import tunable_layers
    from sparsecpu.losses import SoftmaxCrossEntropy
    from sparsecpu.networks.description import Architecture, LayerSpec

    conv = {"out_channels": 6, "kernel_size": kernel, "stride": stride, "padding": padding}
    same = {"out_channels": 5, "kernel_size": 3, "padding": 1}
    layers = [LayerSpec("conv2d", same), LayerSpec("batch_norm"), LayerSpec("relu"),
              LayerSpec("conv2d", conv), LayerSpec("relu"), LayerSpec("conv2d", same),
              LayerSpec("batch_norm"), LayerSpec("flatten"),
              LayerSpec("linear", {"out_features": 3})]  # fmt: skip
    network = Architecture((2, *size), tuple(layers)).sparsify(density).build(rng, dtype=float)
    x, y = rng.standard_normal((19, 2, *size)), rng.integers(0, 3, 19)
    loss = SoftmaxCrossEntropy()
    wanted, gradients = network.loss_and_gradients(x, y, loss)
    outputs = network.predict(x)
    again = {name: buffer.copy() for name, buffer in network.buffers().items()}
    assert len(list(tunable_layers(network))) == 4
    for _, layer in tunable_layers(network):
        layer.form = "dense"
    got, found = network.loss_and_gradients(x, y, loss)
    assert got == pytest.approx(wanted, rel=1e-10)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-8, atol=1e-12)
    for name, buffer in again.items():
        network.buffers()[name][...] = buffer
    np.testing.assert_allclose(network.predict(x), outputs, rtol=1e-10, atol=1e-12)
    for _, layer in tunable_layers(network):
        layer.form = "sparse"
    np.testing.assert_array_equal(network.predict(x), outputs)
