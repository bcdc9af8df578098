"""Arguments of the wrong kind are refused where they are given, not deep inside."""

import contextlib

import numpy as np
import pytest

from sparsecpu import layers, losses
from sparsecpu.errors import ParameterError
from sparsecpu.layers import Parallel, Residual, Sequential, SparseConv2d, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.trainer import Trainer

TABLE = np.ones((2, 2))
WRONG = [None, "x", 3, 2.5, object(), TABLE, [None], {"a": 3}, float("nan"), int, [[3]], b"x", 1j]
KINDS = {
    "AllReLU": [("alpha", {"layer": 2}), ("layer", {})],
    "BatchNorm": [("features", {}), ("dtype", {"features": 3})],
    "GELU": [("approximate", {})],
    "LayerNorm": [(name, {"features": 3}) for name in ("epsilon", "dtype")],
    "RMSNorm": [("features", {})],
    "Subsample": [("channels", {}), ("stride", {"channels": 2})],
    "SparseLinear": [(name, {"in_features": 4, "out_features": 3})
                     for name in ("bias", "fan", "dtype", "density", "rng", "pattern")],
    "SparseConv2d": [(name, {"in_channels": 1, "out_channels": 3, "kernel_size": 3})
                     for name in ("bias", "fan", "stride", "padding", "groups")],
    "Sequential": [("layers", {})],
    "Residual": [("branch", {}), ("shortcut", {"branch": [SparseConv2d(1, 1, 1)]})],
    "Parallel": [("branches", {})],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_constructors_refuse_what_they_cannot_mean(kind):
    for name, others in KINDS[kind]:
        for value in (*WRONG, {"a": [3]}):
            with contextlib.suppress(ParameterError):  # and nothing else
                getattr(layers, kind)(**others, **{name: value})


@pytest.mark.parametrize("make", [lambda: Residual(3), lambda: Sequential(3), lambda: Parallel(3),
                                  lambda: Parallel([3]), lambda: Residual(SparseConv2d(1, 1, 1)),
                                  lambda: SparseLinear(4, 3, bias=TABLE),
                                  lambda: SparseLinear(4, 3, bias="no")])  # fmt: skip
def test_lists_of_layers_are_lists(make):
    with pytest.raises(ParameterError):
        make()


@pytest.mark.parametrize("loss", [None, "mse", SoftmaxCrossEntropy, losses])
def test_a_loss_is_a_loss_and_a_network_a_network(loss):
    network = Sequential([SparseLinear(4, 3)])
    with pytest.raises(ParameterError, match="loss"):
        network.loss_and_gradients(np.ones((2, 4)), np.zeros(2, int), loss)
    with pytest.raises(ParameterError, match="network"):
        Trainer(loss, loss=SoftmaxCrossEntropy())


def test_a_bias_is_there_or_not():
    assert SparseLinear(4, 3, bias=np.False_).bias is None
    assert SparseLinear(4, 3, bias=True).bias is not None
