"""Language models as descriptions: sizes by hand, presets, what is refused."""

import math

import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.models import find_model, gpt
from sparsecpu.networks.models.gpt import block_of


def count(architecture):
    """Return the numbers of a model, without building it."""
    weights = sum(map(math.prod, architecture.weight_shapes()))
    outputs = sum(shape[0] for shape in architecture.weight_shapes()[:-1])  # a bias for each
    table = architecture.layers[0].options
    rows, width = table["vocabulary"] + table["length"], table["features"]
    norms = 2 * width * (len(architecture.layers) - 2)
    return weights + outputs + rows * width + norms


@pytest.mark.parametrize(
    ("name", "vocabulary", "numbers"),
    [
        ("gpt2", 50257, 124_439_808 + 50257 * 768),  # as published, and the head of its own
        ("gpt-mini", 65, 6 * (12 * 384**2 + 13 * 384) + (256 + 2 * 65) * 384 + 2 * 384),
        ("gpt-cpu", 65, 4 * (12 * 128**2 + 13 * 128) + (64 + 2 * 65) * 128 + 2 * 128),
        ("gpt-nano", 65, 3 * (12 * 48**2 + 13 * 48) + (64 + 2 * 65) * 48 + 2 * 48),
    ],
)
def test_numbers_are_those_by_hand(name, vocabulary, numbers):
    assert count(find_model(name)((7,), vocabulary)) == numbers


def test_a_built_network_has_them():
    described = gpt((6,), 9, layers=2, heads=2, width=8)
    network = described.build(np.random.default_rng(0))
    assert sum(p.data.size for p in network.parameters().values()) == count(described)
    deviations = [
        np.std(network.parameters()[name].data)
        for name in ("1.branch.1.query.0.weight", "1.branch.1.output.0.weight")
    ]
    assert deviations[0] / deviations[1] == pytest.approx(2.0, rel=0.3)  # sqrt(2 layers)


def test_the_block_is_the_models_where_it_has_one():
    assert find_model("gpt-mini")((64,), 10).input_shape == (256,)
    assert find_model("gpt-mini:block=128")((64,), 10).input_shape == (128,)
    assert gpt((64,), 10).input_shape == (64,)
    blocks = ("gpt2", "gpt-mini:block=128", "gpt", "lenet-300-100")
    assert [block_of(find_model(name)) for name in blocks] == [1024, 128, None, None]


def test_options_reach_the_layers():
    kinds = [layer.kind for layer in gpt((4,), 5, layers=1, dropout=0.1, norm="rms").layers]
    assert kinds == ["embedding", "dropout", "residual", "residual", "rms_norm", "linear"]
    sparse = gpt((4,), 5, width=16, group=4).sparsify(0.5)
    groups = [p.pattern.group for p in sparse.build().sparse_parameters().values()]
    assert set(groups[:-1]) == {4}


@pytest.mark.parametrize(
    "wrong", [{"heads": 3}, {"layers": 0}, {"norm": "batch"}, {"block": 0}, {"width": 0}]
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ParameterError):
        gpt((8,), 5, **wrong)
    with pytest.raises(ParameterError):
        gpt((1, 8, 8), 5)
