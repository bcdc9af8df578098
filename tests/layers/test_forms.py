"""Layers in sparse and in dense form, and which of them is faster."""

import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.networks.description import mlp
from sparsecpu.networks.models import find_model


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
