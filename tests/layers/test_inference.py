"""Prediction of few samples, and predictors for services."""

import naive
import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.linear.group_dots import group_dots_kernel, plain_group_dots
from sparsecpu.kernels.linear.row_dots import row_dots
from sparsecpu.networks.description import mlp
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
