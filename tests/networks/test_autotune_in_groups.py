"""Layers in groups have a dense form too; which rows share columns, autotune leaves alone."""

import numpy as np
import pytest

from sparsecpu.layers import set_forms, tunable_layers
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import mlp


def test_forms_of_layers_in_groups_compute_the_same(rng):
    described = mlp(20, (22, 13), 7).sparsify(0.4, "uniform").in_groups([4, 4, 1])
    network = described.build(rng)
    x, y = rng.standard_normal((19, 20)), rng.integers(0, 7, 19)
    wanted, gradients = network.loss_and_gradients(x, y, SoftmaxCrossEntropy())
    set_forms(network, {name: "dense" for name, _ in tunable_layers(network)})
    found, others = network.loss_and_gradients(x, y, SoftmaxCrossEntropy())
    assert found == pytest.approx(wanted, rel=1e-5)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(others[name], gradient, atol=1e-5)


def test_autotune_chooses_forms_alone(rng, monkeypatch):
    times = iter([{"sparse": 2.0, "dense": 1.0}, {"sparse": 1.0, "dense": 2.0}])
    monkeypatch.setattr("sparsecpu.layers.network.autotune.race", lambda *args: next(times))
    network = mlp(20, (24,), 8, group=4).sparsify(0.4, "uniform").build(rng)
    patterns = [p.pattern for p in network.sparse_parameters().values()]
    choices = network.autotune(16, threads=1)
    assert [(choice.form, choice.group) for choice in choices] == [("dense", 4), ("sparse", 4)]
    assert "in groups of 4" in str(choices[0])
    assert [p.pattern for p in network.sparse_parameters().values()] == patterns
