"""What growth by sampling draws, and what it takes activities to be."""

import naive
import numpy as np
import pytest
from rewiring import parameter
from scipy.stats import chisquare

from sparsecpu.layers import Sequential, SparseConv2d
from sparsecpu.layers.linear_view import LinearView
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace
from sparsecpu.topology.gse import DISTRIBUTIONS
from sparsecpu.topology.sampling import (
    AliasTable,
    draw_inactive,
    draw_pairs,
    inactive,
)
from sparsecpu.topology.tile_search import largest_gradients


@pytest.mark.parametrize("weights", [[1, 2, 3, 4], [0, 5, 0, 1], [1e-9, 1, 1e9], [0, 0], [3]])
def test_alias_table_draws_what_it_should(weights, rng):
    table, n = AliasTable(weights), len(weights)
    exact = table.chance / n
    np.add.at(exact, table.alias, (1 - table.chance) / n)
    weights = np.array(weights, float) if sum(weights) else np.ones(n)
    np.testing.assert_allclose(exact, weights / weights.sum(), atol=1e-12)
    counts = np.bincount(table.draw(20_000, rng), minlength=n)
    live = weights > 1e-6 * weights.sum()
    assert counts[weights == 0].sum() == 0
    if live.sum() > 1:
        assert chisquare(counts[live], (20_000 * weights / weights.sum())[live],
                         sum_check=False).pvalue > 1e-4  # fmt: skip


@pytest.mark.parametrize("distribution", ["uniform", "grabo", "graest"])
def test_gse_draws_follow_the_distribution(distribution, rng):
    """Frequencies over many updates match f x g on the inactive positions."""
    p = parameter((5, 6), 8, rng)
    x, dy = rng.standard_normal((1, 6, 16)), rng.standard_normal((1, 5, 16))
    if distribution == "graest":  # signs are drawn anew each time: fix the activities instead
        rows, columns = LinearView(x, dy).activity("estimate", rng)
        keys = draw_pairs(rows, columns, 30_000, rng)
    else:
        kind = DISTRIBUTIONS[distribution]
        rows, columns = LinearView(x, dy).activity(kind, rng) if kind else (np.ones(5), np.ones(6))
        one = LinearView(x, dy)
        draws = [draw_inactive(p.pattern, 1, one, kind, rng) for _ in range(12_000)]
        assert max(map(len, draws)) == 1
        keys = np.concatenate(draws)
        assert not np.isin(keys, p.pattern.keys()).any()
    counts = np.bincount(keys, minlength=30)
    wanted = np.outer(rows, columns).reshape(-1)
    if distribution != "graest":
        wanted[p.pattern.keys()] = 0
    wanted *= len(keys) / wanted.sum()
    live = wanted > 0
    assert (counts[~live] == 0).all()
    assert chisquare(counts[live], wanted[live]).pvalue > 1e-4


def test_grabo_bounds_and_graest_estimates_the_gradient(rng):
    x, dy = rng.standard_normal((2, 5, 16)), rng.standard_normal((2, 4, 16))
    dy[1, :, 10:] = 0  # padding
    gradient = sum(dy[t] @ x[t].T for t in range(2))
    rows, columns = LinearView(x, dy).activity("bound", rng)
    assert (np.outer(rows, columns) >= np.abs(gradient)).all()
    flat_x, flat_dy = np.concatenate(list(x), axis=1), np.concatenate(list(dy), axis=1)
    np.testing.assert_allclose(columns, np.abs(flat_x[:, :26]).sum(axis=1))
    draws = []
    for _ in range(10_000):
        rows, columns = LinearView(x, dy).activity("estimate", np.random.default_rng(len(draws)))
        s = np.random.default_rng(len(draws)).choice(np.array([-1.0, 1.0]), size=(2, 16))
        s = s.reshape(-1)[:26]  # the same signs, here in full
        a, c = flat_dy[:, :26] @ s, flat_x[:, :26] @ s
        if len(draws) < 20:
            np.testing.assert_allclose(rows, np.abs(a), atol=1e-12)
            np.testing.assert_allclose(columns, np.abs(c), atol=1e-12)
        draws.append(np.outer(a, c))
    mean, error = np.mean(draws, axis=0), np.std(draws, axis=0) / 100
    assert (np.abs(mean - gradient) < 4.5 * error).all()


def test_many_pairs_are_drawn_alike_from_first_to_last(rng):
    """They are drawn in parts."""
    rows, columns = np.array([0.0, 1, 3]), np.array([2.0, 0, 1, 1])
    for part in np.array_split(draw_pairs(rows, columns, 140_000, rng), 7):
        counts = np.bincount(part, minlength=12)
        wanted = np.outer(rows, columns).reshape(-1) * len(part) / 16
        assert (counts[wanted == 0] == 0).all()
        assert chisquare(counts[wanted > 0], wanted[wanted > 0]).pvalue > 1e-4


def test_active_and_repeated_draws_are_left_out():
    pattern = Pattern.from_keys((3, 4), np.array([2, 3, 9]))
    assert inactive(np.array([5, 2, 8, 5, 3, 8, 8, 0]), pattern).tolist() == [0, 5, 8]


def test_nothing_is_drawn_in_vain_where_half_is_active(rng):
    def lengths(nnz, count):
        pattern, found = Pattern.from_keys((4, 5), np.arange(nnz)), set()
        for _ in range(50):
            keys = draw_inactive(pattern, count, None, None, rng)
            assert len({*keys}) == len(keys)
            assert (keys >= nnz).all()
            found.add(len(keys))
        return found

    assert lengths(10, 3) == {3}
    assert lengths(10, 99) == {10}
    assert min(lengths(9, 3)) < 3  # of less than half, draws may repeat and hit active ones


@pytest.mark.parametrize("geometry", [((3, 3), 1, 1, 1), ((3, 2), 2, 1, 1), ((5, 3), 2, 0, 2)])
@pytest.mark.parametrize("kind", ["norm", "bound", "estimate"])
def test_activity_of_filters_is_that_of_unfolded_pixels(geometry, kind, rng):
    kernel, stride, padding, groups = geometry
    layer = SparseConv2d(4, 6, kernel, stride=stride, padding=padding, groups=groups, density=0.3,
                         rng=rng, dtype=np.float64, bias=False)  # fmt: skip
    Sequential([layer], (4, 7, 6))
    x = rng.standard_normal((18, 4, 7, 6))
    seen = {}

    def observe(weight, view):
        seen["activity"] = view.activity(kind, np.random.default_rng(3))
        seen["best"] = largest_gradients(weight, view, 5)
        seen["shape"] = view.dy.values.shape

    ctx = Context(Workspace(), train=True, n_valid=18, observe=observe)
    y, saved = layer.forward(naive.to_planes(x, 16), ctx)
    dy = rng.standard_normal(naive.from_planes(y.values, 18).shape)
    layer.backward(naive.to_planes(dy, 16), saved, ctx)
    rows, columns = seen["activity"]
    tiles, height, _, width, lanes = seen["shape"]
    s = np.ones((tiles, height, width, lanes))
    if kind == "estimate":
        s = np.random.default_rng(3).choice(np.array([-1.0, 1.0]), size=s.shape)
    s = s.transpose(0, 3, 1, 2).reshape(-1, height, width)[:18].reshape(-1)
    patches = naive.unfold(x, kernel, (stride, stride), (padding, padding))
    flat = dy.transpose(0, 2, 3, 1).reshape(-1, 6)
    if kind == "norm":
        np.testing.assert_allclose(rows, np.linalg.norm(flat, axis=0))
    else:
        measure = np.abs if kind == "bound" else (lambda v: v)
        np.testing.assert_allclose(rows, np.abs(s @ measure(flat)), atol=1e-10)
        wanted = np.abs(s @ measure(patches)).reshape(groups, -1).sum(axis=0)
        np.testing.assert_allclose(columns, wanted, atol=1e-10)
    gradient = naive.conv2d_backward(
        x, np.zeros((6, 4 // groups, *kernel)), dy, (stride, stride), (padding, padding), groups
    )[1].reshape(-1)
    score = np.abs(gradient)
    score[layer.weight.pattern.keys()] = -1
    np.testing.assert_array_equal(seen["best"][0], np.sort(np.argsort(-score)[:5]))
    np.testing.assert_allclose(seen["best"][1], gradient[seen["best"][0]], atol=1e-10)
