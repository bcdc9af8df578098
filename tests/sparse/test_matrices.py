"""SciPy's matrices: every format is read to equal values, broken ones are refused, none changes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import sparse

from sparsecpu.errors import DataError, FileFormatError, PatternError
from sparsecpu.interop import import_network
from sparsecpu.layers import Sequential, SparseLinear
from sparsecpu.networks.description import mlp
from sparsecpu.sparse.matrices import canonical_csr
from sparsecpu.sparse.parameter import SparseParameter

FORMATS = ["csr", "csc", "bsr", "coo", "dia", "lil", "dok"]


def matrix(kind="csr", shape=(6, 9)):
    made = sparse.random_array(shape, density=0.4, rng=np.random.default_rng(0))
    return made.asformat(kind)


def disordered():
    """A CSR matrix with columns out of order and one entry twice, on read-only arrays."""
    indptr, indices = np.array([0, 3, 3, 5]), np.array([4, 1, 4, 0, 2])
    made = sparse.csr_array((np.array([1.0, 2, 3, 4, 5]), indices, indptr), shape=(3, 5))
    for array in (made.indptr, made.indices, made.data):
        array.setflags(write=False)
    return made


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8, bool])
def test_all_formats_are_read(kind, dtype):
    made = matrix(kind).astype(dtype)
    found = canonical_csr(made)
    np.testing.assert_array_equal(found.toarray(), made.toarray())
    assert (np.diff(found.indices) > 0).sum() >= found.nnz - 6


@pytest.mark.parametrize("dtype", ["f2", ">f8"])
def test_types_that_scipy_does_not_know_are_read(dtype):
    csr = matrix()
    csr.data = csr.data.astype(dtype)
    np.testing.assert_array_equal(canonical_csr(csr).data, csr.data)


def test_duplicates_are_added_up_in_a_copy():
    made = disordered()
    before = made.indptr.copy(), made.indices.copy(), made.data.copy()
    found = canonical_csr(made)
    assert found.toarray().tolist() == [[0, 2, 0, 0, 4], [0] * 5, [4, 0, 5, 0, 0]]
    for array, old in zip((made.indptr, made.indices, made.data), before, strict=True):
        np.testing.assert_array_equal(array, old)
    assert made.nnz == 5
    p = SparseParameter.from_scipy(made)
    np.testing.assert_array_equal(p.to_scipy().toarray(), found.toarray())


def test_what_is_said_of_the_order_is_not_believed():
    made = disordered()
    made.has_canonical_format = made.has_sorted_indices = True
    assert canonical_csr(made).nnz == 4


def broken():
    """Yield matrices that crash or deceive SciPy, by what is wrong with them."""
    far, late = 1 << 30, np.array([0, 1 << 40, 3, 4, 5, 6, 7])
    for kind in ("csr", "csc", "bsr"):
        made = matrix(kind)
        made.indices = np.where(np.arange(len(made.indices)) == 1, far, made.indices)
        yield f"{kind} far column", made
        made = matrix(kind)
        made.indices = np.where(np.arange(len(made.indices)) == 1, -1, made.indices)
        yield f"{kind} negative column", made
        made = matrix(kind)
        made.indptr = np.append(made.indptr[:-1], far)
        yield f"{kind} far end", made
        made = matrix(kind)
        made.indptr = late[: len(made.indptr)]
        yield f"{kind} falling", made
        made = matrix(kind)
        made.data = made.data[:-1]
        yield f"{kind} short data", made
        made = matrix(kind)
        made.indices = made.indices * 1.0
        yield f"{kind} floats", made
        made = matrix(kind)
        made._shape = (6, 2)
        yield f"{kind} another shape", made
    made = matrix("coo")
    made.coords = (made.coords[0] + far, made.coords[1])
    yield "coo far row", made
    made = matrix("coo")
    made.coords = (made.coords[0][:-1], made.coords[1])
    yield "coo short rows", made
    made = matrix("lil")
    made.rows[0], made.data[0] = [-3], [1.0]
    yield "lil negative column", made
    made = matrix("lil")
    made.rows[0] = [1, 2, 3, 4, 5, 6]
    yield "lil short data", made
    made = matrix("dok")
    made._dict[0, far] = 1.0
    yield "dok far column", made
    made = matrix("dia")
    made.offsets = made.offsets[:-1]
    yield "dia short offsets", made
    made = matrix()
    made.data = made.data * 1j
    yield "complex", made


@pytest.mark.parametrize("made", [pytest.param(m, id=n) for n, m in broken()])
def test_broken_matrices_are_refused_at_every_door(made):
    with pytest.raises(PatternError):
        SparseLinear.from_scipy(made)
    network = Sequential([SparseLinear(9, 2)])
    with pytest.raises(DataError, match="x: "):
        network.predict(made)
    with pytest.raises(FileFormatError, match="weight"):
        import_network({"0.weight": made, "0.bias": np.zeros(6)}, mlp(9, (), 6))


def test_estimators_refuse_broken_matrices():
    from sparsecpu.estimators import SparseMLPClassifier

    x, y = matrix(shape=(30, 9)), np.arange(30) % 2
    model = SparseMLPClassifier((4,), max_iter=1, random_state=0)
    bad = x.copy()
    bad.indices = np.full_like(x.indices, 1 << 30)
    with pytest.raises(PatternError, match="X: indices"):
        model.fit(bad, y)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        model.fit(x, y)
    with pytest.raises(PatternError, match="X: indices"):
        model.predict(bad)
    with pytest.raises(PatternError, match="X: indices"):
        model.partial_fit(bad, y)


def test_any_number_of_threads_predict_on_one_matrix():
    rng = np.random.default_rng(0)
    dense = rng.random((200, 30)) * (rng.random((200, 30)) < 0.2)
    csr = sparse.csr_array(dense)
    order = rng.permuted(np.arange(csr.nnz).reshape(1, -1)[:, :2], axis=1)[0]
    csr.indices[[0, 1]], csr.data[[0, 1]] = csr.indices[order], csr.data[order]
    twice = sparse.csr_array(
        (np.repeat(csr.data / 2, 2), np.repeat(csr.indices, 2), csr.indptr * 2), shape=csr.shape
    )
    network = Sequential([SparseLinear(30, 8, density=0.5)])
    wanted = network.predict(dense)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: network.predict(twice), range(24)))
    for z in found:
        np.testing.assert_allclose(z, wanted, rtol=1e-5, atol=1e-6)
    assert twice.nnz == 2 * csr.nnz


def test_memory_mapped_arrays_are_read(tmp_path):
    made = disordered()
    parts = []
    for name in ("data", "indices", "indptr"):
        np.save(tmp_path / f"{name}.npy", getattr(made, name))
        parts.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    mapped = sparse.csr_array(tuple(parts), shape=made.shape)
    network = Sequential([SparseLinear(5, 2, density=1.0)])
    np.testing.assert_array_equal(network.predict(mapped), network.predict(made.toarray()))
