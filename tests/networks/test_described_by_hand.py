"""Networks that were put together by hand: described, saved, and the same when they come back."""

import numpy as np
import pytest
from architectures import random_case

import sparsecpu
from sparsecpu.errors import ParameterError
from sparsecpu.layers import (
    ACTIVATIONS,
    KINDS,
    Activation,
    FeedForward,
    LayerNorm,
    ReLU,
    Sequential,
    SparseLinear,
)
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import Architecture, mlp
from sparsecpu.networks.models import find_model
from sparsecpu.trainer import Trainer

SMALL = {
    "lenet-5-caffe": {"width": 0.2},
    "resnet-8": {"width": 0.125},
    "vit-tiny": {"depth": 1, "group": 4},
    "gpt-nano": {"layers": 1, "rotary": True, "norm": "rms"},
}


def by_hand(architecture, **options):
    network = architecture.build(np.random.default_rng(1), **options)
    network.architecture = None
    return network


@pytest.mark.parametrize("name", SMALL)
def test_what_layers_say_builds_the_same_network(name, tmp_path):
    network = by_hand(find_model(name)(**SMALL[name]).sparsify(0.3))
    network.save(tmp_path / "m.npz")
    again, facts = sparsecpu.load(tmp_path / "m.npz")
    assert facts == {}
    assert [x.options() for x in again.layers] == [x.options() for x in network.layers]
    found = again.parameters()
    for name, parameter in network.parameters().items():
        np.testing.assert_array_equal(found.pop(name).data, parameter.data)
    assert not found


@pytest.mark.parametrize("seed", range(12))
def test_random_networks(seed, tmp_path):
    network = random_case(seed, np.float32).network
    try:
        network.save(tmp_path / "m.npz")
    except ParameterError as error:  # a network inside of the network
        assert "Sequential" in str(error)  # noqa: PT017
        return
    again, _ = sparsecpu.load(tmp_path / "m.npz")
    assert [x.options() for x in again.layers] == [x.options() for x in network.layers]


def test_it_predicts_the_same_and_trains_on(rng, tmp_path):
    x, y = rng.standard_normal((40, 6)), rng.integers(0, 3, 40)
    network = Sequential([SparseLinear(6, 5, nnz=12), ReLU(), SparseLinear(5, 3, density=1.0)])
    network.facts = {"task": "classification", "classes": ["a", "b", "c"]}
    network.offset = x.mean(axis=0)
    network.save(tmp_path / "m.npz")
    again, facts = sparsecpu.load(tmp_path / "m.npz")
    assert facts == network.facts
    np.testing.assert_array_equal(again.predict(x), network.predict(x))
    for each in (network, again):
        Trainer(each, loss=SoftmaxCrossEntropy(), epochs=1, batch_size=16).fit(x, y)
    np.testing.assert_array_equal(again.predict(x), network.predict(x))


def test_a_description_given_is_taken():
    described = mlp(6, (5,), 3).sparsify(0.5)
    assert Architecture.of(described.build()) is described


@pytest.fixture
def of_others():
    """Layers that somebody else wrote, whose names are forgotten afterwards."""
    before = dict(KINDS), dict(ACTIVATIONS)

    class Scaled(Activation):
        kind = "scaled"

        def __init__(self, factor: float = 2.0) -> None:
            self.factor = factor

    class Forgetful(Activation):
        kind = "forgetful"

        def __init__(self, factor: float = 2.0) -> None:
            self.by = factor

    class Nameless(Activation):
        pass

    yield Scaled(3.0), Forgetful(), Nameless()
    for names, old in zip((KINDS, ACTIVATIONS), before, strict=True):
        names.clear()
        names.update(old)


def test_layers_of_others(of_others):
    def described(layer):
        return Architecture.of(Sequential([SparseLinear(4, 4), layer])).layers[1]

    good, *wrong = of_others
    assert described(good).options == {"factor": 3.0}
    for layer in (*wrong, Sequential([SparseLinear(4, 4)])):
        with pytest.raises(ParameterError, match="layer 1"):
            described(layer)


def test_a_layer_of_others_leaves_its_parent_the_name(of_others, tmp_path):
    class Louder(SparseLinear):
        pass

    plain = Sequential([SparseLinear(4, 3, density=0.5)])
    plain.save(tmp_path / "m.npz")
    again, _ = sparsecpu.load(tmp_path / "m.npz")
    assert type(again.layers[0]) is SparseLinear
    with pytest.raises(ParameterError, match="Louder"):
        Architecture.of(Sequential([Louder(4, 3)]))


def test_what_is_inside_of_layers():
    inner = FeedForward(4, 6, gated=True, up=[SparseLinear(4, 6, bias=False, nnz=7)])
    (entry,) = Architecture.of(Sequential([inner], (4,))).layers
    assert entry.options["up"] == [
        {"kind": "linear", "out_features": 6, "nnz": 7, "bias": False},
    ]
    assert LayerNorm(4, epsilon=0.5).options() == {"epsilon": 0.5}
