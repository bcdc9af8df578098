"""Chapter 5. A convolution: the same sums, at every pixel.

An image of 4 x 4 pixels and a filter of 2 x 2, in which two of the four weights exist:

    | 1  2  0  1 |
    | 3  0  1  2 |        filter = | 1  . |
    | 0  1  4  0 |                 | . -1 |
    | 2  1  0  3 |

An output is its pixel minus the pixel to the lower right. The weight matrix of the layer has one
row per filter and one column per weight of it, so here it is 1 x 4: | 1 . . -1 |.
"""

import numpy as np

from sparsecpu.layers import Flatten, Sequential, SparseConv2d
from sparsecpu.losses import SquaredError
from sparsecpu.sparse.pattern import Pattern

IMAGE = np.array([[1, 2, 0, 1], [3, 0, 1, 2], [0, 1, 4, 0], [2, 1, 0, 3]])
OUTPUT = np.array([[1 - 0, 2 - 1, 0 - 2], [3 - 1, 0 - 4, 1 - 0], [0 - 1, 1 - 0, 4 - 3]])


def made():
    layer = SparseConv2d(1, 1, 2, pattern=Pattern((1, 4), [0, 2], [0, 3]), bias=False)
    layer.weight.data[:] = [1, -1]
    layer.weight.touch()  # tells the layer that its weights changed
    return Sequential([layer, Flatten()], (1, 4, 4))


def test_forward_by_hand():
    found = made().predict(IMAGE.reshape(1, 16))
    assert found.reshape(3, 3).tolist() == OUTPUT.tolist() == [[1, 1, -2], [2, -4, 1], [-1, 1, 1]]


def test_one_dw_by_hand():
    """dW at a weight: what each output is told, times the pixel that the weight saw for it."""
    dy = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 2]])
    target = (OUTPUT - dy).reshape(1, 9)
    loss, gradients = made().loss_and_gradients(IMAGE.reshape(1, 16), target, SquaredError())
    assert loss == (1**2 + 2**2) / 2
    assert gradients["0.weight"].tolist() == [
        1 * 1 + 2 * 4,  # the upper left weight saw pixel (0, 0) for the one, (2, 2) for the other
        1 * 0 + 2 * 3,  # the lower right one saw (1, 1) and (3, 3)
    ]
