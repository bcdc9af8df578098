"""Chapter 1. A sparse matrix is a pattern and a vector of values; the forward pass is y = W x + b.

The numbers of this chapter return in the next ones. A dot is a position without a weight:

        | 2  .  1  . |        | 0.5 |        | 1 |   |  0 |
    W = | . -1  .  . |    b = | 0   |    x = | 2 | , |  1 |    two samples of four numbers
        | .  3  . -2 |        | -1  |        | 3 |   |  0 |
                                             | 4 |   | -1 |
"""

import numpy as np
from scipy.sparse import csr_array

from sparsecpu.layers import Sequential, SparseLinear
from sparsecpu.sparse.pattern import Pattern

INDPTR = [0, 2, 3, 5]  # row 0 is places 0 and 1, row 1 is place 2, row 2 is places 3 and 4
INDICES = [0, 2, 1, 1, 3]  # the column of each place
VALUES = [2, 1, -1, 3, -2]  # the weight at each place
BIAS = [0.5, 0, -1]
SAMPLES = np.array([[1, 2, 3, 4], [0, 1, 0, -1]])


def test_a_pattern_says_where_the_weights_are():
    pattern = Pattern((3, 4), INDPTR, INDICES)
    assert pattern.nnz == 5
    assert pattern.density == 5 / 12
    assert pattern.fan_in.tolist() == [2, 1, 2]  # weights per output, which is per row
    assert pattern.fan_out.tolist() == [1, 2, 1, 1]  # weights per input, which is per column
    # A key counts the positions row by row: row i and column j is 4 i + j.
    assert pattern.keys().tolist() == [0, 2, 5, 9, 11]


def test_forward_by_hand():
    wanted = []
    for x in SAMPLES:
        y = list(BIAS)
        for i in range(3):
            for place in range(INDPTR[i], INDPTR[i + 1]):  # only where there is a weight
                y[i] += VALUES[place] * x[INDICES[place]]
        wanted.append(y)
    assert wanted == [
        [2 * 1 + 1 * 3 + 0.5, -1 * 2, 3 * 2 - 2 * 4 - 1],
        [2 * 0 + 1 * 0 + 0.5, -1 * 1, 3 * 1 + 2 * 1 - 1],
    ]
    matrix = csr_array((VALUES, INDICES, INDPTR), shape=(3, 4))
    network = Sequential([SparseLinear.from_scipy(matrix, BIAS)])
    assert network.predict(SAMPLES).tolist() == wanted == [[5.5, -2, -3], [0.5, -1, 4]]
