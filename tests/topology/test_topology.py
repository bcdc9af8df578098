import naive
import numpy as np
import pytest
from rewiring import blobs, dense_copies, make_network, options, parameter

from sparsecpu.errors import ParameterError
from sparsecpu.layers.linear_view import LinearView
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.optimizers import SGD, Adam
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology import SET, TOPOLOGIES, SparseMomentum, Static, make_topology
from sparsecpu.topology.free_positions import random_free
from sparsecpu.topology.quotas import growth_quotas
from sparsecpu.topology.running_top import RunningTop
from sparsecpu.topology.selection import largest, smallest
from sparsecpu.topology.sources import Candidates, Tiles, Window
from sparsecpu.trainer import Trainer


@pytest.mark.parametrize("batch", [16, 20])
def test_sparse_momentum_is_the_published_one(batch, rng):
    """Same choices and the same weights as masks on dense tensors, step by step."""
    network = make_network((12, 24, 16, 4), 0.25, rng)
    for name, p in network.parameters().items():
        if name.endswith("bias"):
            p.data[:] = 0.1  # few dead units, so that every position has some momentum
    x, y = blobs(rng)
    epochs, steps = 4, -(-len(x) // batch)
    reference = naive.MaskedDenseSparseMomentum(
        *dense_copies(network), rate=0.02, momentum=0.9, p0=0.5, total_steps=epochs * steps
    )
    reports = []

    class Follow:
        def __getattr__(self, name):
            return lambda *args: None

        def on_update(self, trainer, report):
            reports.append(report)
            patterns.append([p.pattern.keys() for p in network.sparse_parameters().values()])

    patterns = []
    topology = SparseMomentum(source="window", window=epochs * steps)
    trainer = Trainer(
        network,
        loss=SoftmaxCrossEntropy(),
        optimizer=SGD(0.9),
        topology=topology,
        learning_rate=0.02,
        batch_size=batch,
        epochs=epochs,
        shuffle=False,
        callbacks=[Follow()],
    )
    trainer.fit(x, y)
    t = 0
    for epoch in range(epochs):
        for start in range(0, len(x), batch):
            reference.step(x[start : start + batch], y[start : start + batch])
            t += 1
        if epoch < epochs - 1:
            reference.update(t)
            for mask, keys in zip(reference.mask, patterns[epoch], strict=True):
                if epoch == epochs - 2:
                    np.testing.assert_array_equal(np.flatnonzero(mask), keys)
    assert len(reports) == epochs - 1
    for (drops, grown), report in zip(reference.log, reports, strict=True):
        for d, g, layer in zip(drops, grown, report.layers.values(), strict=True):
            assert layer["dropped"] == len(d)
            assert layer["grown"] == len(g)
            assert layer["regrown"] == len(np.intersect1d(d, g))
            assert layer["shortfall"] == 0
    for p, w, m in zip(network.sparse_parameters().values(), reference.w, reference.m, strict=True):
        keys = p.pattern.keys()
        np.testing.assert_allclose(p.data, w.reshape(-1)[keys], atol=1e-10)
        np.testing.assert_allclose(p.slots["momentum"], m.reshape(-1)[keys], atol=1e-10)


def feed(source, steps, rng, n_out, n_in, batch=16, kept=None):
    """Show a source some steps; return the exact momentum, dense."""
    exact = np.zeros((n_out, n_in))
    for step in range(steps):
        x = rng.standard_normal((1, n_in, batch))
        dy = rng.standard_normal((1, n_out, batch)) / batch
        source.observe(step, steps - step, LinearView(x, dy))
        exact = source.momentum * exact + dy[0] @ x[0].T
        if kept is not None:
            kept.append((x, dy))
    return exact


@pytest.mark.parametrize("steps", [5, 10, 20])
def test_truncated_window_is_off_by_b_to_the_k(steps, rng):
    p = parameter((20, 15), 30, rng)
    source, total, history = Window(p, **options(steps)), 40, []
    exact = feed(source, total, rng, 20, 15, kept=history)
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
    exact = feed(source, 30, rng, 20, 15)
    keys, values = source.top(25, 30)
    score = np.abs(exact).reshape(-1)
    score[p.pattern.keys()] = -1
    np.testing.assert_array_equal(keys, np.sort(np.argsort(-score)[:25]))
    np.testing.assert_allclose(values, exact.reshape(-1)[keys], atol=1e-12)


def test_tiles_are_exact_at_the_end_of_their_turn(rng):
    p = parameter((22, 15), 60, rng)
    source, history = Tiles(p, parts=4, **options(6)), []
    assert (source.rows, source.parts) == (6, 4)
    feed(source, 30, rng, 22, 15, kept=history)
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


def test_candidates_have_exact_momentum_and_follow_the_norms(rng):
    p = parameter((30, 20), 60, rng)
    source = Candidates(p, factor=4.0, rng=rng, **options(10))
    history = []
    feed(source, 30, rng, 30, 20, kept=history)
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
    assert growth_quotas(np.array([0.0, 0.0]), np.array([10, 10]), 4).sum() == 4
    assert growth_quotas(np.array([np.nan, 1.0]), np.array([10, 10]), 4).sum() == 4


@pytest.mark.parametrize("total", [0, 1, 7, 30])
def test_selection_breaks_ties_by_position(total):
    scores = np.array([1.0, 0, 1, 0, 1, 2, 0, 2, 1, 1])
    assert smallest(scores, total).tolist() == sorted(np.argsort(scores, kind="stable")[:total])
    assert largest(scores, total).tolist() == sorted(np.argsort(-scores, kind="stable")[:total])


def test_running_top_is_the_top(rng):
    values = np.round(rng.standard_normal(20_000), 2)
    values[::7] = 0
    top = RunningTop(500, values.dtype)
    for part in np.array_split(np.arange(20_000), 40):
        found = part[np.abs(values[part]) > top.threshold]
        top.add(found, values[found])
    keys, kept = top.result()
    np.testing.assert_array_equal(keys, largest(np.abs(values), 500))
    np.testing.assert_array_equal(kept, values[keys])


@pytest.mark.parametrize("nnz", [0, 3, 50, 90, 99])
def test_random_free_positions(nnz, rng):
    pattern = Pattern.random((10, 10), nnz, rng)
    taken = np.setdiff1d(np.arange(100), pattern.keys())[:1]
    for count in {0, min(1, 99 - nnz), 99 - nnz}:
        keys = random_free(pattern, count, rng, taken)
        assert len(np.unique(keys)) == count
        assert not np.isin(keys, pattern.keys()).any()
        assert not np.isin(keys, taken).any()


def test_random_free_is_uniform(rng):
    pattern = Pattern.random((5, 6), 9, rng)
    counts = np.zeros(30)
    for _ in range(3000):
        counts[random_free(pattern, 4, rng)] += 1
    assert (counts[pattern.keys()] == 0).all()
    free = np.delete(counts, pattern.keys())
    assert np.abs(free - 3000 * 4 / 21).max() < 5 * np.sqrt(3000 * (4 / 21) * (17 / 21))


@pytest.mark.parametrize("optimizer", [SGD(0.9, weight_decay=1e-3), Adam(weight_decay=1e-3)])
@pytest.mark.parametrize(
    "topology",
    [
        lambda: SparseMomentum(source="window"),
        lambda: SparseMomentum(source="tiles", growth_memory=2000),
        lambda: SparseMomentum(source="candidates"),
        lambda: SparseMomentum(redistribution="none", decay="linear"),
        lambda: SparseMomentum(redistribution="magnitude", grown_momentum="zero"),
        lambda: SparseMomentum(redistribution="nonzero", regrow_keeps_value=False),
        lambda: SparseMomentum(prune_rate=0.95, update_every=2),
        lambda: SparseMomentum(growth="momentum-neuron"),
        lambda: SparseMomentum(growth="random", pruning="global"),
        lambda: make_topology("set"),
        lambda: make_topology("set:variant=paper"),
        lambda: make_topology("rigl:stop_after=1"),
        lambda: make_topology("gse:scope=global,stop_after=1,subset=0.5", update_every=3),
        lambda: make_topology("dsr:threshold=.1", update_every=3),
        lambda: make_topology("deep-r:noise=0.01", update_every=3),
    ],
)
def test_nnz_is_exact_after_every_update(topology, optimizer, rng):
    network = make_network((12, 40, 30, 4), 0.15, rng, np.float32)
    target = network.nnz
    x, y = blobs(rng, samples=200)
    seen = []

    class Follow:
        def __getattr__(self, name):
            return lambda *args: None

        def on_update(self, trainer, report):
            seen.append(report)
            assert network.nnz == target
            for p in network.sparse_parameters().values():
                assert p.nnz >= 1
                assert (np.diff(p.pattern.keys()) > 0).all()
                assert all(len(v) == p.nnz for v in p.vectors().values())
            assert sum(f["dropped"] for f in report.layers.values()) == sum(
                f["grown"] for f in report.layers.values()
            )

    Trainer(
        network,
        loss=SoftmaxCrossEntropy(),
        optimizer=optimizer,
        topology=topology(),
        learning_rate=0.01,
        batch_size=20,
        epochs=8,
        callbacks=[Follow()],
    ).fit(x, y)
    assert len(seen) >= 7


def test_static_never_changes(rng):
    network = make_network((12, 20, 4), 0.3, rng)
    before = [p.pattern for p in network.sparse_parameters().values()]
    x, y = blobs(rng)
    Trainer(network, loss=SoftmaxCrossEntropy(), topology=Static(), batch_size=32).fit(x, y)
    assert before == [p.pattern for p in network.sparse_parameters().values()]


def test_dead_units_do_not_stop_growth(rng):
    """Where few inactive positions have any momentum, the rest is drawn at random."""
    network = make_network((12, 20, 4), 0.3, rng)
    network.layers[0].bias.data[:] = -100.0  # every hidden unit is dead
    x, y = blobs(rng)
    reports = []

    class Follow:
        def __getattr__(self, name):
            return lambda *args: None

        def on_update(self, trainer, report):
            reports.append(report)

    target = network.nnz
    Trainer(
        network,
        loss=SoftmaxCrossEntropy(),
        topology=SparseMomentum(),
        batch_size=32,
        epochs=3,
        callbacks=[Follow()],
    ).fit(x, y)
    assert reports[0].layers["0.weight"]["shortfall"] > 0
    assert network.nnz == target


def test_topology_options_are_checked():
    for bad in (
        dict(prune_rate=0),
        dict(prune_rate=1.0),
        dict(decay="exp"),
        dict(update_every=0),
        dict(redistribution="x"),
        dict(source="x"),
        dict(window=0),
        dict(growth_memory=-1),
        dict(grown_momentum="half"),
    ):
        with pytest.raises(ParameterError):
            SparseMomentum(**bad)
    with pytest.raises(ParameterError):
        SET(variant="x")
    assert {
        "sparse-momentum", "set", "static", "rigl", "gse", "dsr", "deep-r", "gradual",
    } == set(TOPOLOGIES)  # fmt: skip


def test_algorithms_by_name_and_options():
    made = make_topology("gse:distribution=grabo, subset=2,skip_step=false", prune_rate=0.1)
    assert (made.name, made.distribution, made.subset, made.skip_step, made.prune_rate) == (
        "gse", "grabo", 2.0, False, 0.1,
    )  # fmt: skip
    assert make_topology("sparse-momentum:redistribution=none").redistribution == "none"
    assert make_topology("rigl:update_every=7", update_every=9).update_every == 7
    for bad in (
        "x",
        "rigl:colour=1",
        "rigl:prune_rate",
        "static:prune_rate=0.1",
        "gse:subset=many",
    ):
        with pytest.raises(ParameterError):
            make_topology(bad)


def test_sparse_momentum_needs_momentum(rng):
    network = make_network((12, 20, 4), 0.3, rng)
    with pytest.raises(ParameterError, match="momentum"):
        Trainer(
            network, loss=SoftmaxCrossEntropy(), optimizer=SGD(0.0), topology=SparseMomentum()
        ).fit(*blobs(rng))


def test_prune_rate_schedule():
    from sparsecpu.schedules import cosine, linear

    at = [0.01, 0.1, 0.25, 0.5, 0.75, 0.99]
    falling = cosine(0.5, 1000, 0.005)
    for part, wanted in zip(at, [0.4999, 0.4879, 0.4275, 0.2525, 0.0775, 0.0051], strict=True):
        assert falling(int(1000 * part)) == pytest.approx(wanted, abs=6e-5)
    falling = linear(0.5, 1000)
    for part, wanted in zip(at, [0.495, 0.45, 0.375, 0.25, 0.125, 0.005], strict=True):
        assert falling(int(1000 * part)) == pytest.approx(wanted, abs=1e-9)
