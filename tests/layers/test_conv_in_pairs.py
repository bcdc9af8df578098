"""Convolutions in groups that multiply bf16 numbers in pairs."""

import naive
import numpy as np
import pytest
from small import filters_of

from sparsecpu.kernels.machine import cpu
from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.layers import SparseConv2d, Spec
from sparsecpu.layers.images import grouped_pass
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace

pytestmark = pytest.mark.skipif(
    not cpu._compiles_for("avx512bf16"), reason="needs a CPU with AVX512-BF16"
)
#: The ring's second of two numbers is off by a whole last bit at most, a weight by half of one.
ROUNDING = 3.1 * 2.0**-8


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "filters", "batch"),
    [(3, 1, 1, 11, 17), (3, 2, 1, 14, 33), (1, 1, 0, 98, 5)],
)
def test_outputs_are_near_those_of_float32(kernel, stride, padding, filters, batch, monkeypatch):
    """With odd numbers of taps, and a last group of fewer filters; on one thread and on two."""
    rng = np.random.default_rng(batch)
    layer = SparseConv2d(40, filters, kernel, stride=stride, padding=padding, density=0.425,
                         group=4, rng=rng)  # fmt: skip
    layer.bias.data[:] = rng.standard_normal(filters)
    layer.plan(Spec((40, 9, 7), needs_gradient=True))
    x = rng.standard_normal((batch, 40, 9, 7), dtype=np.float32)
    x[x < -1.5] = 0
    found = []
    for way, threads in (("", 1), ("pairs", 1), ("pairs", 2)):
        monkeypatch.setattr(grouped_pass, "bf16_products", lambda way=way: way)
        ctx = Context(Workspace(), train=True, n_valid=batch, precision="bf16")
        with use_threads(threads):
            y, _ = layer.forward(naive.to_planes(x, 16), ctx)
        found.append(naive.from_planes(y.values, batch).copy())
    assert (layer.weight.pattern.groups.fan_in % 2).any()
    filters_, settings = filters_of(layer), (layer.stride, layer.padding, 1)
    exact = naive.conv2d(x, filters_, layer.bias.data, *settings)
    sizes = naive.conv2d(abs(x), abs(filters_), 0 * layer.bias.data, *settings)
    for y in found:
        assert (np.abs(y - exact) <= ROUNDING * sizes + 1e-4).all()
    assert np.abs(found[0] - found[1]).max() > 1e-5  # weights are rounded, too
    np.testing.assert_array_equal(found[1], found[2])
