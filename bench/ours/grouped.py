"""Our kernels for one linear layer whose rows stand in groups."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparsecpu.bench.cases import LinearCase, Variant
from sparsecpu.bench.measuring.cache_loads import Loads
from sparsecpu.bench.ours.linear import PARTS, SparseLayer
from sparsecpu.kernels.machine.arrays import aligned_copy
from sparsecpu.layers import SparseLinear, Spec
from sparsecpu.sparse.row_blocks import effective_width, uncut_bytes
from sparsecpu.step.context import Context
from sparsecpu.step.lanes import choose_lanes


class GroupedLayer:
    """A layer of ours on one batch, as a training step runs it, in its three products."""

    def __init__(self, case: LinearCase, variant: Variant, precision: str = "fp32") -> None:
        rng = np.random.default_rng(0)
        layer = SparseLinear(
            case.n_in, case.n_out, density=1 - variant.sparsity, group=variant.group, rng=rng
        )
        layer.plan(Spec((case.n_in,), needs_gradient=True))
        layer.absorb_relu()
        layer.gate_by_input()
        self.weight, self.batch, self.group = layer.weight, case.batch, variant.group
        widest = max(effective_width(n, n * self.weight.density) for n in self.weight.shape)
        self.lanes = choose_lanes(case.batch, widest, group=self.group)
        tiles = -(-case.batch // self.lanes)

        def tile(features: int) -> np.ndarray:
            shape = tiles, features, self.lanes
            return aligned_copy(rng.standard_normal(shape, dtype=np.float32))

        self.x, dy = tile(case.n_in), tile(case.n_out)
        self.ctx = Context(precision=precision)
        _, self.way = layer.forward(self.x, self.ctx)
        layer.backward(dy, self.way, self.ctx)  # binds dx and dW to their arguments

    @property
    def blocks(self) -> int:
        """How many blocks the columns are cut into."""
        return len(self.way._cut[0])

    def parts(self) -> dict[str, Callable[[], object]]:
        """Return what to time, by the names in ``PARTS``."""
        way, ctx = self.way, self.ctx
        calls = lambda: way.output(ctx), way.input_gradient, way.weight_gradient
        return dict(zip(PARTS, calls, strict=True))

    def limit(self) -> Loads:
        """Return the loads of these kernels, each of which serves all rows of a group."""
        from sparsecpu.kernels.linear.grouped import strip_of

        width = self.weight.shape[1] // self.blocks
        nbytes = min(width * self.lanes * 4, 2 * uncut_bytes())
        return Loads(nbytes, lanes=strip_of(self.group, self.lanes, 4))


def our_layer(
    case: LinearCase, variant: Variant, precision: str = "fp32"
) -> SparseLayer | GroupedLayer:
    """Return a layer of ours, by itself."""
    if variant.group > 1:
        return GroupedLayer(case, variant, precision)
    return SparseLayer(case, variant.sparsity, precision=precision)
