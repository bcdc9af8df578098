"""Training samples are known again in other forms, and by nothing less than all of them."""

import numpy as np
from scipy import sparse

from sparsecpu.experiments.known_data import mark_of
from sparsecpu.step.samples import ArraySamples


def test_a_mark_depends_on_values_alone(rng):
    x = rng.integers(0, 256, (5000, 7)).astype(np.uint8)
    x[rng.random(x.shape) < 0.5] = 0
    x[4097] = 0
    y = rng.integers(0, 3, 5000)
    wanted = mark_of(x, y)
    for dtype in (np.float32, np.float64):
        assert mark_of(x.astype(dtype), y.astype(dtype)) == wanted
        assert mark_of(sparse.csr_array(x.astype(dtype)), y) == wanted
    zeros = sparse.csr_matrix(x.astype(float))
    zeros.data[zeros.data == 7] = 0  # stored, but no values
    assert mark_of(zeros, y) == mark_of(np.where(x == 7, 0, x), y)
    rows = rng.permutation(5000)[:4500]
    assert mark_of(x, y, rows) == mark_of(x[rows], y[rows])
    few = ArraySamples(x[:50].astype(np.float32))
    assert mark_of(few, y[:50]) == mark_of(x[:50], y[:50])


def test_another_number_place_order_or_target_has_another_mark(rng):
    x, y = rng.standard_normal((40, 5)), rng.integers(0, 2, 40)
    x[3, 1], x[3, 2] = 0, 0.5
    others = [x.copy() for _ in range(3)]
    others[0][39, 4] += 1e-3
    others[1][3, 1:3] = 0.5, 0
    others[2] = np.c_[x, np.zeros(40)]
    marks = [mark_of(x, y), mark_of(x[:39], y[:39]), mark_of(x, 1 - y), mark_of(x[::-1], y)]
    marks += [mark_of(other, y) for other in others]
    assert len(set(marks)) == len(marks)
