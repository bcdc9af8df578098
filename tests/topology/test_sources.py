"""Where the gradients and momenta of weights that do not exist come from."""

import numpy as np
import pytest
from rewiring import make_network, options, parameter, watch

from sparsecpu.layers import Sequential, SparseLinear
from sparsecpu.layers.linear_view import LinearView
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology import SparseMomentum
from sparsecpu.topology.sources import LowRank, Tiles, Window, choose_sources
from sparsecpu.topology.tile_search import _guess, largest_inactive
from sparsecpu.trainer import Trainer


@pytest.mark.parametrize("shape", [(40, 30), (1500, 300)])
def test_streamed_search_is_exact(shape, rng):
    """Also where the threshold that some positions suggest is far too high."""
    scores = rng.standard_normal(shape).astype(np.float32)
    if shape[0] > 1000:
        scores[::8] *= 100
    pattern = Pattern.random(shape, scores.size // 10, rng)

    def form(rows, columns, out):
        out[...] = scores[rows, columns]

    for count, whole in ((0, False), (1, False), (300, False), (300, True)):
        keys, values = largest_inactive(pattern, count, np.float32, form, whole=whole)
        free = np.abs(scores).reshape(-1).copy()
        free[pattern.keys()] = -1
        np.testing.assert_array_equal(keys, np.sort(np.argsort(-free, kind="stable")[:count]))
        np.testing.assert_array_equal(values, scores.reshape(-1)[keys])


def test_some_positions_suggest_a_threshold_that_twice_as_many_exceed(rng):
    scores = rng.standard_normal((1500, 3000)).astype(np.float32)

    def form(rows, columns, out):
        out[...] = scores[rows, columns]

    pattern = Pattern.random(scores.shape, 10, rng)
    for count in (10_000, 100_000):
        above = np.count_nonzero(np.abs(scores) > _guess(pattern, count, np.float32, form))
        assert (
            1.8 * count < above < 2.2 * count + 32_000
        )  # and 100 more in a part of a 64th or less
    assert _guess(pattern, scores.size, np.float32, form) == 0


@pytest.mark.parametrize("steps", [5, 10, 20])
def test_truncated_window_is_off_by_b_to_the_k(steps, rng):
    p = parameter((20, 15), 30, rng)
    source, total, history = Window(p, **options(steps)), 40, []
    exact = watch(source, total, rng, 20, 15, kept=history)
    before = np.zeros_like(exact)
    for x, dy in history[: total - steps]:
        before = 0.9 * before + dy[0] @ x[0].T
    keys, values = source.top(270, total)
    found = np.zeros(300)
    found[keys] = values
    error = exact.reshape(-1) - found
    inactive = np.setdiff1d(np.arange(300), p.pattern.keys())
    np.testing.assert_allclose(
        error[inactive], 0.9**steps * before.reshape(-1)[inactive], atol=1e-12
    )


def test_window_finds_the_largest(rng):
    p = parameter((20, 15), 60, rng)
    source = Window(p, **options(50))
    exact = watch(source, 30, rng, 20, 15)
    keys, values = source.top(25, 30)
    score = np.abs(exact).reshape(-1)
    score[p.pattern.keys()] = -1
    np.testing.assert_array_equal(keys, np.sort(np.argsort(-score)[:25]))
    np.testing.assert_allclose(values, exact.reshape(-1)[keys], atol=1e-12)


def test_windows_hold_batches_of_several_tiles_and_smaller_ones(rng):
    """40 samples in tiles of 16 lanes; the last batch of an epoch may have fewer."""
    p = parameter((20, 15), 60, rng)
    source = Window(p, **{**options(5), "batch_size": 40})
    for batches in ((3, 3, 3, 1, 1, 3), (3, 1)):  # the window goes round; it starts anew
        assert source.state() == {}
        exact, left = np.zeros((20, 15)), len(batches)
        for step, tiles in enumerate(batches):
            x, dy = rng.standard_normal((tiles, 15, 16)), rng.standard_normal((tiles, 20, 16))
            dy[2:, :, 8:] = 0  # padding
            source.observe(step, left - step, LinearView(x, dy))
            if left - step <= 5:
                exact = 0.9 * exact + np.einsum("tob,tib->oi", dy, x)
                assert {*source.state()} == {"x", "dy", "when", "seen"}
        keys, values = source.top(240, left)
        assert len(keys) == 240
        np.testing.assert_allclose(values, exact.reshape(-1)[keys], atol=1e-12)


@pytest.mark.parametrize(
    ("n_out", "memory", "parts"),
    [(1000, 8500, 100), (1000, 8499, 112), (1000, 1, 1000), (1000, 1e9, 32), (20, 1e9, 20)],
)
def test_tiles_are_as_small_as_memory_wants(n_out, memory, parts, rng):
    """A row of 50 takes 850 bytes: two doubles and a bool each; no tile is over 1/32 of M."""
    assert Tiles.parts_for(parameter((n_out, 50), 60, rng), memory) == parts


def test_tiles_are_exact_at_the_end_of_their_turn(rng):
    p = parameter((22, 15), 60, rng)
    source, history = Tiles(p, parts=4, **options(6)), []
    assert (source.rows, source.parts) == (6, 4)
    watch(source, 30, rng, 22, 15, kept=history)
    wanted = np.zeros((22, 15))
    for part in range(4):
        end = 30 - (3 - part) * 6
        tile = np.zeros((22, 15))
        for x, dy in history[end - 6 : end]:
            tile = 0.9 * tile + dy[0] @ x[0].T
        wanted[part * 6 : part * 6 + 6] = tile[part * 6 : part * 6 + 6]
    keys, values = source.top(40, 30)
    score = np.abs(wanted).reshape(-1)
    score[p.pattern.keys()] = -1
    np.testing.assert_array_equal(keys, np.sort(np.argsort(-score)[:40]))
    np.testing.assert_allclose(values, wanted.reshape(-1)[keys], atol=1e-12)


class Filters(LinearView):
    """A gradient that has no factors, as that of filters."""

    def factors(self):
        return None


def test_tiles_of_filters_are_the_same(rng):
    p = parameter((22, 15), 60, rng)
    sources = [Tiles(p, parts=4, **{**options(6), "gradient_weight": 0.3}) for _ in range(2)]
    for step in range(30):
        x, dy = rng.standard_normal((2, 15, 16)), rng.standard_normal((2, 22, 16))
        for source, view in zip(sources, (LinearView, Filters), strict=True):
            source.observe(step, 30 - step, view(x, dy))
    (keys, values), (wanted, right) = (source.top(40, 30) for source in sources)
    np.testing.assert_array_equal(keys, wanted)
    np.testing.assert_allclose(values, right, atol=1e-12)


def test_sources_are_chosen_by_memory(rng):
    network = make_network((50, 200, 100, 10), 0.1, rng, np.float32)
    for memory, interval, wanted in (
        (64e6, 100, {"window"}),
        (300_000, 10_000, {"lowrank"}),
        (3_000, 30, {"candidates"}),
    ):
        topology = SparseMomentum(growth_memory=memory, update_every=interval)
        trainer = Trainer(
            network, loss=SoftmaxCrossEntropy(), topology=topology, batch_size=32, epochs=100
        )
        trainer.start(32_000)
        assert {s.name for s in topology.sources.values()} == wanted


def chosen(layers, rng, **given):
    """Choose sources for layers; return them in the order of the layers."""
    settings = dict(kind="auto", memory=1e9, interval=100, factor=4.0, rng=rng, steps=10,
                    batch_size=16, momentum=0.9, gradient_weight=1.0)  # fmt: skip
    layers = {str(k): layer for k, layer in enumerate(layers)}
    found = choose_sources(layers, **{**settings, **given})
    return [found[name] for name in layers]


def test_windows_share_memory_and_the_smallest_choose_first(rng):
    large, small, middle = (parameter((n, 20), 40, rng) for n in (60, 20, 40))
    need = [10 * 16 * (n + 20) * 8 for n in (60, 20, 40)]
    for memory, wanted in (
        (sum(need), ["window"] * 3),
        (sum(need) - 1, ["candidates", "window", "window"]),
        (need[1] + need[2] - 1, ["candidates", "window", "candidates"]),
        (need[1] - 1, ["candidates"] * 3),
    ):
        found = chosen((large, small, middle), rng, memory=memory, rank=10)
        assert [source.name for source in found] == wanted


def test_tiles_share_memory(rng):
    """A row of 50 float32 takes 450 bytes; of 9000, either layer gets ten rows."""
    layers = [SparseParameter(Pattern.random((1000, 50), 60, rng), np.zeros(60)) for _ in "ab"]
    found = chosen(layers, rng, kind="tiles", memory=9000, interval=1000)
    assert [(source.rows, source.steps) for source in found] == [(10, 10), (10, 10)]
    found = chosen(layers, rng, kind="tiles", memory=9000, interval=350)
    assert [source.steps for source in found] == [3, 3]  # 100 turns of 3
    assert chosen(layers, rng, kind="tiles", memory=9000, interval=5)[0].steps == 1


@pytest.mark.parametrize(
    ("proposal", "interval", "steps"),
    [("norms", 100, 10), ("norms", 6, 5), ("norms", 1, 1),
     ("lowrank", 100, 10), ("lowrank", 7, 3), ("lowrank", 1, 1)],
)  # fmt: skip
def test_candidates_are_drawn_within_the_interval(proposal, interval, steps, rng):
    """One step before the window; a sketch needs as many steps as the window before it."""
    p = parameter((30, 20), 60, rng)
    (found,) = chosen([p], rng, kind="candidates", proposal=proposal, interval=interval)
    assert (found.steps, found.proposal) == (steps, proposal)


def test_sketches_cost_a_tenth_of_the_products_at_most(rng):
    """Three products at the nonzeros in each step, of a multiplication and an addition each."""
    p = parameter((300, 200), 6000, rng)
    names = set()
    for interval in range(80, 95):
        (found,) = chosen(
            [p], rng, memory=LowRank.nbytes(p.shape, p.data.itemsize, 4), rank=4, interval=interval
        )
        pays = LowRank.cost(p.shape, 4, 10, 16) <= 0.1 * 6 * p.nnz * 16 * interval
        assert found.name == ("lowrank" if pays else "candidates")
        names.add(found.name)
    assert len(names) == 2
    for room, wanted in ((1, ["lowrank", "candidates"]), (2, ["lowrank", "lowrank"])):
        memory = room * LowRank.nbytes(p.shape, p.data.itemsize, 4)  # for all layers
        found = chosen([p, p], rng, memory=memory, rank=4, interval=95)
        assert [source.name for source in found] == wanted


def test_windows_hold_all_of_a_batch_that_is_larger_than_those_before():
    """As if it had been known from the start that it would come."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 12)).astype(np.float32), np.arange(40) % 3
    grown = []
    for known in (0, 40):
        network = Sequential([SparseLinear(12, 3, density=0.3, rng=np.random.default_rng(0))])
        topology = SparseMomentum(source="window", update_every=6)
        trainer = Trainer(network, loss=SoftmaxCrossEntropy(), topology=topology, batch_size=4)
        trainer.start(40)
        topology.expect(known)
        samples = network.samples(x)
        for rows in (4, 4, 40, 3, 4, 17):
            trainer.step(samples, y, np.arange(rows))
        weight = network.sparse_parameters()["0.weight"]
        grown.append((weight.pattern.indices.tobytes(), weight.data.tobytes()))
    assert grown[0] == grown[1]
