"""Momentum of a few candidates: which they are, and that it is exact for them."""

import numpy as np
import pytest
from rewiring import feed, options, parameter, watch

from sparsecpu.errors import ParameterError
from sparsecpu.layers import SparseConv2d
from sparsecpu.layers.linear_view import LinearView
from sparsecpu.topology.selection import largest_of_rows
from sparsecpu.topology.sources import Candidates, LowRank, Window, choose_sources


def test_candidates_have_exact_momentum_and_follow_the_norms(rng):
    p = parameter((30, 20), 60, rng)
    source = Candidates(p, factor=4.0, rng=rng, **options(10))
    history = []
    watch(source, 30, rng, 30, 20, kept=history)
    exact = np.zeros((30, 20))
    for x, dy in history[20:]:
        exact = 0.9 * exact + dy[0] @ x[0].T
    assert len(source.keys) <= 241
    assert not np.isin(source.keys, p.pattern.keys()).any()
    np.testing.assert_allclose(source.values, exact.reshape(-1)[source.keys], atol=1e-12)
    # Rows and columns without any signal are never drawn.
    x, dy = rng.standard_normal((1, 20, 16)), rng.standard_normal((1, 30, 16))
    x[:, :10], dy[:, 5:] = 0, 0
    source.observe(0, 11, LinearView(x, dy))
    assert len(source.keys) > 0
    assert (source.keys // 20 < 5).all()
    assert (source.keys % 20 >= 10).all()


def test_candidates_are_those_of_one_window(rng):
    p = parameter((30, 20), 60, rng)
    source = Candidates(p, factor=4.0, rng=rng, **{**options(4), "gradient_weight": 0.3})
    assert [len(held) for held in (*source.state().values(), *source.top(9, 0))] == [0] * 4
    exact, dead = np.zeros((30, 20)), int(rng.integers(30))
    for left in range(6, 0, -1):
        x, dy = rng.standard_normal((1, 20, 16)), rng.standard_normal((1, 30, 16))
        dy[:, dead] *= left == 5  # drawn from, but never with any momentum
        source.observe(6 - left, left, LinearView(x, dy))
        exact = (left <= 4) * (0.9 * exact + 0.3 * dy[0] @ x[0].T)
    drawn = source.keys
    assert (drawn // 20 == dead).any()
    score = np.abs(exact.reshape(-1)[drawn])
    for count in (5, 1000):
        twin = Candidates(p, factor=4.0, rng=rng, **options(4))
        twin.load_state(source.state(), 6)
        keys, values = twin.top(count, 6)
        best = np.sort(drawn[np.argsort(-score)[: min(count, np.count_nonzero(score))]])
        np.testing.assert_array_equal(keys, best)
        np.testing.assert_allclose(values, exact.reshape(-1)[keys], atol=1e-12)
        assert [len(held) for held in twin.state().values()] == [0, 0]  # all are forgotten
    for loud in ((0, 1), (1, 0), (0, 0)):  # no input, or no output, is active
        x, dy = rng.standard_normal((1, 20, 16)), rng.standard_normal((1, 30, 16))
        source.observe(0, 5, LinearView(loud[0] * x, loud[1] * dy))
        assert len(source.keys) == 0


@pytest.mark.parametrize("proposal", ["norms", "lowrank"])
@pytest.mark.parametrize("interrupted", [15, 25])
def test_candidates_go_on_where_they_stopped(proposal, interrupted, rng):
    """Before and after they are drawn, with 11 steps left."""
    p = parameter((30, 20), 60, rng)
    whole, resumed = (
        Candidates(p, factor=4.0, rng=np.random.default_rng(7), proposal=proposal, rank=4,
                   **options(10)) for _ in range(2)
    )  # fmt: skip
    for step in range(30):
        if step == interrupted:
            resumed.load_state({key: array.copy() for key, array in whole.state().items()}, step)
        view = LinearView(rng.standard_normal((1, 20, 16)), rng.standard_normal((1, 30, 16)))
        whole.observe(step, 30 - step, view)
        if step >= interrupted:
            resumed.observe(step, 30 - step, view)
    wanted, found = whole.top(40, 30), resumed.top(40, 30)
    assert len(wanted[0]) == 40
    for mine, theirs in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_lowrank_is_exact_up_to_its_rank(rng):
    p = parameter((60, 50), 300, rng)
    source = LowRank(p, rank=4, rng=rng, **options(10))
    for _ in range(2):  # each window starts anew
        exact = feed([source], 25, rng, 60, 50, 4, last=10)
        tall, flat = source.factors()
        np.testing.assert_allclose(tall @ flat, exact, atol=1e-9)
    keys, values = source.top(30, 25)
    score = np.abs(exact).reshape(-1)
    score[p.pattern.keys()] = -1
    np.testing.assert_array_equal(keys, np.sort(np.argsort(-score)[:30]))
    np.testing.assert_allclose(values, exact.reshape(-1)[keys], atol=1e-9)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_sketches_that_overflow_tell_nothing_and_start_anew(bad, rng):
    p = parameter((60, 50), 300, rng)
    source = LowRank(p, rank=4, rng=rng, **options(10))
    feed([source], 10, rng, 60, 50, 4)
    source.left[3, 2] = bad
    keys, values = source.top(30, 10)
    assert (keys.dtype, values.dtype) == (np.int64, source.dtype)
    assert len(keys) == len(values) == 0
    exact = feed([source], 10, rng, 60, 50, 4)
    tall, flat = source.factors()
    np.testing.assert_allclose(tall @ flat, exact, atol=1e-9)


def test_lowrank_tells_its_memory_and_cost(rng):
    p = parameter((60, 50), 300, rng)
    source = LowRank(p, rank=4, rng=rng, **options(10))
    held = [source.omega, source.right, source.psi, source.left]
    assert [a.shape for a in held] == [(50, 9), (60, 9), (60, 19), (50, 19)]
    assert LowRank.nbytes(p.shape, p.data.itemsize, 4) == sum(a.nbytes for a in held)
    # A multiplication and an addition per number and sample; then all of the estimate is formed.
    wanted = 10 * 16 * 2 * sum(a.size for a in held) + 2 * 4 * 60 * 50
    assert LowRank.cost(p.shape, 4, 10, 16) == wanted


def test_lowrank_error_is_near_the_best(rng):
    p = parameter((80, 70), 300, rng)
    source = LowRank(p, rank=8, rng=rng, **options(10))
    exact = feed([source], 10, rng, 80, 70, 30)
    tall, flat = source.factors()
    best = np.linalg.svd(exact)[1]
    assert np.linalg.norm(exact - tall @ flat) < 3 * np.sqrt((best[8:] ** 2).sum())


@pytest.mark.parametrize("proposal", ["uniform", "lowrank"])
def test_proposed_candidates_have_exact_momentum(proposal, rng):
    p = parameter((60, 50), 100, rng)
    source = Candidates(p, factor=2.0, rng=rng, proposal=proposal, rank=4, **options(10))
    scout = LowRank(p, rank=4, rng=rng, **options(10))
    history = []

    class Keep:
        def observe(self, step, left, view):
            history.append(view.factors())

    exact = feed([source, scout, Keep()], 30, rng, 60, 50, 4, last=10)
    assert 100 < len(source.keys) <= 201
    assert not np.isin(source.keys, p.pattern.keys()).any()
    np.testing.assert_allclose(source.values, exact.reshape(-1)[source.keys], atol=1e-9)
    if proposal == "lowrank":  # the largest of the ten steps before
        before = np.zeros((60, 50))
        for x, dy in history[10:20]:
            before = 0.9 * before + dy[0] @ x[0].T
        score = np.abs(before).reshape(-1)
        score[p.pattern.keys()] = -1
        np.testing.assert_array_equal(source.keys, np.sort(np.argsort(-score)[:201]))


def test_rows_are_filled_by_their_own_largest(rng):
    p = parameter((12, 15), 40, rng)
    window, candidates = (
        Window(p, **options(10)),
        Candidates(p, factor=60.0, rng=rng, proposal="uniform", **options(10)),
    )
    exact = feed([window, candidates], 20, rng, 12, 15, 6, last=10)
    counts = rng.integers(0, 4, 12)
    score = np.abs(exact)
    score.reshape(-1)[p.pattern.keys()] = -1
    wanted = [i * 15 + j for i in range(12) for j in np.argsort(-score[i])[: counts[i]]]
    for source in (window, candidates):
        keys, values = source.top_of_rows(counts, 20)
        np.testing.assert_array_equal(keys, np.sort(wanted))
        np.testing.assert_allclose(values, exact.reshape(-1)[keys], atol=1e-10)
    assert largest_of_rows(
        np.array([2, 0, 2]), np.array([1.0, 0, 3]), np.ones(3, int)
    ).tolist() == [2]
    with pytest.raises(ParameterError):
        LowRank(p, rank=2, rng=rng, **options(5)).top_of_rows(counts, 5)


def chosen(layers, rng, **given):
    """Choose sources for layers; return them in the order of the layers."""
    settings = dict(kind="auto", memory=1e9, interval=100, factor=4.0, rng=rng, steps=10,
                    batch_size=16, momentum=0.9, gradient_weight=1.0)  # fmt: skip
    layers = {str(k): layer for k, layer in enumerate(layers)}
    found = choose_sources(layers, **{**settings, **given})
    return [found[name] for name in layers]


@pytest.mark.parametrize(
    ("kind", "proposal", "wanted"),
    [("auto", "norms", "norms"), ("window", "uniform", "uniform"), ("lowrank", "lowrank", "norms")],
)
def test_filters_have_candidates(kind, proposal, wanted, rng):
    filters = SparseConv2d(4, 6, 3, density=0.3, rng=rng).weight
    (found,) = chosen([filters], rng, kind=kind, proposal=proposal)
    assert (found.name, found.proposal) == ("candidates", wanted)
    assert chosen([filters], rng, kind="tiles")[0].name == "tiles"
