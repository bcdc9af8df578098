"""Where the gradients and momenta of weights that do not exist come from."""

import numpy as np
import pytest
from rewiring import feed, options, parameter

from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology.gradients import largest_inactive
from sparsecpu.topology.sources import Candidates, LowRank


@pytest.mark.parametrize("shape", [(40, 30), (1500, 300)])
def test_streamed_search_is_exact(shape, rng):
    """Also where the threshold that a few rows suggest is far too high."""
    scores = rng.standard_normal(shape).astype(np.float32)
    if shape[0] > 1000:
        scores[::128] *= 100
    pattern = Pattern.random(shape, scores.size // 10, rng)

    def form(rows, columns, out):
        out[...] = scores[rows, columns]

    for count, whole in ((0, False), (1, False), (300, False), (300, True)):
        keys, values = largest_inactive(pattern, count, np.float32, form, whole=whole)
        free = np.abs(scores).reshape(-1).copy()
        free[pattern.keys()] = -1
        np.testing.assert_array_equal(keys, np.sort(np.argsort(-free, kind="stable")[:count]))
        np.testing.assert_array_equal(values, scores.reshape(-1)[keys])


def test_lowrank_is_exact_up_to_its_rank(rng):
    p = parameter((60, 50), 300, rng)
    source = LowRank(p, rank=4, rng=rng, **options(10))
    exact = feed([source], 25, rng, 60, 50, 4, last=10)
    tall, flat = source.factors()
    np.testing.assert_allclose(tall @ flat, exact, atol=1e-9)
    keys, values = source.top(30, 25)
    score = np.abs(exact).reshape(-1)
    score[p.pattern.keys()] = -1
    np.testing.assert_array_equal(keys, np.sort(np.argsort(-score)[:30]))
    np.testing.assert_allclose(values, exact.reshape(-1)[keys], atol=1e-9)


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
