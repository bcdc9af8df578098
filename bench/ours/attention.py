"""Our attention between projections: queries, keys and values are there, outputs are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sparsecpu.bench.cases import AttentionCase
from sparsecpu.kernels.attention.backward import attend_backward_kernel
from sparsecpu.kernels.attention.forward import attend_kernel, scratch_size
from sparsecpu.kernels.attention.sequences import Sequences
from sparsecpu.kernels.machine.arrays import aligned_copy, aligned_empty

#: What attention computes; backward is the gradients of queries, keys and values.
PARTS = ("forward", "backward")
_LANES = 64


class OurAttention:
    """The kernels on one batch, in tiles of 64 tokens."""

    def __init__(self, case: AttentionCase) -> None:
        rng, itemsize = np.random.default_rng(0), 4
        lengths = np.full(case.sequences, case.length)
        sequences = Sequences.of_lengths(lengths, _LANES, itemsize)
        tiles = len(sequences.owner) // _LANES
        shape, causal = (tiles, case.heads * case.size, _LANES), int(case.causal)
        q, k, v, self.dy = (
            aligned_copy(rng.standard_normal(shape, dtype=np.float32)) for _ in range(4)
        )
        scale, no_dropout = np.float32(1 / math.sqrt(case.size)), (-1, np.float32(0))
        self.y = np.zeros_like(q)
        self.given = q, k, v, *sequences.strips, case.heads, scale, *no_dropout, self.y
        self.statistics = aligned_empty((2, tiles, case.heads, _LANES), np.float32)
        self.scratch = aligned_empty((case.threads, scratch_size(_LANES, itemsize)), np.float32)
        self.gradients = [np.zeros_like(q) for _ in range(3)]
        self._forward = attend_kernel(_LANES, itemsize, causal, 0)
        self._backward = attend_backward_kernel(_LANES, itemsize, causal, 0)
        self.threads = case.threads

    def forward(self) -> None:
        """Write the outputs."""
        self._forward(self.threads, np.dtype(np.float32), *self.given, self.statistics,
                      self.scratch)  # fmt: skip

    def backward(self) -> None:
        """Write the gradients; ``forward`` has run."""
        self._backward(self.threads, np.dtype(np.float32), *self.given, self.statistics, self.dy,
                       *self.gradients, self.scratch)  # fmt: skip

    def parts(self) -> dict[str, Callable[[], object]]:
        """Return what to time, by the names in ``PARTS``."""
        return {"forward": self.forward, "backward": self.backward}
