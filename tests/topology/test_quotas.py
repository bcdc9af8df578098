"""How many weights each layer grows."""

import naive
import numpy as np
import pytest

from sparsecpu.topology.quotas import growth_quotas, share_in_rounds


@pytest.mark.parametrize(
    ("nnz", "prune", "shares", "wanted"),
    [
        ((11760, 1500, 50), (0.5, 0.5, 0.5), (1, 1, 1), (2845, 2845, 965)),
        ((11760, 1500, 50), (0.5, 0.5, 0.5), (1, 4, 40), (2623, 3067, 965)),
        ((11760, 1500, 50), (0.5, 0.5, 0.5), (1, 1, 98), (2845, 2845, 965)),
        ((6000, 6335, 975), (0.5, 0.5, 0.025), (1, 1, 4), (3072, 3072, 49)),
    ],
)
def test_quotas_worked_examples(nnz, prune, shares, wanted):
    sizes, nnz = np.array([235200, 30000, 1000]), np.array(nnz)
    dropped = np.ceil(nnz * np.array(prune)).astype(int)
    counts = growth_quotas(np.array(shares, float), sizes - nnz + dropped, int(dropped.sum()))
    assert tuple(counts) == wanted
    assert counts.sum() == dropped.sum()


def test_quotas_agree_with_the_sweeps(rng):
    for _ in range(50):
        layers = int(rng.integers(2, 7))
        free = rng.integers(50, 3000, layers)
        total = int(rng.integers(1, 0.9 * free.sum()))
        shares = rng.random(layers) ** 3
        shares /= shares.sum()
        counts = growth_quotas(shares, free, total)
        sweeps = naive.water_fill_by_sweeps(shares, 0.99 * free, total)
        assert counts.sum() == total
        assert (counts <= np.floor(0.99 * free)).all()
        assert np.abs(counts - sweeps).max() <= layers + 1


def test_quotas_when_everything_is_almost_full():
    counts = growth_quotas(np.array([0.9, 0.1]), np.array([10, 10]), 20)
    assert counts.tolist() == [10, 10]
    # 99 % of ten are nine whole ones; where that is just enough, no layer gets more.
    assert growth_quotas(np.array([0.9, 0.1]), np.array([10, 10]), 18).tolist() == [9, 9]
    assert growth_quotas(np.array([0.0, 0.0]), np.array([10, 10]), 4).sum() == 4
    assert growth_quotas(np.array([np.nan, 1.0]), np.array([10, 10]), 4).sum() == 4


def test_shares_go_round_until_they_fit():
    assert share_in_rounds(np.array([1, 1, 2]), np.array([9, 1, 99]), 8).tolist() == [2, 1, 5]
    assert share_in_rounds(np.array([1, 1]), np.array([3, 4]), 99).tolist() == [3, 4]
    assert share_in_rounds(np.array([0, 0]), np.array([5, 5]), 4).sum() == 4
