"""Our kernels for one linear layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparsecpu.bench.cases import LinearCase
from sparsecpu.bench.measuring.cache_loads import Loads
from sparsecpu.kernels.machine.arrays import aligned_copy, aligned_empty
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.sparse.row_blocks import effective_width, uncut_bytes
from sparsecpu.step.context import Context
from sparsecpu.step.lanes import choose_lanes
from sparsecpu.step.precision import sixteen_bit_copy

#: What a layer computes.
PARTS = ("forward", "dx", "dw")


class SparseLayer:
    """Our kernels on one batch; copying the values into transposed order counts as part of dx.

    Inputs narrower than float32 are copied within the timed parts, as a training step does.
    """

    def __init__(
        self,
        case: LinearCase,
        sparsity: float,
        lanes: int | None = None,
        blocked: bool = True,
        precision: str = "fp32",
    ) -> None:
        rng = np.random.default_rng(0)
        shape, self.batch = (case.n_out, case.n_in), case.batch
        nnz = max(1, round(case.n_out * case.n_in * (1 - sparsity)))
        values = rng.standard_normal(nnz, dtype=np.float32)
        self.weight = SparseParameter(Pattern.random(shape, nnz, rng), values)
        widest = max(effective_width(n, n * (1 - sparsity)) for n in shape)
        self.lanes = lanes or choose_lanes(case.batch, widest)
        tiles = -(-case.batch // self.lanes)
        self.x = aligned_copy(rng.standard_normal((tiles, case.n_in, self.lanes), dtype=np.float32))
        self.dy = aligned_copy(
            rng.standard_normal((tiles, case.n_out, self.lanes), dtype=np.float32)
        )
        self.y, self.dx = aligned_empty(self.dy.shape, "f4"), aligned_empty(self.x.shape, "f4")
        self.bias, self.none = np.zeros(case.n_out, "f4"), np.empty(0, "f4")
        self.precision, self.ctx = precision, Context()
        row_bytes = (4 if precision == "fp32" else 2) * self.lanes if blocked else 1
        pattern = self.weight.pattern
        self.cuts, self.turned = pattern.blocks(row_bytes), pattern.transposed.blocks(row_bytes)
        self.chunks = pattern.chunks_of(row_bytes)
        self.turned_chunks = pattern.transposed.chunks_of(row_bytes)

    def _read(self, name: str, again: bool = False) -> np.ndarray:
        """Return x or dy at the precision; ``again`` returns the copy that ``forward`` has made."""
        array = getattr(self, name)
        if self.precision == "fp32":
            return array
        form = self.precision if name == "x" else "bf16"
        if again:
            from sparsecpu.kernels.vectors.sixteen_bits import narrow_shape

            return self.ctx.workspace.array(name, form, *narrow_shape(array.shape, form))
        return sixteen_bit_copy(self.ctx.workspace, name, array, form)

    def forward(self) -> None:
        """Compute y = max(W x + b, 0)."""
        from sparsecpu.kernels.linear import RELU, matmul_kernel

        p = self.weight.pattern
        matmul_kernel(self.lanes)(
            *self.cuts, p.indices, self.weight.data, self._read("x"), self.bias, self.y, self.y,
            RELU, self.chunks,
        )  # fmt: skip

    def input_gradient(self) -> None:
        """Compute dx = Wᵀ dy, where x > 0."""
        from sparsecpu.kernels.linear import GATED, matmul_kernel
        from sparsecpu.kernels.update import refresh

        t, values = self.weight.pattern.transposed, self.weight.transposed_memory()
        refresh(self.weight.data, t.perm, values)
        matmul_kernel(self.lanes)(
            *self.turned,
            t.indices,
            values,
            self._read("dy"),
            self.none,
            self.x,
            self.dx,
            GATED,
            self.turned_chunks,
        )

    def weight_gradient(self) -> None:
        """Compute dW = dy xᵀ at the nonzeros, and the bias gradient."""
        from sparsecpu.kernels.linear import gradient_kernel

        p = self.weight.pattern
        gradient_kernel(self.lanes)(
            *self.cuts,
            p.indices,
            self._read("x", again=True),
            self.dy,
            self.weight.grad,
            self.bias,
            self.chunks,
        )

    def parts(self) -> dict[str, Callable[[], None]]:
        """Return what to time, by the names in ``PARTS``."""
        calls = self.forward, self.input_gradient, self.weight_gradient
        return dict(zip(PARTS, calls, strict=True))

    @property
    def blocks(self) -> int:
        """How many blocks the columns are cut into."""
        return len(self.cuts[0])

    def limit(self) -> Loads:
        """Return the loads that limit these kernels: from one tile, or from one block of it."""
        width = self.weight.shape[1] // self.blocks
        return Loads(min(width * self.lanes * 4, 2 * uncut_bytes()), lanes=self.lanes)
