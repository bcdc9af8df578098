"""A layer of one's own: written, checked by central differences, trained, and saved."""

import tempfile

import numpy as np
from scipy.special import expit

from sparsecpu import Trainer, load, save
from sparsecpu.datasets import open_data
from sparsecpu.layers import Activation
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import Architecture, LayerSpec


class Swish(Activation):
    """``y = x / (1 + exp(-beta x))``."""

    kind = "swish"  # by this line, descriptions and files know it

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = float(beta)

    def apply(self, x, y, ctx) -> None:
        """Write y."""
        np.multiply(x, self.beta, out=y)
        expit(y, out=y)
        np.multiply(y, x, out=y)

    def gradient(self, x, y, slope, ctx) -> None:
        """Write dy/dx."""
        np.multiply(x, self.beta, out=slope)
        expit(slope, out=slope)  # s, and dy/dx = s + beta y (1 - s)
        slope += self.beta * y * (1 - slope)


def described(kind: str) -> Architecture:
    """Return an MLP with this activation."""
    layers = []
    for size in (300, 100):
        layers += [LayerSpec("linear", {"out_features": size, "nnz": None}), LayerSpec(kind)]
    layers.append(LayerSpec("linear", {"out_features": 10, "nnz": None}))
    return Architecture((64,), tuple(layers), kind).sparsify(0.05)


digits, loss = open_data("digits"), SoftmaxCrossEntropy()

# Its gradient, against central differences in float64.
network = described("swish").build(dtype=np.float64)
x, y = digits.x_train[:17] / 8.0 - 1, digits.y_train[:17]
_, gradients = network.loss_and_gradients(x, y, loss)
worst = 0.0
for name, parameter in network.sparse_parameters().items():
    for place in range(0, parameter.nnz, max(1, parameter.nnz // 20)):
        values = []
        for step in (1e-6, -2e-6):
            parameter.data[place] += step
            parameter.touch()  # data changed: its transposed copy is out of date
            values.append(network.loss_and_gradients(x, y, loss)[0])
        parameter.data[place] += 1e-6
        worst = max(worst, abs((values[0] - values[1]) / 2e-6 - gradients[name][place]))
print(f"gradients differ from central differences by at most {worst:.1e}\n")

# Beside the built-in ones.
print(f"{'activation':<12}{'accuracy %':>12}")
for kind in ("swish", "relu", "tanh"):
    network = described(kind).build(np.random.default_rng(0))
    network.offset, network.scale = np.full(64, 8, "f"), np.full(64, 1 / 8, "f")
    Trainer(network, loss=loss, learning_rate=0.05, batch_size=32, epochs=15, threads=1).fit(
        digits.x_train, digits.y_train
    )
    right = network.predict(digits.x_test).argmax(axis=1) == digits.y_test
    print(f"{kind:<12}{100 * right.mean():>12.2f}")
    if kind == "swish":
        with tempfile.TemporaryDirectory() as folder:
            save(network, f"{folder}/it.npz")
            again = load(f"{folder}/it.npz")[0]
        assert np.array_equal(again.predict(digits.x_test), network.predict(digits.x_test))
