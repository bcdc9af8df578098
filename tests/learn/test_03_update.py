"""Chapter 3. The update: an optimizer sees vectors with one number per weight, never a matrix.

Momentum of 0.5, without Nesterov, and a learning rate of 0.5:

    v <- v / 2 + g        w <- w - v / 2

The momentum v lies in a slot of the parameter and has one number per weight, too.
"""

import numpy as np
from scipy.sparse import csr_array

from sparsecpu.optimizers import SGD
from sparsecpu.sparse.parameter import SparseParameter

WEIGHTS = np.array([[2, 0, 1, 0], [0, -1, 0, 0], [0, 3, 0, -2]])


def test_two_steps_of_momentum():
    parameter = SparseParameter.from_scipy(csr_array(WEIGHTS))
    assert parameter.data.tolist() == [2, 1, -1, 3, -2]
    parameter.grad[:] = [1, 3, 2, -3, -9]  # of chapter 2; the same in both steps
    optimizer = SGD(momentum=0.5, nesterov=False)

    optimizer.step([parameter], learning_rate=0.5, step=0)
    assert parameter.slots["momentum"].tolist() == [1, 3, 2, -3, -9]
    assert parameter.data.tolist() == [1.5, -0.5, -2, 4.5, 2.5]

    optimizer.step([parameter], learning_rate=0.5, step=1)
    assert parameter.slots["momentum"].tolist() == [1.5, 4.5, 3, -4.5, -13.5]
    assert parameter.data.tolist() == [0.75, -2.75, -3.5, 6.75, 9.25]
