"""Convolutions and the layers around them, against plain twins and central differences."""

import functools

import naive
import numpy as np
import pytest
from convolving import check
from small import filters_of, made

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.machine.cpu import widest_lanes
from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.layers import SparseConv2d, Spec
from sparsecpu.layers.images import strips as strips
from sparsecpu.layers.images import taps as taps
from sparsecpu.layers.images.planes import Planes
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace

CASES = [
    # kernel, stride, padding, groups, image, batch
    (3, 1, 1, 1, (9, 7), 17),
    (3, 2, 1, 1, (9, 11), 3),
    (1, 1, 0, 1, (5, 5), 1),
    (1, 2, 0, 1, (7, 15), 4),
    (5, 2, 2, 2, (13, 13), 4),
    (11, 2, 2, 1, (20, 19), 2),
    ((3, 5), (1, 2), (0, 2), 2, (9, 33), 2),
    (7, 3, 3, 1, (17, 40), 2),
    (3, 1, 2, 1, (4, 4), 3),
    (1, 3, 0, 1, (8, 9), 2),
    (3, 1, 1, 4, (6, 6), 5),
    (3, 1, 1, 1, (1, 7), 2),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_convolution(case):
    kernel, stride, padding, groups, size, batch = case
    layer = made((4, 8), kernel, size, stride=stride, padding=padding, groups=groups)
    check(layer, size, batch, np.float64)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("columns", [1, 100])
def test_blocks_of_channels(case, columns, monkeypatch):
    """Many blocks of channels, rows in one span or in as many as there can be: the same sums."""
    kernel, stride, padding, groups, size, batch = case
    monkeypatch.setattr(strips, "level_one_cache", lambda: 64)
    monkeypatch.setattr(strips, "_TAPS_PER_WAIT", 1)
    monkeypatch.setattr(strips, "choose_span", lambda width, strip, *_: min(
        columns * strip, -(-width // strip) * strip))  # fmt: skip
    options = {"stride": stride, "padding": padding, "groups": groups, "density": 0.7}
    layer = made((8, 12), kernel, size, empty=(0, 5), **options)
    x = Planes(naive.to_planes(np.zeros((1, 8, *size)), 16))
    forward, backward = (layer.sparse.taps(x, "fp32", backward=way) for way in (False, True))
    if groups == 1 and np.ndim(kernel) == 0:
        assert len(forward.starts) > 1
        assert stride > 1 or len(backward.starts) > len(backward.phases)
    if columns == 1 and layer.geometry().out_size[1] > forward.strip:
        assert forward.sizes.spans > 1
    check(layer, size, batch, np.float64)


@pytest.mark.parametrize("case", [*CASES[:4], CASES[6]], ids=str)
def test_dw_by_itself(case, monkeypatch):
    """CPUs with fewer registers make dx and dW one after the other."""
    kernel, stride, padding, groups, size, batch = case
    both = made((4, 8), kernel, size, stride=stride, padding=padding, groups=groups)
    check(both, size, batch, np.float64)
    monkeypatch.setattr("sparsecpu.layers.images.sparse_convolution.widest_lanes", lambda: 64)
    alone = made((4, 8), kernel, size, stride=stride, padding=padding, groups=groups)
    check(alone, size, batch, np.float64)
    np.testing.assert_allclose(alone.weight.grad, both.weight.grad, rtol=0, atol=1e-11)


def test_jobs_are_whole_rows_where_the_ring_has_room():
    assert strips.choose_jobs((32, 32), 8, 1, 100, 8, 3) == (32, 1)
    assert strips.choose_jobs((32, 32), 8, 1, 30, 8, 3) == (16, 1)
    assert strips.choose_jobs((32, 32), 8, 1, 100, 2, 3) == (32, 4)  # bands make the jobs
    assert strips.choose_jobs((8, 8), 8, 1, 100, 1, 3) == (
        8,
        2,
    )  # packed once more for each
    assert strips.choose_jobs((8, 8), 8, 1, 100, 1, 1) == (8, 8)
    assert strips.choose_jobs((5, 5), 8, 1, 1, 99, 3) == (8, 1)


@pytest.mark.parametrize("size", [(3, 8), (5, 16), (2, 4), (4, 5)])
@pytest.mark.parametrize("batch", [16, 17])
@pytest.mark.parametrize("relu", [False, True])
def test_pointwise_filters_read_planes_where_they_lie(size, batch, relu, rng, monkeypatch):
    """No ring, no detour of outputs: the same numbers as with them, and as the plain twin's."""
    made_alike = [made((6, 9), 1, size, groups=3, dtype=np.float32) for _ in range(2)]
    direct, packed = made_alike
    monkeypatch.setattr(packed.sparse, "taps", functools.partial(_never_direct, packed.sparse.taps))
    x, dy = (rng.standard_normal((batch, n, *size)).astype(np.float32) for n in (6, 9))
    found = []
    for layer in made_alike:
        if relu:
            layer.absorb_relu()
        ctx = Context(Workspace(), train=True, n_valid=batch)
        y, saved = layer.forward(naive.to_planes(x, 16), ctx)
        dx = layer.backward(naive.to_planes(dy, 16), saved, ctx)
        arrays = y.values, dx.values, layer.weight.grad
        found.append([array.copy() for array in arrays])
    reads = direct.sparse.taps(saved, "fp32", direct=True)
    assert not (reads.direct and size[1] % 4)
    assert reads.direct or size[1] % 4 or widest_lanes() < 128
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=0)
    if not relu:
        check(direct, size, batch, np.float32)


def _never_direct(taps, x, precision, **options):
    return taps(x, precision, **{**options, "direct": False})


INTERLEAVED = [
    # kernel, stride, padding, groups, image, batch; several tiles, the last ones often alone
    (3, 1, 1, 1, (4, 4), 50),
    (3, 2, 1, 1, (5, 5), 70),
    (3, 1, 1, 2, (2, 2), 40),
    (5, 1, 2, 1, (3, 3), 130),
    (1, 1, 0, 1, (1, 1), 33),
    (1, 2, 0, 1, (3, 6), 33),
    ((5, 3), (2, 1), (2, 1), 4, (7, 3), 65),
]


@pytest.mark.parametrize("moments", [False, True])
@pytest.mark.parametrize("case", INTERLEAVED, ids=str)
def test_small_planes_of_several_tiles(case, moments):
    kernel, stride, padding, groups, size, batch = case
    options = {"stride": stride, "padding": padding, "groups": groups, "dtype": np.float32}
    layer = made((4, 8), kernel, size, **options)
    images = np.zeros((batch, 4, *size), np.float32)
    assert layer.sparse.taps(Planes(naive.to_planes(images, 16)), "fp32").sizes.tiles_per_job > 1
    if moments:
        layer.sum_moments()
    check(layer, size, batch, np.float32)


@pytest.mark.parametrize("tiles_per_job", [1, 2, 4, 8])
@pytest.mark.parametrize(
    "case", [(3, 1, 1, (5, 9)), (3, 2, 1, (6, 7)), (5, 1, 2, (13, 13))], ids=str
)
def test_any_number_of_interleaved_tiles(case, tiles_per_job, monkeypatch):
    """Rows of more than a strip, jobs of several tiles (the last has fewer), bands of rows."""
    kernel, stride, padding, size = case
    monkeypatch.setattr(strips, "choose_strip", lambda *_: (8, tiles_per_job))
    check(made((6, 8), kernel, size, stride=stride, padding=padding), size, 90, np.float64)


def test_images_of_another_size_are_watched_anew(rng):
    """Where the nonzeros of another pattern read depends on the size, for which plan() speaks."""
    layer = made((4, 8), 3, (5, 6), padding=1)
    pattern = layer.weight.pattern
    for size in ((5, 6), (9, 11)):
        layer.plan(Spec((4, *size), needs_gradient=True))
        ctx = Context(Workspace(), train=True, n_valid=16)
        x, dy = (Planes(naive.to_planes(rng.standard_normal((16, n, *size)), 16)) for n in (4, 8))
        found = layer.sparse.gradient_at(pattern, x, dy, ctx).copy()
        layer.sparse.filter_gradient(x, dy, ctx)
        np.testing.assert_allclose(found, layer.weight.grad, atol=1e-11, rtol=0)


def test_prepared_passes_follow_the_batch_and_the_pattern(rng):
    """One workspace for batches of several sizes, a new pattern and images of another size."""
    layer, held = made((4, 8), 3, (6, 7), padding=1, dtype=np.float32), Workspace()
    every = Pattern.full(layer.weight.shape)

    def run(workspace, x, dy, batch):
        ctx = Context(workspace, train=True, n_valid=batch)
        y, saved = layer.forward(naive.to_planes(x, 16), ctx)
        dy = Planes(naive.to_planes(dy, 16))
        dx = layer.backward(dy, saved, ctx)
        kept = [a.copy() for a in (y.values, dx.values, layer.weight.grad, layer.bias.grad)]
        return [*kept, layer.sparse.gradient_at(every, saved, dy, ctx).copy()]

    def compare(size, batch):
        x, dy = (rng.standard_normal((batch, n, *size)).astype(np.float32) for n in (4, 8))
        alone = run(Workspace(), x, dy, batch)
        for one, other in zip(run(held, x, dy, batch), alone, strict=True):
            np.testing.assert_array_equal(one, other)

    for batch in (20, 20, 3, 18, 40, 35, 20):
        compare((6, 7), batch)
    free = np.setdiff1d(np.arange(every.size), layer.weight.pattern.keys())
    layer.weight.rewire_keys(np.arange(30), rng.choice(free, 30, replace=False))
    compare((6, 7), 20)
    layer.plan(Spec((4, 5, 4), needs_gradient=True))
    compare((5, 4), 20)


def test_convolution_in_float32():
    size = (6, 19)  # two strips of 16 pixels, the second one partly empty
    check(made((5, 6), 3, size, padding=1, dtype=np.float32), size, 18, np.float32)


@pytest.mark.parametrize(
    "options",
    [{"empty": (0, 3)}, {"empty": range(8)}, {"density": 1.0}, {"groups": 4, "bias": False}],
    ids=["empty rows", "nnz 0", "full", "depthwise"],
)
def test_odd_patterns(options):
    check(made((4, 8), 3, (7, 6), padding=1, **options), (7, 6), 2, np.float64)


@pytest.mark.parametrize("size", [(12, 20), (3, 3)])
@pytest.mark.parametrize("threads", [1, 2])
def test_any_number_of_threads_gives_the_same_bits(threads, size, rng):
    layer = made((6, 10), 3, size, padding=1, dtype=np.float32)
    x = rng.standard_normal((70, 6, *size)).astype(np.float32)
    dy = rng.standard_normal((70, 10, *size)).astype(np.float32)
    layer.sum_moments()

    def run(threads):
        with use_threads(threads):
            ctx = Context(Workspace(), train=True, n_valid=70)
            y, saved = layer.forward(naive.to_planes(x, 16), ctx)
            dx = layer.backward(naive.to_planes(dy, 16), saved, ctx)
        return y.values, y.sums, dx.values, layer.weight.grad.copy(), layer.bias.grad.copy()

    for a, b in zip(run(1), run(threads), strict=True):
        np.testing.assert_array_equal(a, b)


def test_bad_sizes_are_refused():
    for options in ({"groups": 3}, {"stride": 0}, {"padding": -1}, {"kernel_size": (3, 3, 3)},
                    {"in_channels": 0}):  # fmt: skip
        arguments = {"in_channels": 4, "out_channels": 8, "kernel_size": 3} | options
        with pytest.raises(ParameterError):
            SparseConv2d(**arguments)
    layer = SparseConv2d(4, 8, 5)
    for shape in ((4,), (3, 8, 8), (4, 3, 8)):
        with pytest.raises(ParameterError):
            layer.plan(Spec(shape))


def test_topology_sees_the_dense_gradient(rng):
    """What a source is told equals the dense gradient at any positions, inactive ones included."""
    layer = made((4, 6), 3, (7, 5), padding=1, stride=2, groups=2, bias=False)
    x = rng.standard_normal((18, 4, 7, 5))
    seen = {}
    every = Pattern.full(layer.weight.shape)

    def observe(parameter, view):
        seen["gradient"], seen["squares"] = view.at(every).copy(), view.activity("norm", rng)

    ctx = Context(Workspace(), train=True, n_valid=18, observe=observe)
    y, saved = layer.forward(naive.to_planes(x, 16), ctx)
    dy = rng.standard_normal(naive.from_planes(y.values, 18).shape)
    layer.backward(naive.to_planes(dy, 16), saved, ctx)
    _, wanted, _ = naive.conv2d_backward(x, filters_of(layer), dy, (2, 2), (1, 1), 2)
    np.testing.assert_allclose(seen["gradient"], wanted.reshape(-1), atol=1e-11)
    np.testing.assert_allclose(seen["squares"][0] ** 2, (dy**2).sum(axis=(0, 2, 3)), rtol=1e-12)
    assert seen["squares"][1].shape == (layer.weight.shape[1],)
