"""Chapter 4. Rewire: some weights go, as many come, and what belongs to a weight moves with it.

The two weights nearest zero, at places 1 and 2, are dropped; two new ones come, marked *:

    | 2  .  1  . |        | 2  *  .  . |
    | . -1  .  . |   ->   | .  .  .  . |
    | .  3  . -2 |        | *  3  . -2 |
"""

import numpy as np
import pytest
from scipy.sparse import csr_array

from sparsecpu.errors import PatternError
from sparsecpu.sparse.parameter import SparseParameter


def made():
    matrix = np.array([[2, 0, 1, 0], [0, -1, 0, 0], [0, 3, 0, -2]])
    parameter = SparseParameter.from_scipy(csr_array(matrix))
    parameter.slot("momentum")[:] = [10, 20, 30, 40, 50]
    return parameter


def test_weights_move_with_everything_that_is_theirs():
    parameter = made()
    parameter.rewire(drop=np.array([1, 2]), rows=np.array([0, 2]), cols=np.array([1, 0]))
    assert parameter.nnz == 5
    assert parameter.pattern.indptr.tolist() == [0, 2, 2, 5]
    assert parameter.pattern.indices.tolist() == [0, 1, 0, 1, 3]
    assert parameter.data.tolist() == [2, 0, 0, 3, -2]  # new weights start at 0
    assert parameter.slots["momentum"].tolist() == [10, 0, 0, 40, 50]  # and so does their momentum


def test_new_weights_may_start_with_something():
    parameter = made()
    start = {"data": np.array([0.25, 0.75])}
    parameter.rewire(np.array([1, 2]), np.array([2, 0]), np.array([0, 1]), start)
    assert parameter.data.tolist() == [2, 0.75, 0.25, 3, -2]


def test_what_is_there_cannot_come():
    parameter = made()
    with pytest.raises(PatternError):
        parameter.rewire(drop=np.array([1]), rows=np.array([0]), cols=np.array([0]))
    assert parameter.data.tolist() == [2, 1, -1, 3, -2]
