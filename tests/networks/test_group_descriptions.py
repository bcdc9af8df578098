"""Descriptions whose rows stand in groups: every model takes them, files keep them."""

import json

import numpy as np
import pytest

from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.models import MODELS, find_model, wide_resnet
from sparsecpu.networks.description import Architecture, LayerSpec, mlp


def groups_of(described):
    """The ``group`` of every layer with weights, inner ones included, in order."""

    def walk(value):
        if isinstance(value, dict):
            if "nnz" in value:
                yield value.get("group", 1)
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, (list, tuple)):
            for inner in value:
                yield from walk(inner)

    return list(walk(described.to_dict()["layers"]))


@pytest.mark.parametrize("name", [*MODELS, "wrn-16-2", "resnet-20"])
def test_every_model_takes_a_group(name):
    plain, grouped = find_model(name)(), find_model(f"{name}:group=4")()
    assert groups_of(grouped) == [4] * len(grouped.weight_shapes())
    assert groups_of(plain) == [1] * len(plain.weight_shapes())
    assert grouped.in_groups(1).to_dict() == plain.to_dict()  # which does not name it


def test_groups_and_counts_go_together():
    described = wide_resnet(depth=10, widen=1, group=4).sparsify(0.1)
    assert (
        described.to_dict() == wide_resnet(depth=10, widen=1).sparsify(0.1).in_groups(4).to_dict()
    )


def test_each_layer_may_have_its_own():
    shapes = wide_resnet(depth=10, widen=1).weight_shapes()
    sizes = [(1, 2, 4, 8)[i % 4] for i in range(len(shapes))]
    assert groups_of(wide_resnet(depth=10, widen=1).in_groups(sizes)) == sizes
    network = mlp(30, (20, 12), 7).sparsify(0.3, "uniform").in_groups([4, 1, 2]).build()
    assert [p.pattern.group for p in network.sparse_parameters().values()] == [4, 1, 2]


def test_layers_that_end_up_full_stay_full():
    network = mlp(30, (60,), 4, group=4).sparsify(0.3).build()
    last = network.sparse_parameters()["2.weight"].pattern
    assert (last.group, last.is_full) == (1, True)
    dense = mlp(30, (20,), 4, group=8).build()
    assert all(p.pattern.group == 1 for p in dense.sparse_parameters().values())


def test_filters_that_see_other_channels_stay_alone():
    options = {"out_channels": 8, "kernel_size": 3, "nnz": 20}
    layers = (LayerSpec("conv2d", {**options, "groups": 2}), LayerSpec("conv2d", options))
    assert groups_of(Architecture((4, 9, 9), layers).in_groups([4, 2])) == [1, 2]


def test_a_description_survives_json():
    described = mlp(30, (20, 12), 7).sparsify(0.3).in_groups([4, 1, 8])
    again = Architecture.from_dict(json.loads(json.dumps(described.to_dict())))
    assert again == described
    for one, two in zip(*(d.build().sparse_parameters().values() for d in (described, again)),
                        strict=True):  # fmt: skip
        assert one.pattern == two.pattern
        np.testing.assert_array_equal(one.data, two.data)


@pytest.mark.parametrize("group", [0, 3, 16, True, "4", 4.5, None, [4], [4, 4, 3], ["4", 4, 4]])
def test_other_groups_are_refused(group):
    with pytest.raises(ParameterError, match="group"):
        mlp(30, (20, 12), 7).in_groups(group)


@pytest.mark.parametrize("group", [3, -4, 2**40, "4", 4.0, None, [4], True])
def test_damaged_descriptions_are_refused(group):
    values = mlp(30, (20,), 7, group=4).to_dict()
    values["layers"][0]["group"] = group
    with pytest.raises(FileFormatError, match="group"):
        Architecture.from_dict(values)
