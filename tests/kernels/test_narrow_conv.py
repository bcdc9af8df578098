"""Convolutions whose rings hold 16-bit numbers, against plain twins on rounded ones."""

import naive
import numpy as np
import pytest
from small import filters_of, made

from sparsecpu.callbacks import History
from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.layers import (
    BatchNorm,
    GlobalAvgPool2d,
    ReLU,
    Sequential,
    SparseConv2d,
    SparseLinear,
)
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace
from sparsecpu.trainer import Trainer

CASES = [
    # kernel, stride, padding, groups, image, batch, lanes, precision
    (3, 1, 1, 1, (9, 7), 17, 16, "bf16"),
    (5, 2, 2, 2, (9, 15), 3, 16, "bf16"),
    (3, 1, 1, 1, (4, 4), 40, 16, "bf16"),
    (3, 2, 1, 1, (5, 15), 3, 16, "fp16"),
]
#: What rounding a number, and its neighbour in a pair, may change it by.
SLACK = {"bf16": 2.0**-7, "fp16": 2.0**-11}


def run(layer, x, dy, lanes, precision):
    ctx = Context(Workspace(), train=True, n_valid=len(x), precision=precision)
    y, saved = layer.forward(naive.to_planes(x, lanes), ctx)
    out = naive.from_planes(y.values, len(x)).copy()
    dx = layer.backward(naive.to_planes(dy, lanes), saved, ctx)
    return out, naive.from_planes(dx.values, len(x)).copy(), layer.weight.grad.copy()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rings_of_16_bits(case, rng):
    kernel, stride, padding, groups, size, batch, lanes, precision = case
    layer = made((4, 8), kernel, size, stride=stride, padding=padding, groups=groups,
                 density=0.9, dtype=np.float32)  # fmt: skip
    x = rng.standard_normal((batch, 4, *size)).astype(np.float32)
    x[x < -1] = 0
    (sy, sx), (py, px) = layer.stride, layer.padding
    high = (size[0] + 2 * py - layer.kernel[0]) // sy + 1
    wide = (size[1] + 2 * px - layer.kernel[1]) // sx + 1
    dy = rng.standard_normal((batch, 8, high, wide)).astype(np.float32)
    w, settings = filters_of(layer), (layer.stride, layer.padding, layer.groups)

    def wanted(x, w, dy):
        dx, dw, _ = naive.conv2d_backward(x, w, dy, *settings)
        p = layer.weight.pattern
        flat = naive.at_nonzeros(dw.reshape(p.shape), p.indptr, p.indices)
        return naive.conv2d(x, w, np.zeros(8), *settings), dx, flat

    layer.bias.data[:] = 0
    found = run(layer, x, dy, lanes, precision)
    sizes = wanted(np.abs(x), np.abs(w), np.abs(dy))
    exact = run(layer, x, dy, lanes, "fp32")
    for got, plain, want, size_, form in zip(
        found, exact, wanted(x, w, dy), sizes, (precision, "bf16", precision), strict=True
    ):
        assert (np.abs(got - want) <= SLACK[form] * size_ + 1e-4).all()
        assert (np.abs(plain - want) <= 1e-5 * size_ + 1e-5).all()
        assert not np.array_equal(got, plain)  # 16 bits were used at all


def test_threads_do_not_matter_with_16_bits(rng):
    layer = made((6, 10), 3, (12, 8), padding=1, dtype=np.float32)
    x = rng.standard_normal((70, 6, 12, 8)).astype(np.float32)
    dy = rng.standard_normal((70, 10, 12, 8)).astype(np.float32)
    results = []
    for threads in (1, 2):
        with use_threads(threads):
            results.append(run(layer, x, dy, 16, "bf16"))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_numbers_that_are_rarely_read_stay_in_32_bits(rng):
    layer = SparseConv2d(8, 8, 1, density=0.3, rng=rng)
    assert layer.sparse.precision("bf16") == "fp32"


def test_training_with_16_bits_follows_training_with_32():
    """BatchNorm and ReLU are applied while rings are packed; losses stay close together."""
    rng = np.random.default_rng(2)
    y = rng.integers(0, 4, 96)
    x = rng.random((96, 2, 8, 8), dtype=np.float32) + np.eye(4)[y][:, None, :, None].repeat(2, 2)
    losses = {}
    for precision in ("fp32", "bf16"):
        rng = np.random.default_rng(0)
        network = Sequential(
            [SparseConv2d(2, 8, 3, padding=1, density=0.9, rng=rng, bias=False), BatchNorm(8),
             ReLU(), SparseConv2d(8, 8, 3, padding=1, density=0.5, rng=rng, bias=False),
             BatchNorm(8), ReLU(), GlobalAvgPool2d(), SparseLinear(8, 4, density=1.0, rng=rng)],
            (2, 8, 8),
        )  # fmt: skip
        trainer = Trainer(network, loss=SoftmaxCrossEntropy(), epochs=8, batch_size=32,
                          learning_rate=0.05, precision=precision)  # fmt: skip
        history = History()
        trainer.callbacks.append(history)
        trainer.fit(x.reshape(96, -1), y)
        losses[precision] = [record["loss"] for record in history.records]
    assert losses["fp32"][-1] < 0.9 * losses["fp32"][0]
    assert losses["bf16"] != losses["fp32"]
    np.testing.assert_allclose(losses["bf16"], losses["fp32"], rtol=0.1)
