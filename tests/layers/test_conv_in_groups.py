"""Convolutions whose filters stand in groups that share their taps, against plain twins."""

import naive
import numpy as np
import pytest
from convolving import check
from small import made

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.layers import Sequential, SparseConv2d, Spec
from sparsecpu.layers.images import grouped_pass, grouped_taps, sparse_convolution
from sparsecpu.layers.images.grouped_taps import suits_groups
from sparsecpu.layers.images.planes import Planes
from sparsecpu.layers.images.strips import Tiles
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace


@pytest.fixture(autouse=True)
def _no_filter_has_few_taps(monkeypatch):
    """Small layers would go backward as filters that stand alone do."""
    for name in ("_FEW_TAPS", "_FEW_POINTS"):
        monkeypatch.setattr(sparse_convolution, name, -1)


CASES = [
    # channels and filters, kernel, stride, padding, groups of channels, image, batch
    ((4, 8), 3, 1, 1, 1, (9, 7), 17),
    ((4, 6), 3, 2, 1, 1, (9, 11), 3),  # a last group of two filters
    ((3, 1), 3, 1, 1, 1, (6, 5), 2),  # a group of one
    ((4, 8), 1, 1, 0, 1, (5, 8), 1),
    ((4, 8), 1, 2, 0, 1, (7, 15), 4),
    ((4, 8), 1, 3, 0, 1, (8, 9), 2),  # pixels, rows and columns of x that no tap reads
    ((4, 8), 5, 2, 2, 2, (13, 13), 4),
    ((4, 8), 11, 2, 2, 1, (20, 19), 2),
    ((4, 8), (3, 5), (1, 2), (0, 2), 2, (9, 33), 2),
    ((4, 8), 7, 3, 3, 1, (17, 40), 2),
    ((4, 8), 3, 1, 2, 1, (4, 4), 3),
    ((4, 8), 3, 1, 1, 4, (6, 6), 5),  # groups of channels cut through groups of filters
    ((4, 8), 3, 1, 1, 1, (1, 7), 2),
    ((4, 8), 3, 1, 1, 1, (4, 4), 50),
    ((4, 8), 3, 2, 1, 1, (5, 5), 70),
    ((4, 8), 3, 1, 1, 2, (2, 2), 40),
    ((4, 8), 1, 1, 0, 1, (1, 1), 33),
    ((4, 8), (5, 3), (2, 1), (2, 1), 1, (7, 3), 65),
    ((4, 8), 7, 1, 6, 1, (2, 3), 3),  # more padding than image
    ((4, 6), 5, 3, 4, 1, (3, 4), 20),  # rows of outputs that see nothing but padding
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_grouped_convolution(case):
    shape, kernel, stride, padding, groups, size, batch = case
    options = {"stride": stride, "padding": padding, "groups": groups}
    layer = made(shape, kernel, size, group=4, **options)
    assert suits_groups(layer.weight.pattern, layer.geometry()) == (groups < 4)
    check(layer, size, batch, np.float64)


@pytest.mark.parametrize("moments", [False, True])
def test_grouped_convolution_in_float32(moments):
    layer = made((6, 10), 3, (9, 10), padding=1, group=4, dtype=np.float32)
    if moments:
        layer.sum_moments()
    check(layer, (9, 10), 40, np.float32)


def test_groups_of_eight():
    layer = made((5, 18), 3, (6, 7), padding=1, group=8, empty=range(8), dtype=np.float32)
    check(layer, (6, 7), 18, np.float32)


@pytest.mark.parametrize(
    "options", [{"empty": (0, 1, 2, 3)}, {"empty": range(8)}, {"bias": False}], ids=str
)
def test_odd_patterns_of_groups(options):
    check(made((4, 8), 3, (9, 7), padding=1, group=4, **options), (9, 7), 2, np.float64)


@pytest.mark.parametrize(
    ("shape", "groups", "taken"),
    [((3, 8), 1, 4), ((3, 6), 1, 4), ((3, 3), 1, 1), ((4, 8), 2, 4), ((4, 8), 4, 1)],
    ids=str,
)
def test_full_filters_go_in_groups_where_others_do(shape, groups, taken):
    def layers():
        options = {"padding": 1, "groups": groups, "density": 1.0, "dtype": np.float64}
        full = SparseConv2d(*shape, 3, **options)
        grouped = SparseConv2d(shape[1], 8, 3, density=0.5, group=4, dtype=np.float64)
        return full, grouped

    (alone, _), (full, grouped) = layers(), layers()
    Sequential([alone], (shape[0], 9, 7))
    assert alone.sparse.pattern is alone.weight.pattern
    Sequential([full, Sequential([grouped], (shape[1], 9, 7))], (shape[0], 9, 7))
    assert (full.weight.pattern.group, full.sparse.pattern.group) == (1, taken)
    for layer in (alone, full):
        layer.plan(Spec((shape[0], 9, 7), needs_gradient=True))
        check(layer, (9, 7), 17, np.float64)


def test_spans_of_columns_and_small_caches(monkeypatch):
    """Where a ring of whole rows would be too large, y is made in spans, dW row by row."""
    monkeypatch.setattr(grouped_taps, "level_two_cache", lambda: 4096)
    monkeypatch.setattr(grouped_taps, "ring_bytes", lambda part: part * 4096)
    monkeypatch.setattr(grouped_taps, "_ANY_RING", 0)
    layer = made((4, 8), 3, (9, 33), padding=1, group=4)
    tiles = grouped_taps.Tiles(1, 16, 8, 8)
    pattern, geometry = layer.weight.pattern, layer.geometry()
    assert grouped_taps.grouped_forward_taps(pattern, geometry, tiles, direct=False).sizes.spans > 1
    assert grouped_taps.grouped_gradient_taps(pattern, geometry, tiles).rows == 1
    check(layer, (9, 33), 3, np.float64)


ONE_PASS = [
    ((4, 8), 3, 1, 1, (9, 19), 17),
    ((5, 10), 3, 2, 1, (9, 33), 18),  # a last group of two filters
    ((4, 8), 1, 3, 0, (8, 49), 2),  # pixels, rows and columns of x that no tap reads
    ((4, 8), (5, 3), (2, 1), (0, 2), (13, 17), 3),
]


@pytest.mark.parametrize("case", ONE_PASS, ids=str)
def test_dx_and_dw_in_one_pass(case, monkeypatch):
    """Wide rows go backward once for both, whatever the CPU."""
    monkeypatch.setattr(sparse_convolution, "_in_one_pass", lambda precision: True)
    shape, kernel, stride, padding, size, batch = case
    layer = made(shape, kernel, size, group=4, stride=stride, padding=padding)
    check(layer, size, batch, np.float64)
    planes = Planes(naive.to_planes(np.zeros((batch, shape[0], *size)), 16))
    assert layer.sparse.grouped.at_once(planes)


@pytest.mark.parametrize("size", [(1, 6), (6, 1)])
def test_taps_that_see_nothing_but_padding_are_not_multiplied(size, rng):
    """Of images one pixel high, filters of 3 x 3 see their middle row: others may be infinite."""
    layer = made((4, 8), 3, size, padding=1, group=4, bias=False, dtype=np.float32)
    x, dy = (rng.standard_normal((17, n, *size)).astype(np.float32) for n in (4, 8))
    seen = layer.weight.pattern.indices // (3 if size[0] == 1 else 1) % 3 == 1
    results = []
    for others in (0, np.inf):
        layer.weight.data[~seen] = others
        ctx = Context(Workspace(), train=True, n_valid=17)
        y, saved = layer.forward(naive.to_planes(x, 16), ctx)
        dx = layer.backward(naive.to_planes(dy, 16), saved, ctx)
        results.append([y.values.copy(), dx.values.copy(), layer.weight.grad.copy()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not results[0][2][~seen].any()


@pytest.mark.parametrize(
    ("kernel", "size"), [(3, (3, 7)), (5, (2, 7)), (3, (4, 3)), (3, (3, 2)), (5, (4, 5))], ids=str
)
def test_parts_of_strips(kernel, size):
    """Rows that end within a strip, that are shorter than one, and that see padding twice."""
    layer = made((4, 10), kernel, size, padding=kernel // 2, group=4, dtype=np.float32)
    check(layer, size, 34, np.float32)


#: Kernel, stride, padding, image; rows of four outputs, or of one or two, all for the same kernels.
SIDES = [
    (2, 1, 1, (4, 3)), (3, 2, 1, (7, 7)), (3, 2, 1, (6, 8)), (3, 2, 2, (5, 5)), (4, 3, 3, (5, 9)),
    (5, 2, 2, (9, 8)), (5, 1, 2, (3, 4)), (3, 3, 1, (5, 11)), (11, 2, 2, (12, 14)),
    (3, 2, 1, (5, 4)), (3, 1, 1, (3, 2)), (5, 2, 2, (4, 3)), (3, 2, 1, (2, 2)), (2, 2, 1, (3, 1)),
]  # fmt: skip


@pytest.mark.parametrize("case", SIDES, ids=str)
def test_pixels_at_the_sides(case):
    kernel, stride, padding, size = case
    layer = made((3, 8), kernel, size, stride=stride, padding=padding, group=4)
    check(layer, size, 17, np.float64)


@pytest.mark.parametrize(
    ("filters", "padding", "held"), [(8, 1, False), (8, 2, True), (6, 1, True)]
)
def test_rings_hold_no_padding_that_nothing_reads(filters, padding, held):
    layer = made((4, filters), 3, (4, 4), padding=padding, group=4)
    given = layer.weight.pattern, layer.geometry(), Tiles(1, 16, 8, 8)
    for taps in (
        grouped_taps.grouped_forward_taps(*given, direct=False),
        grouped_taps.grouped_scatter_taps(*given, padded=False),
    ):
        assert (taps.sizes.room >= 4 + 2 * padding) == held
    assert grouped_taps.grouped_scatter_taps(*given, padded=True).sizes.room >= 4 + 2 * padding


def test_wide_rows_in_16_bits_have_gradients_of_32(rng, monkeypatch):
    """Where reading planes takes the time, dx and dW are made at once, as without 16 bits."""
    monkeypatch.setattr(sparse_convolution, "_in_one_pass", lambda precision: True)
    layer = made((6, 8), 3, (4, 33), padding=1, group=4, density=0.9, dtype=np.float32)
    x, dy = (rng.standard_normal((18, n, 4, 33)).astype(np.float32) for n in (6, 8))
    layer.sum_moments()
    for exact, found in zip(*(_run(layer, x, dy, p)[2:] for p in ("fp32", "bf16")), strict=True):
        np.testing.assert_array_equal(exact, found)


def _run(layer, x, dy, precision="fp32"):
    ctx = Context(Workspace(), train=True, n_valid=len(x), precision=precision)
    y, saved = layer.forward(naive.to_planes(x, 16), ctx)
    dx = layer.backward(naive.to_planes(dy, 16), saved, ctx)
    arrays = y.values, y.sums, dx.values, layer.weight.grad, layer.bias.grad
    return [array.copy() for array in arrays]


@pytest.mark.parametrize(("size", "batch"), [((12, 20), 70), ((12, 20), 16), ((3, 3), 70)])
def test_threads_do_not_matter_to_groups(size, batch, rng):
    """With few tiles, threads share bands of rows of one tile."""
    layer = made((6, 10), 3, size, padding=1, group=4, dtype=np.float32)
    x, dy = (rng.standard_normal((batch, n, *size)).astype(np.float32) for n in (6, 10))
    layer.sum_moments()
    results = []
    for threads in (1, 2):
        with use_threads(threads):
            results.append(_run(layer, x, dy))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_grouped_rings_of_16_bits(rng, monkeypatch):
    """Where products are not made in pairs, for which see ``test_conv_in_pairs.py``."""
    monkeypatch.setattr(grouped_pass, "bf16_products", lambda: "")
    layer = made((6, 8), 3, (9, 7), padding=1, group=4, density=0.9, dtype=np.float32)
    layer.sum_moments()
    x, dy = (rng.standard_normal((18, n, 9, 7)).astype(np.float32) for n in (6, 8))
    exact, found = _run(layer, x, dy), _run(layer, x, dy, "bf16")
    for place, (a, b) in enumerate(zip(exact, found, strict=True)):
        np.testing.assert_allclose(b, a, rtol=0, atol=0.02 * np.abs(a).max())
        assert np.array_equal(a, b) == (place in (2, 4))  # dx and db read no x


def test_a_source_asks_for_dw_at_groups_of_positions(rng):
    layer = made((4, 6), 3, (7, 5), padding=1, group=4, bias=False)
    x, dy = (rng.standard_normal((18, n, 7, 5)) for n in (4, 6))
    ctx = Context(Workspace(), train=True, n_valid=18)
    found = {}
    for group in (1, 4):
        pattern = Pattern.full(layer.weight.shape)
        pattern = Pattern(pattern.shape, pattern.indptr, pattern.indices, group=group)
        planes = (Planes(naive.to_planes(images, 16)) for images in (x, dy))
        found[group] = layer.sparse.gradient_at(pattern, *planes, ctx).copy()
    np.testing.assert_allclose(found[1], found[4], rtol=0, atol=1e-11)


def test_filters_with_few_taps_go_backward_as_if_alone(monkeypatch):
    monkeypatch.setattr(sparse_convolution, "_FEW_TAPS", 100)
    check(made((4, 8), 3, (9, 7), padding=1, group=4), (9, 7), 17, np.float64)


def test_filters_of_one_pixel_with_few_taps_go_backward_as_if_alone(monkeypatch):
    monkeypatch.setattr(sparse_convolution, "_FEW_POINTS", 100)
    check(made((4, 8), 1, (9, 17), group=4), (9, 17), 17, np.float64)


def test_a_group_of_another_size_is_refused():
    with pytest.raises(ParameterError, match="group"):
        SparseConv2d(4, 8, 3, density=0.3, group=3)
