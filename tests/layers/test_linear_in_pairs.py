"""Layers in groups that multiply bf16 numbers in pairs: near float32, and as reliable."""

import naive
import numpy as np
import pytest

from sparsecpu.callbacks import Callback
from sparsecpu.kernels.machine import cpu
from sparsecpu.layers import ReLU, Sequential, SparseLinear, Spec
from sparsecpu.layers.linear_ways import choose_way, grouped_pairs
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.optimizers import SGD
from sparsecpu.step.context import Context
from sparsecpu.trainer import Trainer

pytestmark = pytest.mark.skipif(
    not cpu._compiles_for("avx512bf16"), reason="needs a CPU with AVX512-BF16"
)
#: Two factors, each off by half of its last of 8 bits at most.
ROUNDING = 2.02 * 2.0**-8


@pytest.fixture(autouse=True)
def pairs(monkeypatch):
    """Choose them on this CPU, too."""
    monkeypatch.setattr(grouped_pairs, "bf16_products", lambda: "pairs")


def within(found, wanted, sizes):
    assert (np.abs(found - wanted) <= ROUNDING * sizes + 1e-4).all()
    assert np.abs(found - wanted).max() > 1e-4  # rounded they are


def test_gradients_are_near_those_of_float32(rng):
    layer, batch = SparseLinear(50, 43, density=0.4, group=4, rng=rng), 130
    layer.bias.data[:] = rng.standard_normal(43)
    layer.plan(Spec((50,), needs_gradient=True))
    x, dy = (rng.standard_normal((batch, n), dtype=np.float32) for n in (50, 43))
    ctx = Context(train=True, n_valid=batch, precision="bf16")
    tiles = naive.to_tiles(x, 64), naive.to_tiles(dy, 64)
    before = [tile.copy() for tile in tiles]
    y, way = layer.forward(tiles[0], ctx)
    dx = layer.backward(tiles[1], way, ctx)
    assert type(way) is grouped_pairs.GroupedPairs
    p = layer.weight.pattern
    w = naive.dense(p.shape, p.indptr, p.indices, layer.weight.data)
    within(naive.from_tiles(y, batch), naive.linear(w, layer.bias.data, x), abs(x) @ abs(w).T)
    wanted_dx, wanted_dw, db = naive.linear_backward(w, x, dy)
    within(naive.from_tiles(dx, batch), wanted_dx, abs(dy) @ abs(w))
    sizes = naive.at_nonzeros(abs(dy).T @ abs(x), p.indptr, p.indices)
    within(layer.weight.grad, naive.at_nonzeros(wanted_dw, p.indptr, p.indices), sizes)
    np.testing.assert_allclose(layer.bias.grad, db, atol=1e-4)  # never rounded to bf16
    for tile, old in zip(tiles, before, strict=True):
        np.testing.assert_array_equal(tile, old)


@pytest.mark.parametrize(
    ("options", "lanes", "precision"),
    [({"group": 2}, 64, "bf16"), ({"group": 4}, 16, "bf16"), ({"group": 4}, 64, "fp32"),
     ({"group": 4, "density": 0.1}, 64, "bf16")],
)  # fmt: skip
def test_other_layers_compute_as_before(options, lanes, precision, rng):
    """Small groups, few samples, other precisions, and too few products to round for."""
    layer = SparseLinear(50, 43, **{"density": 0.4, **options}, rng=rng)
    layer.plan(Spec((50,)))
    x = naive.to_tiles(rng.standard_normal((lanes, 50), dtype=np.float32), lanes)
    ctx = Context(train=True, n_valid=lanes, precision=precision)
    assert type(choose_way(layer, x, ctx)) is not grouped_pairs.GroupedPairs


def network_of(rng):
    first = SparseLinear(60, 131, density=0.4, group=4, rng=rng)
    return Sequential([first, ReLU(), SparseLinear(131, 70, density=0.3, group=4, rng=rng), ReLU(),
                       SparseLinear(70, 5, density=0.5, group=4, rng=rng)])  # fmt: skip


def make_trainer(threads=1, callbacks=()):
    return Trainer(network_of(np.random.default_rng(1)), loss=SoftmaxCrossEntropy(), epochs=3,
                   optimizer=SGD(0.9), batch_size=64, threads=threads, precision="bf16",
                   callbacks=callbacks)  # fmt: skip


class StopAfter(Callback):
    def __init__(self, steps):
        self.steps = steps

    def on_step(self, trainer, loss):
        if trainer.steps_done == self.steps:
            trainer.interrupted = True


def test_threads_and_resuming_change_no_bits(rng):
    x, y = rng.standard_normal((320, 60), dtype=np.float32), rng.integers(0, 5, 320)
    one, two = make_trainer(1).fit(x, y), make_trainer(2).fit(x, y)
    broken = make_trainer(1, [StopAfter(7)]).fit(x, y)
    assert broken.steps_done == 7
    resumed = make_trainer(2)
    resumed.network = broken.network
    resumed.load_state(*broken.state(), len(x))
    resumed.fit(x, y)
    for name, parameter in one.network.parameters().items():
        for other in (two, resumed):
            found = other.network.parameters()[name]
            np.testing.assert_array_equal(found.data, parameter.data, err_msg=name)
