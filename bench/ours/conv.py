"""Our convolution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparsecpu.bench.cases import ConvCase, Variant
from sparsecpu.kernels.machine.arrays import aligned_copy
from sparsecpu.layers import SparseConv2d, Spec
from sparsecpu.layers.images.planes import Planes
from sparsecpu.step.context import Context

#: What a convolution computes; backward is dx and dW at once.
PARTS = ("forward", "dx+dw")
_LANES = 16


class SparseConvolution:
    """Our layer on one batch; putting the weights in the order of the taps counts, both ways."""

    def __init__(self, case: ConvCase, variant: Variant, precision: str = "fp32") -> None:
        rng = np.random.default_rng(0)
        self.layer = SparseConv2d(
            case.channels, case.filters, case.kernel, stride=case.stride, padding=case.kernel // 2,
            density=1 - variant.sparsity, bias=False, rng=rng, group=variant.group,
        )  # fmt: skip
        spec = self.layer.plan(Spec((case.channels, case.side, case.side), needs_gradient=True))
        self.ctx = Context(n_valid=case.batch, precision=precision)
        #: Multiplications of a forward pass.
        self.products = self.layer.weight.nnz * spec.shape[1] * spec.shape[2] * case.batch
        tiles = -(-case.batch // _LANES)

        def planes(channels: int, height: int, width: int) -> Planes:
            shape = (tiles, height, channels, width, _LANES)
            return Planes(aligned_copy(rng.standard_normal(shape, dtype=np.float32)))

        self.x, self.dy = planes(case.channels, case.side, case.side), planes(*spec.shape)

    def parts(self) -> dict[str, Callable[[], object]]:
        """Return what to time, by the names in ``PARTS``."""
        layer, ctx = self.layer, self.ctx
        return {
            "forward": lambda: layer.forward(self.x, ctx),
            "dx+dw": lambda: layer.backward(self.dy, self.x, ctx),
        }
