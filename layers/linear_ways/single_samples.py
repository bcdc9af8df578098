"""A linear layer for one or two samples: a dot product per row and sample."""

from __future__ import annotations

import numpy as np

from sparsecpu.layers.linear_ways.base import Way
from sparsecpu.step.context import Context


class SingleSamples(Way):
    """For predictions of so few samples that tiles would stay all but empty."""

    def output(self, ctx: Context) -> np.ndarray:
        from sparsecpu.kernels.linear.row_dots import row_dots

        pattern, y = self.pattern, self.y
        row_dots(
            pattern.indptr, pattern.indices, self.weight.data, self.x[..., 0], self.bias,
            y[..., 0], self.layer.relu, pattern.chunks,
        )  # fmt: skip
        return y
