"""What becomes of imported weights: layers found, biases folded, the largest kept."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.files.interop.prune import kept_entries
from sparsecpu.files.interop.tensors import MaskedTensor, array_tensor, sparse_tensor
from sparsecpu.interop import import_network
from sparsecpu.networks.description import Architecture, LayerSpec, mlp
from sparsecpu.sparse.densities import allocate
from sparsecpu.sparse.pattern import Pattern


def test_layers_are_found_by_order_and_shape(rng):
    square = {f"{i}.weight": rng.standard_normal((4, 4)) for i in (0, 2, 4)}
    norms = {f"{i}.{leaf}": np.full(4, float(i)) for i in (1, 3)
             for leaf in ("weight", "bias", "running_mean", "running_var")}  # fmt: skip
    order = ("0.weight", *(n for n in norms if n[0] == "1"), "2.weight",
             *(n for n in norms if n[0] == "3"), "4.weight")  # fmt: skip
    tensors = {f"module.body.{n}": {**square, **norms}[n] for n in order}
    tensors["module.extra"] = np.ones(3)
    described = mlp(4, (4, 4), 4, batch_norm=True)
    network, report = import_network(tensors, described)
    assert [row[:2] for row in report.matched if row[3]] == [
        ("0", "body.0"), ("3", "body.2"), ("6", "body.4"),
    ]  # fmt: skip
    np.testing.assert_array_equal(network.layers[3].weight.data, square["2.weight"].reshape(-1)
                                  .astype(np.float32))  # fmt: skip
    np.testing.assert_array_equal(network.layers[4].running_variance, 3)
    assert report.unused == ["module.extra"]
    _, report = import_network(tensors, described, names={"0": "body.4"})
    assert [row[:2] for row in report.matched if row[3]] == [
        ("0", "body.4"), ("3", "body.0"), ("6", "body.2"),
    ]  # fmt: skip
    for names in ({"7": "body.0"}, {"0": "nobody"}, {"0": "body.1"}):
        with pytest.raises((ParameterError, FileFormatError)):
            import_network(tensors, described, names=names)


def test_a_bias_before_a_normalisation_is_folded(rng):
    tensors = {
        "a.weight": rng.standard_normal((4, 3)), "a.bias": rng.standard_normal(4),
        "n.weight": rng.random(4), "n.bias": rng.random(4),
        "n.running_mean": rng.standard_normal(4), "n.running_var": rng.random(4) + 0.5,
        "b.weight": rng.standard_normal((2, 4)), "b.bias": rng.random(2),
    }  # fmt: skip
    layers = (LayerSpec("linear", {"out_features": 4, "nnz": None, "bias": False}),
              LayerSpec("batch_norm"),
              LayerSpec("linear", {"out_features": 2, "nnz": None}))  # fmt: skip
    network, report = import_network(tensors, Architecture((3,), layers), dtype=np.float64)
    assert report.folded == ["0"]
    x = rng.standard_normal((5, 3))
    z = x @ tensors["a.weight"].T + tensors["a.bias"] - tensors["n.running_mean"]
    z = z / np.sqrt(tensors["n.running_var"] + 1e-5) * tensors["n.weight"] + tensors["n.bias"]
    np.testing.assert_allclose(
        network.predict(x), z @ tensors["b.weight"].T + tensors["b.bias"], atol=1e-12
    )


def test_a_bias_is_folded_only_into_what_follows_it(rng):
    """At the end of a branch a sum comes first, whose other part must not be shifted."""
    conv = {"kind": "conv2d", "out_channels": 2, "kernel_size": 1, "bias": False, "nnz": None}
    layers = (
        LayerSpec("residual", {"branch": [conv], "shortcut": []}),
        LayerSpec("batch_norm"),
        LayerSpec("global_avg_pool2d"),
        LayerSpec("linear", {"out_features": 2, "nnz": None}),
    )
    tensors = {
        "a.weight": rng.standard_normal((2, 2, 1, 1)), "a.bias": np.ones(2),
        "n.weight": np.ones(2), "n.running_mean": np.zeros(2), "n.running_var": np.ones(2),
        "b.weight": rng.standard_normal((2, 2)),
    }  # fmt: skip
    network, report = import_network(tensors, Architecture((2, 3, 3), layers))
    assert (report.folded, report.unused) == ([], ["a.bias"])
    np.testing.assert_array_equal(network.layers[1].running_mean, 0)


@pytest.mark.parametrize(
    ("name", "value"), [("n.running_var", -1.0), ("n.weight", 1e300), ("a.weight", 1e300)]
)
def test_values_that_cannot_be_are_refused(name, value):
    tensors = {"a.weight": np.eye(2), "n.weight": np.ones(2), "n.running_mean": np.zeros(2),
               "n.running_var": np.ones(2), "b.weight": np.eye(2)}  # fmt: skip
    tensors[name][0] = value
    with pytest.raises(FileFormatError):
        import_network(tensors, mlp(2, (2,), 2, batch_norm=True))


def test_a_new_head_is_drawn(rng):
    tensors = {"0.weight": rng.standard_normal((8, 4)), "2.weight": rng.standard_normal((10, 8))}
    with pytest.raises(FileFormatError, match="2"):
        import_network(tensors, mlp(4, (8,), 3))
    network, report = import_network(tensors, mlp(4, (8,), 3), density=0.5, missing="draw")
    assert report.missing == ["2"]
    assert (network.n_outputs, network.layers[2].weight.nnz) == (3, 12)
    with pytest.raises(FileFormatError):
        import_network({"x.weight": np.ones((9, 9))}, mlp(4, (8,), 3), missing="draw")


@pytest.mark.parametrize("distribution", ["global", "uniform", "erk"])
@pytest.mark.parametrize("density", [0.01, 0.3, 1.0])
def test_the_largest_weights_stay(distribution, density, rng, monkeypatch):
    monkeypatch.setattr("sparsecpu.files.interop.tensors.TILE_BYTES", 200)  # many tiles
    arrays = [rng.standard_normal((30, 20)), 0.01 * rng.standard_normal((7, 30)),
              rng.standard_normal((4, 2, 3, 3))]  # fmt: skip
    arrays[0].reshape(-1)[5:9] = 0.5  # ties
    found = kept_entries([array_tensor("w", a) for a in arrays], density, distribution)
    sizes = [a.size for a in arrays]
    kept = [len(keys) for keys, _ in found]
    assert sum(kept) == max(round(density * sum(sizes)), 3)
    assert min(kept) >= 1
    for array, (keys, values) in zip(arrays, found, strict=True):
        flat = array.reshape(-1)
        np.testing.assert_array_equal(flat[keys], values)
        order = np.lexsort((np.arange(flat.size), -np.abs(flat)))
        np.testing.assert_array_equal(keys, np.sort(order[: len(keys)]))
    if distribution == "global" and min(kept) > 1:
        smallest = min(np.abs(values).min() for _, values in found)
        for array, (keys, _) in zip(arrays, found, strict=True):
            assert np.delete(np.abs(array.reshape(-1)), keys).max(initial=0) <= smallest


@pytest.mark.parametrize("distribution", ["global", "erk"])
@pytest.mark.parametrize("density", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("kind", ["dense", "sparse", "masked"])
def test_the_largest_shared_columns_stay(kind, distribution, density, rng, monkeypatch):
    """By the sums over their rows, whole, and as many weights as there should be, or fewer."""
    monkeypatch.setattr("sparsecpu.files.interop.tensors.TILE_BYTES", 1500)  # 18 rows: no groups
    arrays = [rng.standard_normal((30, 20)), 0.01 * rng.standard_normal((7, 30)),
              rng.standard_normal((4, 2, 3, 3))]  # fmt: skip
    masks = [rng.random(a.shape) < 0.5 for a in arrays]
    groups = [4, 4, 1]
    held = arrays if kind == "dense" else [a * m for a, m in zip(arrays, masks, strict=True)]
    if kind == "dense":
        tensors = [array_tensor("w", a) for a in arrays]
    elif kind == "masked":
        tensors = [
            MaskedTensor(array_tensor("w", a), array_tensor("m", mask.astype(float)))
            for a, mask in zip(arrays, masks, strict=True)
        ]
    else:
        tensors = [sparse_tensor("w", csr_array(a.reshape(len(a), -1))) for a in held]
    found = kept_entries(tensors, density, distribution, groups)
    for array, group, (keys, values) in zip(held, groups, found, strict=True):
        matrix = array.reshape(len(array), -1)
        pattern = Pattern.from_keys(matrix.shape, keys, group=group)  # which refuses parts
        np.testing.assert_array_equal(matrix.reshape(-1)[keys], values)
        sums = np.add.reduceat(np.abs(matrix), np.arange(0, len(matrix), group), axis=0)
        stay = np.zeros(sums.shape, bool)
        stay.reshape(-1)[pattern.groups.keys()] = True
        assert stay.any()
        assert sums[stay].min() >= np.max(sums[~stay], initial=0)
    counts = [len(keys) for keys, _ in found]
    few = allocate([a.shape for a in arrays], density, "erk")
    if kind == "dense" and distribution == "erk":
        assert all(abs(count - wanted) < 4 for count, wanted in zip(counts, few, strict=True))
    elif kind == "dense":
        # Three shared columns may have to be, of 4, 4 and 1 weights.
        assert sum(few) - 4 < sum(counts) <= max(sum(few), 9)


@pytest.mark.parametrize("group", [1, 4])
def test_layers_that_would_be_empty_take_from_the_others(group, rng):
    """As many weights as they are given; the largest of the others stay."""
    arrays = [rng.standard_normal((20, 20)), *(0.001 * rng.standard_normal((3, 8, 6)))]
    tensors = [array_tensor("w", a) for a in arrays]
    found = kept_entries(tensors, 0.1, "global", [group] * 4)
    counts = [len(keys) for keys, _ in found]
    total = round(0.1 * sum(a.size for a in arrays))
    assert counts[1:] == [group] * 3
    assert total - group < sum(counts) <= total
    sums = np.abs(arrays[0]).reshape(-1, group, 20).sum(axis=1)
    shared = Pattern.from_keys((20, 20), found[0][0], group=group).groups.keys()
    order = np.argsort(-sums.reshape(-1), kind="stable")[: counts[0] // group]
    np.testing.assert_array_equal(shared, np.sort(order))
