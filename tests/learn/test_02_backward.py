"""Chapter 2. The backward pass: dW only where there is a weight, and dx = transpose(W) dy.

        | 2  .  1  . |        | 1 |   |  0 |         |  1 |   | 0 |
    W = | . -1  .  . |    x = | 2 | , |  1 |    dy = |  0 | , | 2 |    for two samples
        | .  3  . -2 |        | 3 |   |  0 |         | -2 |   | 1 |
                              | 4 |   | -1 |

The loss is half the squared error, averaged over the two samples, so dy = (y - target) / 2.
"""

import numpy as np
from scipy.sparse import csr_array
from small import forward_and_backward

from sparsecpu.layers import Sequential, SparseLinear
from sparsecpu.losses import SquaredError

WEIGHTS = np.array([[2, 0, 1, 0], [0, -1, 0, 0], [0, 3, 0, -2]])
SAMPLES = np.array([[1, 2, 3, 4], [0, 1, 0, -1]])
OUTPUTS = np.array([[5.5, -2, -3], [0.5, -1, 4]])  # of chapter 1
TARGETS = OUTPUTS - [[2, 0, -4], [0, 4, 2]]
DY = np.array([[1, 0, -2], [0, 2, 1]])


def layer():
    return SparseLinear.from_scipy(csr_array(WEIGHTS), [0.5, 0, -1])


def test_one_entry_of_dw_by_hand():
    """Row 2, column 3: what output 2 is told, times what input 3 was, summed over the samples."""
    _, gradients = Sequential([layer()]).loss_and_gradients(SAMPLES, TARGETS, SquaredError())
    assert gradients["0.weight"][4] == -2 * 4 + 1 * -1 == -9  # place 4 is row 2, column 3


def test_gradients_by_hand():
    loss, gradients = Sequential([layer()]).loss_and_gradients(SAMPLES, TARGETS, SquaredError())
    assert loss == ((2**2 + 4**2) / 2 + (4**2 + 2**2) / 2) / 2 == 10
    # The dense gradient would be the matrix below; the engine computes its five entries where W
    # has a weight, and no others.
    dense = DY.T @ SAMPLES
    assert dense.tolist() == [[1, 2, 3, 4], [0, 2, 0, -2], [-2, -3, -6, -9]]
    assert gradients["0.weight"].tolist() == [1, 3, 2, -3, -9]
    assert gradients["0.bias"].tolist() == [1 + 0, 0 + 2, -2 + 1]


def test_what_goes_back_to_the_layer_before():
    y, dx = forward_and_backward(layer(), SAMPLES, DY)
    assert y.tolist() == OUTPUTS.tolist()
    assert dx.tolist() == [
        [1 * 2, -2 * 3, 1 * 1, -2 * -2],
        [0 * 2, 2 * -1 + 1 * 3, 0 * 1, 1 * -2],
    ]
