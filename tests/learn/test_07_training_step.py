"""Chapter 7. One training step of two layers, and the same step in plain NumPy.

Four inputs, three hidden units with ReLU, two classes. NumPy gets full matrices and a mask of 0 and
1; multiplying dW by the mask is all that keeps its weights sparse.
"""

import numpy as np
from scipy.sparse import csr_array

from sparsecpu import Trainer
from sparsecpu.layers import ReLU, Sequential, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.optimizers import SGD

RATE = 0.5
W1 = np.array([[2, 0, 1, 0], [0, -1, 0, 0], [0, 3, 0, -2]], float)
W2 = np.array([[0, 1, -1], [0.5, 0, 0.25]], float)
B1, B2 = np.array([0.5, 0, -1]), np.array([0, 0.25])
X = np.array([[1, 2, 3, 4], [0, 1, 0, -1], [1, -2, 0, 1], [-1, 1, 2, 0]], float)
LABELS = np.array([1, 0, 0, 1])


def step_in_numpy():
    """Return the loss and what the four parameters are after one step of plain SGD."""
    z1 = X @ W1.T + B1
    h = np.maximum(z1, 0)
    z2 = h @ W2.T + B2
    p = np.exp(z2) / np.exp(z2).sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(4), LABELS]).mean()

    dz2 = (p - np.eye(2)[LABELS]) / 4
    dw2, db2 = dz2.T @ h, dz2.sum(axis=0)
    dz1 = (dz2 @ W2) * (z1 > 0)
    dw1, db1 = dz1.T @ X, dz1.sum(axis=0)

    w1, w2 = W1 - RATE * dw1 * (W1 != 0), W2 - RATE * dw2 * (W2 != 0)
    return loss, w1, B1 - RATE * db1, w2, B2 - RATE * db2


def test_one_step():
    first, second = (SparseLinear.from_scipy(csr_array(w), b) for w, b in ((W1, B1), (W2, B2)))
    network = Sequential([first, ReLU(), second])
    wanted_loss, *wanted = step_in_numpy()
    loss, _ = network.loss_and_gradients(X, LABELS, SoftmaxCrossEntropy())
    np.testing.assert_allclose(loss, wanted_loss, rtol=1e-6)

    Trainer(network, loss=SoftmaxCrossEntropy(), optimizer=SGD(momentum=0.0), learning_rate=RATE,
            batch_size=4, epochs=1).fit(X, LABELS)  # fmt: skip
    found = (first.weight.to_scipy().toarray(), first.bias.data,
             second.weight.to_scipy().toarray(), second.bias.data)  # fmt: skip
    for ours, numpys in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, numpys, rtol=1e-6, atol=1e-7)
    assert first.weight.nnz == 5
    assert not np.allclose(found[0], W1)
