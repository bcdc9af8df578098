"""The momentum as a matrix of low rank, from two running sketches."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.kernels.machine.arrays import aligned_copy, aligned_zeros
from sparsecpu.step.checked_arrays import Arrays, take
from sparsecpu.step.gradient_view import GradientView
from sparsecpu.topology.shared_view import view_of_weights
from sparsecpu.topology.sources.base import Source
from sparsecpu.topology.tile_search import search


class LowRank(Source):
    r"""M to rank r from two sketches, in O(n) memory.

    With fixed random matrices :math:`\Omega` and :math:`\Psi`, the sketches :math:`Y = M \Omega`
    and :math:`Z = M^T \Psi` follow every step exactly, for they are linear in M. At the update
    :math:`\hat M = Q (\Psi^T Q)^+ Z^T` with an orthonormal basis Q of Y, cut to rank r, and tiles
    of it are searched. The error is a small multiple of what no matrix of that rank could hold.

    Tropp, Yurtsever, Udell and Cevher, Practical sketching algorithms for low-rank matrix
    approximation (2017), algorithms 4 and 7, with sketches of 2 r + 1 and 4 r + 3 columns.
    """

    name = "lowrank"

    def __init__(
        self, parameter: Any, *, rank: int, rng: np.random.Generator, **options: Any
    ) -> None:
        super().__init__(parameter, **options)
        n_out, n_in = self.weights.shape
        self.rank = max(1, min(rank, n_out, n_in))
        narrow, wide = (min(n, n_out, n_in) for n in (2 * self.rank + 1, 4 * self.rank + 3))
        self.omega = rng.standard_normal((n_in, narrow), dtype=np.float32).astype(self.dtype)
        self.psi = rng.standard_normal((n_out, wide), dtype=np.float32).astype(self.dtype)
        self.right = aligned_zeros((n_out, narrow), self.dtype)
        self.left = aligned_zeros((n_in, wide), self.dtype)

    @staticmethod
    def nbytes(shape: tuple[int, int], itemsize: int, rank: int) -> int:
        """Return the bytes that sketches and random matrices would hold, for weights of a shape."""
        return (6 * rank + 4) * sum(shape) * itemsize

    @staticmethod
    def cost(shape: tuple[int, int], rank: int, steps: int, batch_size: int) -> int:
        """Return the multiplications of an update and of the steps observed before it."""
        n_out, n_in = shape
        sketching = 4 * steps * batch_size * (3 * rank + 2) * (n_out + n_in)
        return sketching + 2 * rank * n_out * n_in

    def observe(self, step: int, left: int, view: GradientView) -> None:
        if left > self.steps:
            return
        factors = view_of_weights(view).factors()
        assert factors is not None, "filters have no sketches"
        beta = 0.0 if left == self.steps else self.momentum
        for sketch in (self.right, self.left):
            np.multiply(sketch, self.dtype.type(beta), out=sketch)
        weight = self.dtype.type(self.gradient_weight)
        for x, dy in zip(*factors, strict=True):
            self.right += dy @ (weight * (x.T @ self.omega))
            self.left += x @ (weight * (dy.T @ self.psi))

    def factors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the estimate of M as two factors, of shapes (n_out, r) and (r, n_in)."""
        basis = np.linalg.qr(self.right)[0]
        inner = np.linalg.pinv(self.psi.T @ basis) @ self.left.T
        u, s, v = np.linalg.svd(inner, full_matrices=False)
        r = self.rank
        return np.ascontiguousarray(basis @ u[:, :r]), s[:r, None] * v[:r]

    def state(self) -> dict[str, np.ndarray]:
        return {"right": self.right, "left": self.left}

    def load_state(self, arrays: Arrays, steps_done: int) -> None:
        right = take(arrays, "right", self.dtype, self.right.shape)
        left = take(arrays, "left", self.dtype, self.left.shape)
        self.right, self.left = aligned_copy(right), aligned_copy(left)

    def top(self, count: int, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        if not all(np.isfinite(sketch).all() for sketch in (self.right, self.left)):
            # They overflow before anything else does, and have no factors then. The next window
            # begins with 0 times what is here, which NaN would outlive.
            self.right.fill(0)
            self.left.fill(0)
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=self.dtype)
        tall, flat = self.factors()

        def form(rows: slice, columns: slice, out: np.ndarray) -> None:
            np.matmul(tall[rows], flat[:, columns], out=out)

        pattern = self.parameter.pattern
        found = search(pattern, count, self.dtype, form, shared=self.shared, tall=False)
        return self._tell(found)
