"""Rows in groups at the doors to other frameworks: out and back, and pruned on the way in."""

import importlib.util

import numpy as np
import pytest
from scipy import sparse

from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.interop import export_network, import_network
from sparsecpu.layers import SparseLinear
from sparsecpu.networks.description import Architecture, LayerSpec, mlp
from sparsecpu.networks.models import find_model
from sparsecpu.sparse.pattern import Pattern

needs_torch = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="no PyTorch")

CHAIN = mlp(20, (18, 13), 10).sparsify(0.3).in_groups(4)  # two layers end with fewer rows
BRANCHES = find_model("resnet-8")((3, 12, 12), 5, width=0.25).sparsify(0.3).in_groups(4)


def same(one, other):
    assert one.sparse_parameters().keys() == other.sparse_parameters().keys()
    for name, weight in one.sparse_parameters().items():
        found = other.sparse_parameters()[name]
        assert found.pattern == weight.pattern  # groups, too
        np.testing.assert_array_equal(found.data, weight.data)
    assert one.architecture == other.architecture


def described_groups(architecture):
    """Return a description whose counts are those of whole groups, as networks have them."""
    network = architecture.build()
    return architecture.with_counts(iter(p.nnz for p in network.sparse_parameters().values()))


@pytest.mark.parametrize("to", ["safetensors", "scipy", "torch"])
@pytest.mark.parametrize("described", [CHAIN, BRANCHES], ids=["chain", "branches"])
def test_what_goes_out_comes_back_in_its_groups(to, described, rng, tmp_path):
    """Also where a weight is 0, by chance, beside others of its shared column."""
    if to == "torch":
        pytest.importorskip("torch")
    described = described_groups(described)
    network = described.build(rng)
    first = next(p for p in network.sparse_parameters().values() if p.pattern.group == 4)
    first.data[0] = 0
    export_network(network, tmp_path / f"it.{to}", to)
    again, report = import_network(tmp_path / f"it.{to}", described if to == "torch" else None)
    same(network, again)
    assert sum(row[3] for row in report.matched) == network.nnz


@pytest.mark.parametrize("distribution", ["global", "erk"])
def test_a_dense_checkpoint_is_pruned_by_shared_columns(distribution, rng):
    arrays = {"0.weight": rng.standard_normal((18, 20)), "2.weight": rng.standard_normal((9, 18))}
    network, report = import_network(
        arrays, mlp(20, (18,), 9), density=0.3, distribution=distribution, group=4
    )
    assert abs(network.nnz - round(0.3 * network.size)) < 8
    for name, weight in network.sparse_parameters().items():
        assert weight.pattern.group == 4
        dense = arrays[name].astype(np.float32)
        np.testing.assert_array_equal(weight.data, dense.reshape(-1)[weight.pattern.keys()])
    assert [layer.options["group"] for layer in network.architecture.layers[::2]] == [4, 4]
    assert [row[3] for row in report.matched] == [
        p.nnz for p in network.sparse_parameters().values()
    ]
    x = rng.standard_normal((3, 20))
    assert np.isfinite(network.predict(x)).all()


def test_what_is_given_whole_stays_whole(rng):
    """Nonzeros of whole shared columns are taken as they are; full layers have no groups."""
    weight = SparseLinear(20, 18, density=0.3, group=4, rng=rng).weight
    arrays = {"0.weight": weight.to_scipy(), "2.weight": np.ones((9, 18))}
    network, _ = import_network(arrays, mlp(20, (18,), 9), group=4)
    assert network.layers[0].weight.pattern == weight.pattern
    assert network.layers[2].weight.pattern == Pattern.full((9, 18))
    network, _ = import_network(arrays, mlp(20, (18,), 9))
    assert network.layers[0].weight.pattern.group == 1
    network, _ = import_network(arrays, mlp(20, (18,), 9), density=1.0, group=2)
    assert network.layers[0].weight.pattern.group == 2


def test_rows_that_do_not_share_are_refused_with_advice(rng):
    arrays = {"fc.weight": np.eye(8)}
    with pytest.raises(ParameterError, match=r"group is 4.*density.*fc\.weight has 24 zeros"):
        import_network(arrays, mlp(8, (), 8), group=4)
    for group in (3, "4", None):
        with pytest.raises(ParameterError, match="group"):
            import_network(arrays, mlp(8, (), 8), group=group)
    network, _ = import_network(arrays, mlp(8, (), 8), density=0.3, group=4)
    assert network.nnz == 16
    with pytest.raises(FileFormatError, match="nothing fits"):
        import_network(arrays, mlp(9, (), 8), group=4)


def test_a_new_head_stands_in_groups_too(rng):
    arrays = {"0.weight": rng.standard_normal((8, 40)), "2.weight": rng.standard_normal((9, 8))}
    network, report = import_network(
        arrays, mlp(40, (8,), 13), density=0.25, missing="draw", group=2
    )
    assert report.missing == ["2"]
    assert network.layers[2].weight.pattern.group == 2
    assert abs(network.layers[2].weight.nnz - 26) < 2


def test_layers_of_a_single_input_are_all_or_nothing(rng):
    """One shared column is the whole of them."""
    layers = (LayerSpec("linear", {"out_features": 3, "nnz": None, "group": 4}),)
    network, _ = import_network({"a.weight": [[1.0], [0.0], [2.0]]}, Architecture((1,), layers))
    np.testing.assert_array_equal(network.layers[0].weight.data, [1, 0, 2])


@needs_torch
def test_masks_and_sparse_tensors_of_pytorch_in_groups(rng):
    import torch
    from torch import nn
    from torch.nn.utils import prune

    described = mlp(6, (8,), 3)
    theirs = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    kept = np.repeat(rng.random((2, 6)) < 0.5, 4, axis=0)
    prune.custom_from_mask(theirs[0], "weight", torch.from_numpy(kept))
    ours, _ = import_network(theirs.state_dict(), described, group=4)
    assert ours.layers[0].weight.pattern.group == 4
    np.testing.assert_array_equal(ours.layers[0].weight.pattern.keys(), np.flatnonzero(kept))
    x = rng.standard_normal((4, 6)).astype(np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(ours.predict(x), theirs(torch.from_numpy(x)), atol=1e-6)
    state = {"2.weight": theirs[2].weight.detach(), "2.bias": theirs[2].bias.detach()}
    state["0.bias"] = theirs[0].bias.detach()
    masked = theirs[0].weight.detach()
    for layout in ({"layout": torch.sparse_csr}, {"layout": torch.sparse_bsr, "blocksize": (4, 1)}):
        again, _ = import_network(
            {**state, "0.weight": masked.to_sparse(**layout)}, described, group=4
        )
        same_weight = again.layers[0].weight
        assert same_weight.pattern == ours.layers[0].weight.pattern
        np.testing.assert_array_equal(same_weight.data, ours.layers[0].weight.data)


def test_sparse_matrices_are_pruned_without_a_dense_one(rng):
    """Of 40,000 x 40,000 positions, of which 2,000 hold weights."""
    wide = 40_000
    matrix = sparse.random_array((wide, wide), density=2000 / wide**2, rng=rng, format="csr")
    layers = (LayerSpec("linear", {"out_features": wide, "nnz": None, "bias": False}),)
    network, _ = import_network(
        {"a.weight": matrix}, Architecture((wide,), layers), density=1000 / wide**2, group=8
    )
    weight = network.layers[0].weight
    assert (weight.nnz, weight.pattern.group) == (1000, 8)
    assert np.count_nonzero(weight.data) >= 125
