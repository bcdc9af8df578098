"""Linear layers whose rows stand in groups: as exact, and as frugal, as those whose rows do not."""

import itertools
from copy import deepcopy

import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.layers import BatchNorm, ReLU, Sequential, SparseLinear, Tanh
from sparsecpu.layers.linear_ways import lean_groups
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.optimizers import SGD, Adam
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context
from sparsecpu.trainer import Trainer


def chain(sizes, group, rng, density=0.3, between=ReLU, **options):
    """Linear layers of these sizes, with biases that are not 0 and activations between them."""
    layers = []
    for n_in, n_out in itertools.pairwise(sizes):
        linear = SparseLinear(n_in, n_out, density=density, group=group, rng=rng, **options)
        if linear.bias is not None:
            linear.bias.data[:] = rng.uniform(0.05, 0.2, n_out) * rng.choice([-1, 1], n_out)
        layers += [linear, between()]
    return Sequential(layers[:-1])


def row_by_row(network):
    """The same network on the same nonzeros, whose rows stand alone."""
    layers = []
    for layer in network.layers:
        if isinstance(layer, SparseLinear):
            pattern, bias = layer.weight.pattern, layer.bias
            alone = Pattern(pattern.shape, pattern.indptr, pattern.indices)
            weight = SparseParameter(alone, layer.weight.data, layer.weight.data.dtype)
            layer = SparseLinear.from_parameters(weight, None if bias is None else bias.data)
        layers.append(layer)
    return Sequential(layers)


def linear_layers(network):
    return [layer for layer in network.layers if isinstance(layer, SparseLinear)]


def central_difference(network, parameter, k, x, y, loss, step=1e-6):
    values = []
    for sign in (1, -1):
        parameter.data[k] += sign * step
        values.append(network.loss_and_gradients(x, y, loss)[0])
        parameter.data[k] -= sign * step
    return (values[0] - values[1]) / (2 * step)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("group", "batch", "density"), [(2, 17, 0.3), (4, 17, 0.05), (8, 17, 0.3), (4, 130, 0.3)]
)
def test_gradients(group, batch, density, bias, rng):
    """Ragged last groups, groups without columns, and a last layer of fewer rows than a group."""
    sizes = (9, 21, 14, 8 if bias else 3)
    network = chain(sizes, group, rng, density, bias=bias, dtype=np.float64)
    linear = linear_layers(network)
    assert all(layer.weight.pattern.group == group for layer in linear)
    if density < 0.1:
        assert 0 in linear[0].weight.pattern.groups.fan_in
    x, y = rng.standard_normal((batch, 9)), rng.integers(0, 3, batch)
    loss = SoftmaxCrossEntropy(0.1)
    _, gradients = network.loss_and_gradients(x, y, loss)
    for name, gradient in gradients.items():
        parameter = network.parameters()[name]
        for k in rng.permutation(len(gradient))[:12]:
            wanted = central_difference(network, parameter, k, x, y, loss)
            assert gradient[k] == pytest.approx(wanted, rel=2e-5, abs=2e-8), (name, k)


@pytest.mark.parametrize("group", [2, 4, 8])
@pytest.mark.parametrize("between", [ReLU, Tanh])
def test_the_same_network_without_groups(group, between, rng):
    network = chain((40, 53, 31, 5), group, rng, between=between)
    alone = row_by_row(network)
    x, y = rng.standard_normal((100, 40), dtype=np.float32), rng.integers(0, 5, 100)
    np.testing.assert_allclose(network.predict(x), alone.predict(x), atol=1e-5)
    loss, gradients = network.loss_and_gradients(x, y, SoftmaxCrossEntropy())
    wanted_loss, wanted = alone.loss_and_gradients(x, y, SoftmaxCrossEntropy())
    assert loss == pytest.approx(wanted_loss, rel=1e-6)
    for name, gradient in wanted.items():
        np.testing.assert_allclose(gradients[name], gradient, atol=1e-6)


def test_a_group_larger_than_the_layer_and_a_layer_of_one_row(rng):
    network = chain((6, 3, 1), 8, rng, 0.5, dtype=np.float64)
    x = rng.standard_normal((5, 6))
    np.testing.assert_allclose(network.predict(x), row_by_row(network).predict(x), atol=1e-12)


@pytest.mark.parametrize("batch", [32, 700])  # a tile or two, and many
def test_threads_change_no_bits(batch, rng):
    x, y = rng.standard_normal((1400, 60), dtype=np.float32), rng.integers(0, 5, 1400)
    found = []
    for threads in (1, 2):
        network = chain((60, 130, 70, 5), 4, np.random.default_rng(1))
        trainer = Trainer(network, loss=SoftmaxCrossEntropy(), optimizer=SGD(0.9), epochs=1,
                          batch_size=batch, threads=threads)  # fmt: skip
        trainer.fit(x[: 2 * batch], y[: 2 * batch])
        found.append([p.data for p in network.parameters().values()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_index_is_made_but_that_of_the_groups(rng):
    """Not one column by column, nor that of every nonzero, nor values in another order."""
    layers = [SparseLinear(300, 200, density=0.1, group=4, rng=rng), BatchNorm(200), ReLU(),
              SparseLinear(200, 10, density=0.3, group=2, rng=rng)]  # fmt: skip
    network = Sequential(layers)
    x, y = rng.standard_normal((64, 300), dtype=np.float32), rng.integers(0, 10, 64)
    Trainer(network, loss=SoftmaxCrossEntropy(), optimizer=SGD(0.9), batch_size=32,
            epochs=1).fit(x, y)  # fmt: skip
    for few in (x, x[:1]):
        network.predict(few)
        network.compile(len(few))(few)
    for layer in linear_layers(network):
        assert not {"indices", "transposed"} & layer.weight.pattern.__dict__.keys()
        assert not layer.weight.holds_transposed


@pytest.mark.parametrize("optimizer", [SGD(0.9, weight_decay=1e-3), Adam()])
def test_lean_training_has_the_same_bits(optimizer, rng, monkeypatch):
    """In slabs of a few groups; the last one has fewer rows."""
    x, y = rng.standard_normal((300, 60), dtype=np.float32), rng.integers(0, 5, 300)
    found, applied, apply = [], [], type(optimizer).apply

    def noted(self, parameter, places, *rest):
        applied.append(places)
        apply(self, parameter, places, *rest)

    monkeypatch.setattr(type(optimizer), "apply", noted)
    monkeypatch.setattr(lean_groups, "SLAB", 600)
    for lean in (False, True):
        network = chain((60, 131, 70, 5), 4, np.random.default_rng(1))
        Trainer(network, loss=SoftmaxCrossEntropy(), optimizer=deepcopy(optimizer), epochs=1,
                batch_size=150, threads=1 + lean, lean=lean).fit(x, y)  # fmt: skip
        found.append([p.data for p in network.parameters().values()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(applied) > 2 * len(linear_layers(network))
    assert max(places.stop - places.start for places in applied) <= 600
    assert "grad" not in network.layers[0].weight.vectors()


def test_gradients_of_other_tiles_are_refused(rng):
    layer = SparseLinear(8, 12, density=0.5, group=4, rng=rng)
    ctx = Context(train=True, n_valid=16)
    _, way = layer.forward(np.ones((1, 8, 16), np.float32), ctx)
    for dy in (np.ones((2, 12, 16), np.float32), np.ones((1, 12, 16))):
        with pytest.raises(ParameterError, match="shape of dy"):
            layer.backward(dy, way, ctx)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_blocks_of_columns_change_no_bits_of_outputs(precision, rng, monkeypatch):
    """However large the caches are: sums of y and dx have one order, block by block or at once."""
    x, dy = rng.standard_normal((48, 200), np.float32), rng.standard_normal((48, 40), np.float32)
    network = chain((200, 60, 40), 4, rng, density=0.5)
    found = []
    for count in (1, 3):
        monkeypatch.setattr("sparsecpu.sparse.row_blocks.RowIndex._block_count",
                            lambda index, row_bytes, in_groups, count=count: count)  # fmt: skip
        monkeypatch.setattr("sparsecpu.kernels.linear.grouped.blocks_of_dx",
                            lambda *_, count=count: count)  # fmt: skip
        ctx = Context(train=True, n_valid=48, precision=precision)
        y, saved = network.forward(network.gather(network.samples(x), np.arange(48), 16, ctx), ctx)
        found.append([y.copy(), network.backward(_tiles(dy), saved, ctx)])
        found[-1].append({name: p.grad.copy() for name, p in network.parameters().items()})
    assert len(network.layers[0].weight.pattern.groups.blocks(64, in_groups=True)[0]) == 3
    for one, several in zip(*(results[:2] for results in found), strict=True):
        np.testing.assert_array_equal(one, several)
    for name, dw in found[0][2].items():  # its tiles of columns end where a block does
        np.testing.assert_allclose(found[1][2][name], dw, rtol=1e-4, atol=1e-4)


def _tiles(dy):
    """Return features as tiles of 16 samples."""
    return np.ascontiguousarray(dy.reshape(-1, 16, dy.shape[1]).transpose(0, 2, 1))
