"""A sparse product by hand; then an MLP: forward, backward, update; each epoch, drop and grow."""

import numpy as np

# The first product: 3 outputs, 4 inputs, 5 weights. CSR keeps where each row begins, and of each
# weight its column and its value.
begins, column = np.array([0, 2, 3, 5]), np.array([0, 3, 1, 0, 2])
value = np.array([0.5, -1.0, 2.0, 0.25, 1.0])
x = np.array([1.0, 2.0, 3.0, 4.0])

y = np.zeros(3)
for i in range(3):
    for k in range(begins[i], begins[i + 1]):
        y[i] += value[k] * x[column[k]]
print("y = W x:", y)

# Its gradient, of the loss y @ y / 2: dy is y, and each weight has its own dy times its own x.
dy = y
row = np.repeat(np.arange(3), np.diff(begins))
gradient = dy[row] * x[column]  # five numbers: where no weight is, nothing is computed
print("gradient:", gradient)
value -= 0.01 * gradient
y = np.bincount(row, value * x[column])
print("after a step:", y.round(3))

# The same with layers and a batch of digits; whole rows of samples stand where x was a number.
from sparsecpu.datasets import open_data
from sparsecpu.layers import ReLU, Sequential, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.optimizers import SGD
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace
from sparsecpu.topology.free_positions import random_free
from sparsecpu.topology.selection import smallest

EPOCHS, BATCH, RATE, PRUNE = 20, 32, 0.05, 0.2

digits, rng = open_data("digits"), np.random.default_rng(0)
layers = [SparseLinear(64, 300, density=0.05, rng=rng), ReLU(),
          SparseLinear(300, 100, density=0.05, rng=rng), ReLU(),
          SparseLinear(100, 10, density=0.5, rng=rng)]  # fmt: skip
network, loss, optimizer = Sequential(layers), SoftmaxCrossEntropy(), SGD(momentum=0.9)
network.offset, network.scale = np.full(64, 8, "f"), np.full(64, 1 / 8, "f")  # pixels are 0 to 16

x, y = network.samples(digits.x_train), loss.prepare(digits.y_train, 10)
lanes = network.lanes(BATCH)  # samples lie side by side in tiles of so many
workspace, steps = Workspace(), 0  # memory that every step uses again

print(f"\n{'epoch':>5}{'loss':>9}{'accuracy %':>12}{'nnz':>7}{'dropped and grown':>20}")
for epoch in range(EPOCHS):
    order, summed = rng.permutation(len(y)), 0.0
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        ctx = Context(workspace, train=True, n_valid=len(rows))
        z, saved = network.forward(network.gather(x, rows, lanes, ctx), ctx)
        value, dz = loss(z, rows, y, ctx)
        network.backward(dz, saved, ctx)  # every parameter now has its grad, as long as its data
        rate = RATE * (1 - epoch / EPOCHS)
        optimizer.step(network.parameters().values(), rate, steps)
        steps, summed = steps + 1, summed + value * len(rows)
    moved = 0
    for weight in network.sparse_parameters().values():
        count = int(PRUNE * (1 - epoch / EPOCHS) * weight.nnz)
        nearest_zero = smallest(np.abs(weight.data), count)
        somewhere_else = random_free(weight.pattern, count, rng)
        weight.rewire_keys(nearest_zero, somewhere_else)  # momentum moves along; new ones are 0
        moved += count
    if epoch % 4 == 3:
        right = network.predict(digits.x_test).argmax(axis=1) == digits.y_test
        print(f"{epoch + 1:>5}{summed / len(y):>9.4f}{100 * right.mean():>12.2f}"
              f"{network.nnz:>7,}{moved:>20,}")  # fmt: skip
print(f"\n{network.nnz:,} of {network.size:,} weights: density {network.density:.3f}")
