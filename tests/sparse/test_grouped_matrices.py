"""SciPy's BSR: blocks of (group, 1) are rows that share their columns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from strategies import grouped

from sparsecpu.errors import ParameterError, PatternError
from sparsecpu.interop import export_network, import_network
from sparsecpu.layers import SparseLinear
from sparsecpu.networks.description import mlp
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern


@given(pattern=grouped(), seed=st.integers(0, 1000))
def test_blocks_go_out_and_come_back(pattern, seed):
    values = np.random.default_rng(seed).standard_normal(pattern.nnz)
    p = SparseParameter(pattern, values, np.float64)
    if pattern.shape[0] % pattern.group:
        with pytest.raises(PatternError, match="do not divide into blocks"):
            p.to_scipy("bsr")
        again = SparseParameter.from_scipy(p.to_scipy(), np.float64, group=pattern.group)
    else:
        blocks = p.to_scipy("bsr")
        assert blocks.format == "bsr"
        assert blocks.blocksize == (pattern.group, 1)
        assert len(blocks.indices) == pattern.groups.nnz
        np.testing.assert_array_equal(blocks.toarray(), p.to_scipy().toarray())
        again = SparseParameter.from_scipy(blocks, np.float64)
        blocks.data[...] = 0
    assert again.pattern == (Pattern.full(pattern.shape) if pattern.is_full else pattern)
    for copied in (p, again):
        np.testing.assert_array_equal(copied.data, values)


def test_rows_that_stand_alone_are_blocks_of_one(rng):
    layer = SparseLinear(9, 7, density=0.4, rng=rng)
    blocks = layer.weight.to_scipy("bsr")
    assert blocks.blocksize == (1, 1)
    np.testing.assert_array_equal(blocks.toarray(), layer.weight.to_scipy().toarray())
    assert layer.weight.to_scipy().format == "csr"
    with pytest.raises(ParameterError, match="format"):
        layer.weight.to_scipy("coo")


@pytest.mark.parametrize("size", [(3, 1), (4, 2), (1, 4), (2, 2)])
def test_other_blocks_are_rows_that_stand_alone(size, rng):
    dense = np.kron(rng.random((4, 3)) < 0.5, np.ones(size)) * rng.standard_normal(
        (4 * size[0], 3 * size[1])
    )
    layer = SparseLinear.from_scipy(sparse.bsr_array(dense, blocksize=size))
    assert layer.weight.pattern.group == 1
    np.testing.assert_array_equal(layer.weight.to_scipy().toarray(), dense.astype(np.float32))


def test_zeros_within_blocks_are_weights(rng):
    """And what is said of a group must be so, whatever the format."""
    dense = np.zeros((8, 5))
    dense[0, 1] = dense[6, 4] = 3
    layer = SparseLinear.from_scipy(sparse.bsr_array(dense, blocksize=(4, 1)), np.arange(8))
    assert (layer.weight.nnz, layer.weight.pattern.group) == (8, 4)
    again = SparseLinear.from_scipy(layer.weight.to_scipy(), group=2).weight
    assert again.pattern.group == 2
    np.testing.assert_array_equal(again.data, layer.weight.data)
    with pytest.raises(PatternError, match="rows 0 and 1"):
        SparseLinear.from_scipy(sparse.csr_array(dense), group=4)
    with pytest.raises(ParameterError, match="group"):
        SparseLinear.from_scipy(sparse.csr_array(dense), group=5)
    broken = sparse.bsr_array(dense, blocksize=(4, 1))
    broken.indices = broken.indices + 9
    with pytest.raises(PatternError, match="indices"):
        SparseLinear.from_scipy(broken)


def test_folders_hold_blocks_where_all_groups_are_whole(rng, tmp_path):
    network = mlp(20, (16, 13), 10).sparsify(0.3).in_groups(4).build(rng)
    export_network(network, tmp_path / "it", "scipy")
    kinds = [sparse.load_npz(tmp_path / "it" / f"{i}.weight.npz").format for i in (0, 2, 4)]
    assert kinds == ["bsr", "csr", "csr"]
    again, _ = import_network(tmp_path / "it")
    for one, other in zip(*(n.sparse_parameters().values() for n in (network, again)), strict=True):
        assert one.pattern == other.pattern
        np.testing.assert_array_equal(one.data, other.data)
