"""Ten steps of training, beside the losses that PyTorch had in the same steps."""

import json
from pathlib import Path

import numpy as np
import pytest
import replay
from scipy.sparse import csr_array

from sparsecpu.callbacks import Callback
from sparsecpu.layers import (
    BatchNorm,
    Flatten,
    MaxPool2d,
    ReLU,
    Sequential,
    SparseConv2d,
    SparseLinear,
)
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.optimizers import SGD, Adam
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.trainer import Trainer

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "torch_losses.json").read_text())


def convolution(filters):
    n_out, n_in, size, _ = filters.shape
    parameter = SparseParameter.from_scipy(csr_array(filters.reshape(n_out, -1)))
    layer = SparseConv2d(n_in, n_out, size, padding=1, pattern=parameter.pattern)
    layer.weight.data[:] = parameter.data
    layer.weight.touch()
    return layer


OURS = {
    "linear": lambda weights: SparseLinear.from_scipy(csr_array(weights), np.zeros(len(weights))),
    "conv": convolution,
    "batch_norm": BatchNorm,
    "relu": lambda _: ReLU(),
    "max_pool": MaxPool2d,
    "flatten": lambda _: Flatten(),
}


@pytest.mark.parametrize("case", RECORDED["losses"])
def test_ten_losses_are_pytorchs(case):
    network, optimizer = case.split()
    shape, layers, x, y = replay.steps_of(network)
    options = dict(replay.OPTIMIZERS[optimizer])
    losses = []

    class Record(Callback):
        def on_step(self, trainer, loss):
            losses.append(loss)

    Trainer(
        Sequential([OURS[kind](given) for kind, given in layers], shape),
        loss=SoftmaxCrossEntropy(replay.SMOOTHING),
        learning_rate=options.pop("learning_rate"),
        optimizer={"sgd": SGD, "adamw": Adam}[optimizer](**options),
        batch_size=replay.BATCH,
        epochs=1,
        shuffle=False,
        callbacks=[Record()],
    ).fit(x.reshape(len(x), -1), y)
    np.testing.assert_allclose(losses, RECORDED["losses"][case], rtol=1e-5)
