"""Names, options and schedules of the algorithms."""

import numpy as np
import pytest
from rewiring import blobs, make_network

from sparsecpu.errors import ParameterError
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.optimizers import SGD
from sparsecpu.topology import (
    DSR,
    SET,
    TOPOLOGIES,
    DeepR,
    GuidedStochasticExploration,
    RigL,
    SparseMomentum,
    make_topology,
)
from sparsecpu.trainer import Trainer


def test_options_are_checked():
    for bad in (
        dict(prune_rate=0),
        dict(prune_rate=1.0),
        dict(decay="exp"),
        dict(update_every=0),
        dict(redistribution="x"),
        dict(source="x"),
        dict(window=0),
        dict(growth_memory=-1),
        dict(grown_momentum="half"),
    ):
        with pytest.raises(ParameterError):
            SparseMomentum(**bad)
    with pytest.raises(ParameterError):
        SET(variant="x")
    ours = {n for n, rule in TOPOLOGIES.items() if rule.__module__.startswith("sparsecpu.")}
    assert ours == {
        "sparse-momentum", "set", "static", "rigl", "gse", "dsr", "deep-r", "gradual",
    }  # fmt: skip
    for make in (
        lambda: RigL(prune_rate=0),
        lambda: RigL(stop_after=0),
        lambda: RigL(stop_after=1.5),
        lambda: GuidedStochasticExploration(distribution="normal"),
        lambda: GuidedStochasticExploration(subset=0),
        lambda: GuidedStochasticExploration(scope="row"),
        lambda: DSR(threshold=0),
        lambda: DeepR(noise=-1),
        lambda: SparseMomentum(growth="x"),
        lambda: SparseMomentum(pruning="x"),
        lambda: SparseMomentum(proposal="x"),
        lambda: SparseMomentum(rank=0),
    ):
        with pytest.raises(ParameterError):
            make()


def test_algorithms_by_name_and_options():
    made = make_topology("gse:distribution=grabo, subset=2,skip_step=false", prune_rate=0.1)
    assert (made.name, made.distribution, made.subset, made.skip_step, made.prune_rate) == (
        "gse", "grabo", 2.0, False, 0.1,
    )  # fmt: skip
    assert make_topology("sparse-momentum:redistribution=none").redistribution == "none"
    assert make_topology("rigl:update_every=7", update_every=9).update_every == 7
    assert make_topology("rigl:update_every=1").update_every == 1
    for bad in (
        "x",
        "rigl:colour=1",
        "rigl:prune_rate",
        "static:prune_rate=0.1",
        "gse:subset=many",
    ):
        with pytest.raises(ParameterError):
            make_topology(bad)


def test_sparse_momentum_needs_momentum(rng):
    network = make_network((12, 20, 4), 0.3, rng)
    with pytest.raises(ParameterError, match="momentum"):
        Trainer(
            network, loss=SoftmaxCrossEntropy(), optimizer=SGD(0.0), topology=SparseMomentum()
        ).fit(*blobs(rng))


def test_prune_rate_schedule():
    from sparsecpu.schedules import cosine, linear

    at = [0.01, 0.1, 0.25, 0.5, 0.75, 0.99]
    falling = cosine(0.5, 1000, 0.005)
    for part, wanted in zip(at, [0.4999, 0.4879, 0.4275, 0.2525, 0.0775, 0.0051], strict=True):
        assert falling(int(1000 * part)) == pytest.approx(wanted, abs=6e-5)
    falling = linear(0.5, 1000)
    for part, wanted in zip(at, [0.495, 0.45, 0.375, 0.25, 0.125, 0.005], strict=True):
        assert falling(int(1000 * part)) == pytest.approx(wanted, abs=1e-9)


def test_prune_rates_of_gse_fall_to_nothing():
    topology = GuidedStochasticExploration()
    network = make_network((12, 8, 4), 0.5, np.random.default_rng(0))
    trainer = Trainer(network, loss=SoftmaxCrossEntropy(), topology=topology, batch_size=2,
                      epochs=10)  # fmt: skip
    trainer.start(200)
    for part, wanted in ((0.01, 0.19986), (0.1, 0.1866), (0.25, 0.1259), (0.5, 0.0134)):
        assert topology.rate(int(1000 * part)) == pytest.approx(wanted, abs=6e-5)
    assert topology.due(500)
    assert not topology.due(600)
