"""A linear layer for one or two samples: a dot product per row and sample."""

from __future__ import annotations

import numpy as np

from sparsecpu.layers.linear_ways.base import Way
from sparsecpu.step.context import Context


class SingleSamples(Way):
    """For predictions of so few samples that tiles would stay all but empty."""

    def output(self, ctx: Context, other: np.ndarray | None = None) -> np.ndarray:
        from sparsecpu.kernels.linear.group_dots import group_dots_kernel
        from sparsecpu.kernels.linear.row_dots import row_dots

        shared, group, y = self.pattern.groups, self.pattern.group, self.y
        arguments = (
            shared.indptr, shared.indices, self.weight.data, self.x[..., 0], self.bias, y[..., 0],
            self.layer.relu, shared.chunks,
        )  # fmt: skip
        if group > 1:
            group_dots_kernel()(group, *arguments)
        else:
            row_dots(*arguments)
        return y if other is None else np.add(y, other, out=y)
