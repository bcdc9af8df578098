"""What rules see of a layer whose rows stand in groups, and that they need not know."""

import numpy as np
import pytest
from rewiring import blobs, make_network, options, train

from sparsecpu.errors import PatternError
from sparsecpu.kernels.shared_columns import fold, plain_fold
from sparsecpu.layers.linear_view import LinearView
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology import Growth, Run, Topology, make_topology
from sparsecpu.topology.free_positions import random_free
from sparsecpu.topology.quotas import growth_quotas, quotas_in_rounds
from sparsecpu.topology.revival import revive_outputs
from sparsecpu.topology.selection import choose_weights, largest, smallest
from sparsecpu.topology.shared_columns import columns_of, keys_of_weights
from sparsecpu.topology.shared_view import SharedView
from sparsecpu.topology.sources import Candidates, LowRank, Tiles, Window
from sparsecpu.topology.tile_search import largest_gradients

N_OUT, N_IN = 22, 15  # five groups of four, and one of two


def grouped(rng, nnz=120, group=4, shape=(N_OUT, N_IN)):
    pattern = Pattern.random(shape, nnz, rng, group=group)
    return SparseParameter(pattern, rng.standard_normal(pattern.nnz), np.float64)


def folded(matrix, score="l1", group=4):
    parts = [matrix[i : i + group] for i in range(0, len(matrix), group)]
    if score == "l2":
        return np.array([np.sqrt((part**2).mean(axis=0)) for part in parts])
    return np.array([np.abs(part).mean(axis=0) for part in parts])


def dense(p, vector):
    return np.asarray(p.pattern.to_scipy(vector).todense())


@pytest.mark.parametrize("score", ["l1", "l2"])
def test_numbers_are_means_over_the_rows_of_a_group(score, rng):
    p = grouped(rng)
    p.grad[:], p.slot("momentum")[:] = rng.standard_normal((2, p.nnz))
    shared = columns_of(p, score)
    assert (shared.shape, shared.nnz, shared.group) == ((6, N_IN), p.pattern.groups.nnz, 4)
    assert shared.pattern is p.pattern.groups
    for found, vector in (
        (shared.data, p.data), (shared.grad, p.grad),
        (shared.slot("momentum"), p.slots["momentum"]),
        (shared.slots["momentum"], p.slots["momentum"]),
    ):  # fmt: skip
        wanted = folded(dense(p, vector), score).reshape(-1)[shared.pattern.keys()]
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
        with pytest.raises(ValueError, match="read-only"):
            found[0] = 1
    p.data[:] = 2
    assert (shared.data == 2).all()  # fresh whenever it is read
    tile = rng.standard_normal((N_OUT, 9))
    out = np.empty((6, 9))
    fold(tile, 4, score == "l2", out)
    np.testing.assert_allclose(out, plain_fold(tile, 4, score == "l2"), rtol=1e-12)
    np.testing.assert_allclose(out, folded(tile, score), rtol=1e-12)
    assert columns_of(alone := grouped(rng, group=1)) is alone


@pytest.mark.parametrize("score", ["l1", "l2"])
def test_the_view_has_magnitudes_of_groups(score, rng):
    p = grouped(rng)
    x, dy = rng.standard_normal((2, N_IN, 16)), rng.standard_normal((2, N_OUT, 16))
    view = SharedView(columns_of(p, score), LinearView(x, dy))
    wanted = folded(np.einsum("tol,til->oi", dy, x), score)
    pattern = Pattern.random((6, N_IN), 30, rng)
    np.testing.assert_allclose(view.at(pattern), wanted.reshape(-1)[pattern.keys()], rtol=1e-10)
    for rows in (slice(0, 6), slice(2, 5), slice(1, 6, 2)):
        out = np.empty((len(range(*rows.indices(6))), 7))
        view.tile(rows, slice(3, 10), out)
        np.testing.assert_allclose(out, wanted[rows, 3:10], rtol=1e-10)
    rows, columns = view.activity("bound", rng)
    own = LinearView(x, dy).activity("bound", rng)
    np.testing.assert_allclose(rows, folded(own[0][:, None], score)[:, 0])
    np.testing.assert_array_equal(columns, own[1])
    assert view.factors() is None  # no product of factors is a magnitude


def best(scores, pattern, count):
    scores = scores.reshape(-1).copy()
    scores[pattern.keys()] = -1
    return np.sort(np.argsort(-scores, kind="stable")[:count])


def test_searches_find_the_best_shared_columns(rng):
    """Also in a layer that is large enough for a threshold, of rows that differ much."""
    p = grouped(rng, 9000, shape=(602, 150))
    x, dy = rng.standard_normal((2, 150, 16)), rng.standard_normal((2, 602, 16))
    dy[:, ::8] *= 100
    exact, shared = np.einsum("tol,til->oi", dy, x), columns_of(p)
    keys, scores = largest_gradients(shared, SharedView(shared, LinearView(x, dy)), 900)
    wanted = folded(exact)
    np.testing.assert_array_equal(keys, best(wanted, shared.pattern, 900))
    np.testing.assert_allclose(scores, wanted.reshape(-1)[keys], rtol=1e-9)


MADE = {
    "window": lambda p, rng: Window(p, **options(10)),
    "lowrank": lambda p, rng: LowRank(p, rank=6, rng=rng, **options(10)),
    "candidates": lambda p, rng: Candidates(p, factor=60.0, rng=rng, proposal="uniform",
                                            **options(10)),
    "tiles": lambda p, rng: Tiles(p, parts=1, **options(10)),
}  # fmt: skip


@pytest.mark.parametrize("made", MADE)
def test_sources_find_shared_columns_and_know_the_momenta_of_their_weights(made, rng):
    p = grouped(rng)
    shared = columns_of(p)
    sources = [MADE[made](shared, np.random.default_rng(3)) for _ in range(3)]
    a, b = rng.standard_normal((N_OUT, 6)), rng.standard_normal((N_IN, 6))
    exact = np.zeros((N_OUT, N_IN))
    for left in range(14, 0, -1):
        x, dy = (b @ rng.standard_normal((6, 16)))[None], (a @ rng.standard_normal((6, 16)))[None]
        if left == 5:
            kept = {key: array.copy() for key, array in sources[0].state().items()}
            sources[1].load_state(kept, 9)
        for source in sources[: 1 if left > 5 else 2]:
            source.observe(14 - left, left, SharedView(shared, LinearView(x, dy)))
        exact = (left <= 10) * (0.9 * exact + dy[0] @ x[0].T)
    sources[2].load_state({k: v.copy() for k, v in sources[0].state().items()}, 14)
    for source in sources:  # one that saw all, one that was resumed within, one at the end
        keys, scores = source.top(12, 14)
        np.testing.assert_array_equal(keys, best(folded(exact), shared.pattern, 12))
        np.testing.assert_allclose(scores, folded(exact).reshape(-1)[keys], rtol=1e-7)
        mixed = np.append(keys[::-1], shared.pattern.keys()[:2])  # of others nothing is known
        momenta, where = source.at(mixed), keys_of_weights(shared, mixed)
        known = (where >= 0) & (np.arange(len(mixed)) < len(keys))[:, None]
        np.testing.assert_allclose(momenta[known], exact.reshape(-1)[where[known]], rtol=1e-7)
        assert (momenta[~known] == 0).all()
        assert known.sum() > 30


@pytest.mark.parametrize("made", ["window", "candidates"])
def test_groups_are_filled_by_their_own_largest(made, rng):
    p = grouped(rng)
    shared = columns_of(p)
    source, exact = MADE[made](shared, rng), np.zeros((N_OUT, N_IN))
    for left in range(12, 0, -1):
        x, dy = rng.standard_normal((1, N_IN, 16)), rng.standard_normal((1, N_OUT, 16))
        source.observe(12 - left, left, SharedView(shared, LinearView(x, dy)))
        exact = (left <= 10) * (0.9 * exact + dy[0] @ x[0].T)
    counts, scores = np.array([0, 2, 1, 0, 3, 2]), folded(exact)
    scores.reshape(-1)[shared.pattern.keys()] = -1
    wanted = [g * N_IN + j for g in range(6) for j in np.argsort(-scores[g])[: counts[g]]]
    keys, _ = source.top_of_rows(counts, 12)
    np.testing.assert_array_equal(keys, np.sort(wanted))
    where = keys_of_weights(shared, keys)
    momenta = source.at(keys)
    np.testing.assert_allclose(momenta[where >= 0], exact.reshape(-1)[where[where >= 0]])


class Threshold(Topology):
    """CONTRIBUTING's example, word for word but for the threshold; it knows of no groups."""

    def drop(self, name, parameter, rate):
        return np.flatnonzero(np.abs(parameter.data) < 0.9)[: parameter.nnz - 1]

    def grow(self, name, parameter, dropped, count):
        return Growth(
            random_free(parameter.pattern, count, self.run.rng), {"data": np.full(count, 7)}
        )


def run_of(p, rng, momentum=0.9):
    return Run({"a": p}, 10, 100, 16, "momentum", momentum, 1.0, rng, lambda step: 0.1)


@pytest.mark.parametrize("n_out", [20, 21, 22, 23, 3])
def test_a_rule_that_knows_of_no_groups_works_with_them(n_out, rng):
    p = grouped(rng, n_out * 5, shape=(n_out, N_IN))
    p.slot("momentum")[:] = 1
    before, nnz = folded(dense(p, p.data)), p.nnz
    topology = Threshold()
    topology.start(run_of(p, rng))
    grown = 0
    for _ in range(3):
        facts = topology.update(10).layers["a"]
        grown += facts["grown"]
        assert p.nnz == facts["nnz"] == nnz  # exactly, although a last group has fewer rows
        assert facts["dropped"] == facts["grown"]
        Pattern(p.shape, p.pattern.indptr, p.pattern.indices, group=4)  # or it is refused
    assert grown > 0
    new = p.data == 7
    assert new.any()
    assert (p.slots["momentum"] == ~new).all()
    after = dense(p, ~new * p.data)
    assert (after[:n_out] != 0).sum() == (~new).sum()
    assert np.isin(folded(after)[folded(after) > 0].round(9), before.round(9)).all()


def test_first_values_are_of_a_weight_or_of_a_position(rng):
    p = grouped(rng)
    shared = columns_of(p)
    keys = random_free(shared.pattern, 6, rng)[::-1].copy()
    values = rng.standard_normal((6, 4))
    shared.rewire_keys(np.array([0, 3]), keys, {"data": values, "momentum": np.arange(1.0, 7)})
    where = keys_of_weights(shared, keys)
    found = dense(p, p.data).reshape(-1), dense(p, p.slots["momentum"]).reshape(-1)
    np.testing.assert_array_equal(found[0][where[where >= 0]], values[where >= 0])
    for key_row, number in zip(where, range(1, 7), strict=True):
        assert (found[1][key_row[key_row >= 0]] == number).all()
    free = random_free(shared.pattern, 2, rng)
    with pytest.raises(PatternError, match=r"shape \(2, 3\); expected \(2, 4\)"):
        shared.rewire_keys(np.array([0]), free, {"data": np.ones((2, 3))})


def test_dead_groups_come_back_together_and_the_last_one_once(rng):
    keys = np.array([0, 1, 2, 3, 4, 18, 19, 20, 21, 22])  # groups 2 to 5 have nothing
    groups = Pattern.from_keys((6, N_IN), keys)
    p = SparseParameter(Pattern.of_groups(N_OUT, 4, groups), rng.normal(0, 3, 40), np.float64)
    assert revive_outputs(columns_of(p), rng) == 4
    assert p.pattern.groups.fan_in.tolist()[2:] == [1, 1, 1, 1]
    assert p.nnz == 40 - 2  # what the last group lacks
    assert revive_outputs(columns_of(p), rng) == 0
    new = p.pattern.rows() >= 8
    assert len(np.unique(p.data[new])) == 14  # each weight has a value of its own


@pytest.mark.parametrize("rule", ["rigl", "sparse-momentum:source=window", "gse", "set"])
def test_no_column_by_column_index_and_no_index_of_all_rows_is_made(rule, rng):
    network = make_network((12, 42, 32, 4), 0.2, rng, np.float32, group=4)
    seen = train(network, make_topology(rule, update_every=3), *blobs(rng))
    assert len(seen.reports) > 5
    for p in network.sparse_parameters().values():
        assert p.pattern.group == 4
        assert not p.pattern.__dict__.keys() & {"transposed", "indices"}
        assert "transposed" not in p.pattern.groups.__dict__


def test_what_layers_exchange_counts_in_weights(rng):
    for _ in range(300):
        n = int(rng.integers(1, 6))
        units = 2 ** rng.integers(0, 4, n)
        gone = units * rng.integers(0, 6, n)
        free = units * rng.integers(0, 8, n)
        shares = rng.random(n) * (rng.random(n) > 0.3)
        stay = units * rng.integers(0, 9, n)
        for counts in (growth_quotas(shares, gone + free, int(gone.sum()), units),
                       quotas_in_rounds(stay, free, gone, units)):  # fmt: skip
            assert counts.sum() == gone.sum()
            assert (counts % units == 0).all()
            assert (counts <= gone + free).all()
    # Shares of 3 to 1 of 16 weights, in fours and ones.
    found = growth_quotas(np.array([3, 1]), np.array([400, 400]), 16, np.array([4, 1]))
    assert found.tolist() == [12, 4]
    found = growth_quotas(np.array([0.65, 0.35]), np.array([400, 400]), 16, np.array([4, 1]))
    assert found.tolist() == [12, 4]  # 10.4 and 5.6: the nearest four, and what is left


def test_the_next_one_that_fits_is_chosen(rng):
    scores = [np.array([1.0, 5, 3]), np.array([2.0, 0.5, np.inf, 4])]
    found = choose_weights(smallest, scores, 6, [4, 1])
    assert [places.tolist() for places in found] == [[0], [0, 1]]
    found = choose_weights(smallest, scores, 3, [4, 1])
    assert [places.tolist() for places in found] == [[], [0, 1, 3]]
    found = choose_weights(largest, [scores[0], scores[1][:2]], 9, [4, 1])
    assert [places.tolist() for places in found] == [[1, 2], [0]]
    found = choose_weights(smallest, scores, 7, [np.array([4, 4, 2]), 1])
    assert [places.tolist() for places in found] == [[0], [0, 1, 3]]
    found = choose_weights(smallest, scores, 8, [np.array([4, 4, 2]), 1])
    assert [places.tolist() for places in found] == [[0, 2], [0, 1]]
