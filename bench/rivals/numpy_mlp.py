"""A dense MLP's training step in plain NumPy, on whatever BLAS NumPy has.

Run as ``python -m sparsecpu.bench.rivals.numpy_mlp``, it makes steps when it is asked to; see
``turns``. It runs in a process of its own, so that BLAS has the number of threads it is given and
none of Numba's are awake beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from sparsecpu.bench.rivals.turns import Kind, serve


class DenseMLP:
    """Hidden layers with ReLU, softmax cross-entropy, SGD with Nesterov momentum and weight decay.

    Written as well as NumPy allows: float32, samples as columns, no temporaries in the big loops.
    ``layers`` are sizes, the input first.
    """

    def __init__(self, layers: Sequence[int], batch: int) -> None:
        #: Called with the name of each stretch of a step as it begins; see ``StepClock``.
        self.now: Callable[[str], object] = str
        rng = np.random.default_rng(0)
        pairs = list(itertools.pairwise(layers))
        self.weights = [
            (rng.standard_normal((o, i), dtype=np.float32) * np.float32((2 / i) ** 0.5))
            for i, o in pairs
        ]
        self.biases = [np.zeros((o, 1), dtype=np.float32) for _, o in pairs]
        self.velocities = [np.zeros_like(w) for w in self.weights]
        self.gradients = [np.empty_like(w) for w in self.weights]
        self.outputs = [np.empty((o, batch), dtype=np.float32) for o in layers]
        self.deltas = [np.empty((o, batch), dtype=np.float32) for o in layers]

    def step(self, x: np.ndarray, y: np.ndarray, rows: np.ndarray, rate: float = 1e-4) -> None:
        """Do one training step: gather, forward, loss, backward, update."""
        a, last = self.outputs, len(self.weights) - 1
        a[0][...] = x[rows].T
        for k, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            self.now("forward")
            np.matmul(w, a[k], out=a[k + 1])
            a[k + 1] += b
            if k < last:
                np.maximum(a[k + 1], 0, out=a[k + 1])
        z, d = a[-1], self.deltas[-1]
        np.subtract(z, z.max(axis=0), out=d)
        np.exp(d, out=d)
        d /= d.sum(axis=0)
        d[y[rows], np.arange(len(rows))] -= 1
        d /= len(rows)
        for k in range(last, -1, -1):
            d, g, v, w = self.deltas[k + 1], self.gradients[k], self.velocities[k], self.weights[k]
            self.now("dW")
            np.matmul(d, a[k].T, out=g)
            if k > 0:
                self.now("dx")
                np.matmul(w.T, d, out=self.deltas[k])
                self.deltas[k] *= a[k] > 0
            self.now("update")
            self.biases[k] -= rate * d.sum(axis=1, keepdims=True)
            v *= 0.9
            v += g
            g += 0.9 * v
            w *= 1 - rate * 5e-4
            g *= rate
            w -= g


def kinds(layers: Sequence[int], batch: int) -> list[Kind]:
    """Return the steps of a network in this process."""
    rng = np.random.default_rng(1)
    net = DenseMLP(layers, batch)
    x = rng.standard_normal((max(2 * batch, 512), layers[0]), dtype=np.float32)
    y = rng.integers(0, layers[-1], len(x))
    rows = itertools.cycle(rng.integers(0, len(x), (64, batch)))
    return [("fp32", lambda: net.step(x, y, next(rows)))]


def dense_bytes(layers: Sequence[int]) -> int:
    """Return the bytes of the dense network's weights, gradients and momentum."""
    return 12 * sum(i * o for i, o in itertools.pairwise(layers))


if __name__ == "__main__":
    serve(kinds)
