"""Index arrays of others: what is broken is refused, and what is not passes unchanged."""

import numpy as np
import pytest
from scipy.sparse import bsr_array, random_array

from sparsecpu.errors import PatternError
from sparsecpu.sparse.format import check_compressed, check_coordinates


def matrix(seed=0):
    return random_array((6, 9), density=0.4, rng=np.random.default_rng(seed)).tocsr()


def test_valid_matrices_pass_and_stay_as_they_are():
    csr = matrix()
    for array in (csr.indptr, csr.indices, csr.data):
        array.setflags(write=False)
    assert check_compressed(csr.indptr, csr.indices, csr.data, csr.shape) == csr.nnz
    csc = csr.tocsc()
    assert check_compressed(csc.indptr, csc.indices, csc.data, (6, 9), by_column=True) == csr.nnz
    bsr = bsr_array(np.arange(54.0).reshape(6, 9) + 1, blocksize=(2, 3))
    assert check_compressed(bsr.indptr, bsr.indices, bsr.data, bsr.shape) == 9
    longer = np.concatenate([csr.indices, [99]]), np.append(csr.data, 7.0)  # SciPy allows a rest
    assert check_compressed(csr.indptr, *longer, csr.shape) == csr.nnz
    assert check_compressed(np.zeros(1, int), np.zeros(0, int), None, (0, 9)) == 0


BREAK = {
    "negative column": lambda p, i, d: (p, np.where(np.arange(len(i)) == 3, -1, i), d),
    "column too large": lambda p, i, d: (p, np.where(np.arange(len(i)) == 3, 9, i), d),
    "columns beyond int32": lambda p, i, d: (p, i.astype(np.int64) + 2**32, d),
    "starts late": lambda p, i, d: (np.maximum(p, 1), i, d),
    "ends late": lambda p, i, d: (np.append(p[:-1], len(i) + 1), i, d),
    "ends far away": lambda p, i, d: (np.append(p[:-1], 2**40), i, d),
    "falls": lambda p, i, d: (np.r_[p[:2], 10**6, p[3:]], i, d),
    "negative end": lambda p, i, d: (np.append(p[:-1], -1), i, d),
    "too few rows": lambda p, i, d: (p[:-1], i, d),
    "too many rows": lambda p, i, d: (np.append(p, p[-1]), i, d),
    "no indptr": lambda p, i, d: (p[:0], i, d),
    "too few values": lambda p, i, d: (p, i, d[:-1]),
    "floats as columns": lambda p, i, d: (p, i.astype(float), d),
    "bools as columns": lambda p, i, d: (p, i.astype(bool), d),
    "two axes": lambda p, i, d: (p, i[:, None], d),
    "a list": lambda p, i, d: (p, i.tolist(), d),
    "objects": lambda p, i, d: (p, i, d.astype(object)),
    "complex": lambda p, i, d: (p, i, d.astype(complex)),
    "blocks that do not fit": lambda p, i, d: (p, i, np.zeros((len(i), 4, 1))),
    "empty blocks": lambda p, i, d: (p, i, np.zeros((len(i), 0, 0))),
}


@pytest.mark.parametrize("wrong", BREAK.values(), ids=BREAK)
def test_broken_arrays_are_refused(wrong):
    csr = matrix()
    with pytest.raises(PatternError, match="weights"):
        check_compressed(*wrong(csr.indptr, csr.indices, csr.data), csr.shape, name="weights")


@pytest.mark.parametrize("shape", [None, 6, (6,), (6, 9, 1), (-6, 9), (6.5, 9), "ab"])
def test_a_shape_is_two_numbers(shape):
    with pytest.raises(PatternError, match="shape"):
        check_compressed(np.zeros(7, int), np.zeros(0, int), np.zeros(0), shape)


def test_coordinates():
    rows, columns, data = np.array([5, 0]), np.array([8, 0]), np.ones(2)
    check_coordinates(rows, columns, data, (6, 9))
    for bad in ((rows + 1, columns, data), (rows, columns - 1, data), (rows[:1], columns, data),
                (rows, columns, data[:1]), (rows * 1.0, columns, data),
                (rows, columns, np.ones((2, 2, 1)))):  # fmt: skip
        with pytest.raises(PatternError):
            check_coordinates(*bad, (6, 9))
