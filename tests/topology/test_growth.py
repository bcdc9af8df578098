"""Growth rules beside sparse momentum: each against its masked-dense or stated form."""

import json
import math

import naive
import numpy as np
import pytest
from rewiring import blobs, dense_copies, feed, make_network, options, parameter, train

from sparsecpu.callbacks import Callback
from sparsecpu.errors import ParameterError
from sparsecpu.layers import Flatten, ReLU, Sequential, SparseConv2d, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.optimizers import SGD
from sparsecpu.topology import DSR, SET, DeepR, GuidedStochasticExploration, RigL, SparseMomentum
from sparsecpu.topology.deep_r import signs
from sparsecpu.topology.dsr import share_in_rounds
from sparsecpu.topology.selection import largest_of_rows, smallest_of_all
from sparsecpu.topology.sources import Candidates, LowRank, Window
from sparsecpu.trainer import Trainer
from sparsecpu.training.pattern_history import Tracker


def keys_of(network):
    return [p.pattern.keys() for p in network.sparse_parameters().values()]


@pytest.mark.parametrize("rule", ["rigl", "rigl-forgets", "gse"])
def test_the_published_choice_and_weights(rule, rng):
    """Patterns, weights and momenta equal masks on dense tensors, step by step."""
    network = make_network((12, 24, 16, 4), 0.25, rng)
    for name, p in network.parameters().items():
        if name.endswith("bias"):
            p.data[:] = 0.1
    x, y = blobs(rng)
    every, epochs, total, drawn = 4, 6, 36, []
    if rule == "gse":
        topology = GuidedStochasticExploration(prune_rate=0.3, subset=2.0, update_every=every)
        seeing = topology.see

        def see(parameter, view, rate):
            found = seeing(parameter, view, rate)
            drawn.append(found[0])
            assert not np.isin(found[0], parameter.pattern.keys()).any()
            return found

        topology.see = see
    else:
        topology = RigL(update_every=every, regrow_keeps_value=rule == "rigl")
    reference = naive.MaskedDenseRigL(
        *dense_copies(network), rate=0.05, momentum=0.9, p0=0.3, total_steps=0
    )
    reference.total = int(topology.stop_after * total)
    seen = train(network, topology, x, y, epochs=epochs, look=lambda: keys_of(network))
    updates = 0
    for t in range(total):
        batch = slice(16 * (t % 6), 16 * (t % 6) + 16)
        if (t + 1) % every or t + 1 >= reference.total:
            reference.step(x[batch], y[batch])
            continue
        allowed = drawn[3 * updates : 3 * updates + 3][::-1] if rule == "gse" else None
        rounding = math.ceil if rule == "gse" else math.floor
        if rule == "rigl-forgets":  # what comes back starts anew
            before = [(w.copy(), m.copy()) for w, m in zip(reference.w, reference.m, strict=True)]
        reference.update(x[batch], y[batch], t + 1, allowed, rounding, regrow=rule != "gse")
        if rule == "rigl-forgets":
            for k, (_, _, lost, won) in enumerate(reference.log[-3:]):
                again = np.intersect1d(lost, won)
                assert (before[k][0].reshape(-1)[again] != 0).all()
                reference.w[k].reshape(-1)[again] = reference.m[k].reshape(-1)[again] = 0
        for mask, keys in zip(reference.mask, seen.looks[updates], strict=True):
            np.testing.assert_array_equal(np.flatnonzero(mask), keys)
        updates += 1
    assert updates == len(seen.reports) >= 4
    for p, w, m in zip(network.sparse_parameters().values(), reference.w, reference.m, strict=True):
        keys = p.pattern.keys()
        np.testing.assert_allclose(p.data, w.reshape(-1)[keys], atol=1e-10)
        np.testing.assert_allclose(p.slots["momentum"], m.reshape(-1)[keys], atol=1e-10)


def test_prune_rates_of_gse_fall_to_nothing():
    topology = GuidedStochasticExploration()
    network = make_network((12, 8, 4), 0.5, np.random.default_rng(0))
    trainer = Trainer(network, loss=SoftmaxCrossEntropy(), topology=topology, batch_size=2,
                      epochs=10)  # fmt: skip
    trainer.start(200)
    for part, wanted in ((0.01, 0.19986), (0.1, 0.1866), (0.25, 0.1259), (0.5, 0.0134)):
        assert topology.rate(int(1000 * part)) == pytest.approx(wanted, abs=6e-5)
    assert topology.due(500)
    assert not topology.due(600)


def test_a_batch_that_decides_trains_nothing(rng):
    x, y = blobs(rng)

    def biases(skip):
        network = make_network((12, 24, 4), 0.25, np.random.default_rng(0))
        looks = []
        topology = RigL(update_every=3, skip_step=skip)
        seen = train(network, topology, x, y, epochs=1, look=lambda: looks.append(1))
        assert len(seen.reports) == 1
        return [p.data.copy() for n, p in network.parameters().items() if n.endswith("bias")]

    assert not np.array_equal(biases(True)[0], biases(False)[0])


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


def test_global_pruning_takes_the_smallest_of_all():
    weights = [np.array([0.1, -5.0, 0.2]), np.array([0.01, 0.02]), np.array([9.0])]
    assert [w.tolist() for w in smallest_of_all(weights, 2)] == [[0], [0], []]
    assert [w.tolist() for w in smallest_of_all(weights, 99)] == [[0, 2], [0], []]


def test_global_gse_moves_weights_between_layers(rng):
    network = make_network((12, 40, 30, 4), 0.2, rng)
    before, x, y = [p.nnz for p in network.sparse_parameters().values()], *blobs(rng)
    seen = train(network, GuidedStochasticExploration(scope="global", update_every=2), x, y,
                 look=lambda: network.nnz)  # fmt: skip
    assert set(seen.looks) == {sum(before)}
    assert [p.nnz for p in network.sparse_parameters().values()] != before


@pytest.mark.parametrize("variant", ["magnitude", "paper"])
def test_set_drops_the_weakest_and_grows_what_was_free(variant, rng):
    network = make_network((12, 24, 4), 0.25, rng)
    x, y = blobs(rng)
    topology, seen = SET(variant=variant, update_every=6), []
    rewire = topology._rewire

    def watch(parameter, dropped, growth):
        w, keys = parameter.data.copy(), parameter.pattern.keys()
        facts = rewire(parameter, dropped, growth)
        seen.append((w, keys, dropped, growth, parameter))
        at = np.searchsorted(parameter.pattern.keys(), growth.keys)
        np.testing.assert_array_equal(parameter.slots["momentum"][at], 0)
        if variant == "magnitude":
            np.testing.assert_array_equal(parameter.data[at], 0)
        return facts

    topology._rewire = watch
    train(network, topology, x, y)
    assert len(seen) == 2 * 5
    for number, (w, keys, dropped, growth, _) in enumerate(seen):
        rate = naive.cosine_rate(0.3, 6 * (1 + number // 2), 36) if variant == "magnitude" else 0.3
        sides = [np.ones(len(w), bool)] if variant == "magnitude" else [w > 0, w <= 0]
        wanted = [
            np.flatnonzero(side)[
                np.argsort(np.abs(w[side]), kind="stable")[: int(rate * side.sum())]
            ]
            for side in sides
        ]
        np.testing.assert_array_equal(dropped, np.sort(np.concatenate(wanted)))
        assert not np.isin(growth.keys, keys).any()
    grown = np.concatenate([g.values.get("data", []) for *_, g, _ in seen])
    if variant == "paper":
        assert 0.06 < grown.std() < 0.15


def test_dsr_follows_its_wanted_number(rng):
    network = make_network((12, 40, 30, 4), 0.2, rng)
    target, x, y = network.nnz, *blobs(rng)
    topology = DSR(prune_rate=0.05, threshold=1e-6, update_every=2)
    seen = train(network, topology, x, y, epochs=40, look=lambda: (network.nnz, topology.height))
    assert {nnz for nnz, _ in seen.looks} == {target}
    lost = [sum(f["dropped"] for f in r.layers.values()) for r in seen.reports]
    for (_, height), (_, following), dropped in zip(
        seen.looks, seen.looks[1:], lost[1:], strict=False
    ):
        share = dropped / (0.05 * target)
        factor = 2 if share < 0.9 else 0.5 if share > 1.1 else 1
        assert following == height * factor
    assert max(lost) > 0.02 * target
    steps = np.diff([r.step for r in seen.reports])
    assert steps[0] == 2
    assert steps[-1] == 16
    assert (np.diff(steps) >= 0).all()


def test_shares_go_round_until_they_fit():
    assert share_in_rounds(np.array([1, 1, 2]), np.array([9, 1, 99]), 8).tolist() == [2, 1, 5]
    assert share_in_rounds(np.array([1, 1]), np.array([3, 4]), 99).tolist() == [3, 4]
    assert share_in_rounds(np.array([0, 0]), np.array([5, 5]), 4).sum() == 4


def test_deep_r_keeps_signs_and_rewires_what_crosses_zero(rng):
    network = make_network((12, 40, 30, 4), 0.2, rng)
    x, y = blobs(rng)
    topology = DeepR(update_every=1, noise=1e-2, shrinkage=1e-3)

    def look():
        for name, p in network.sparse_parameters().items():
            theta = p.data * signs(topology.salts[name], p.pattern.keys())
            assert (theta > 0).all()
        return network.nnz

    target = network.nnz
    seen = train(network, topology, x, y, look=look)
    assert set(seen.looks) == {target}
    assert len(seen.reports) == 35
    assert sum(f["dropped"] for r in seen.reports for f in r.layers.values()) > 20
    drawn = signs(7, np.arange(100_000))
    assert set(drawn) == {-1.0, 1.0}
    assert abs(drawn.mean()) < 0.02
    assert abs((drawn[1:] * drawn[:-1]).mean()) < 0.02
    assert abs((drawn * signs(8, np.arange(100_000))).mean()) < 0.02


def images(rng, samples=48):
    y = rng.integers(0, 4, samples)
    x = rng.standard_normal((samples, 3, 6, 6)).astype(np.float32)
    x += 2 * rng.standard_normal((4, 3, 6, 6)).astype(np.float32)[y]
    return x.reshape(samples, -1), y


@pytest.mark.parametrize(
    "topology",
    [
        lambda: RigL(update_every=2),
        lambda: GuidedStochasticExploration(update_every=2, distribution="graest"),
        lambda: GuidedStochasticExploration(update_every=2, distribution="grabo", scope="global"),
        lambda: DSR(update_every=2, threshold=0.05),
        lambda: DeepR(update_every=2, noise=1e-2),
        lambda: SparseMomentum(update_every=4, growth="random", pruning="global"),
        lambda: SparseMomentum(update_every=6, source="candidates", proposal="lowrank", window=2),
    ],
)
def test_same_bits_on_any_number_of_threads(topology):
    """Filters and full matrices, one and two threads; nnz is kept."""

    def run(threads):
        rng = np.random.default_rng(0)
        network = Sequential(
            [SparseConv2d(3, 8, 3, padding=1, density=0.3, rng=rng), ReLU(), Flatten(),
             SparseLinear(288, 24, density=0.1, rng=rng), ReLU(),
             SparseLinear(24, 4, density=0.5, rng=rng)], (3, 6, 6),
        )  # fmt: skip
        target = network.nnz
        seen = train(network, topology(), *images(rng), threads=threads, batch_size=20,
                     look=lambda: network.nnz)  # fmt: skip
        assert set(seen.looks) == {target}
        assert sum(f["grown"] for r in seen.reports for f in r.layers.values()) > 5
        return network

    one, two = run(1), run(2)
    for a, b in zip(one.parameters().values(), two.parameters().values(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.parametrize(
    "topology",
    [
        lambda: RigL(update_every=5),
        lambda: GuidedStochasticExploration(update_every=5, distribution="graest", scope="global"),
        lambda: DSR(update_every=5, threshold=0.02),
        lambda: DeepR(update_every=5, noise=1e-2),
        lambda: SparseMomentum(update_every=5, source="lowrank", rank=2, window=7),
        lambda: SparseMomentum(
            update_every=8, source="candidates", proposal="lowrank", rank=2, window=3
        ),
    ],
)
def test_resumed_runs_go_on_bit_for_bit(topology, rng):
    """Broken off after 21 of 48 steps, between two updates, and taken up by a new trainer."""
    x, y = blobs(rng)

    def made():
        network = make_network((12, 24, 16, 4), 0.25, np.random.default_rng(0))
        return Trainer(network, loss=SoftmaxCrossEntropy(), topology=topology(), batch_size=16,
                       optimizer=SGD(0.9), epochs=8, callbacks=[Tracker()])  # fmt: skip

    whole, broken = made().fit(x, y), made()

    class Stop(Callback):
        def on_step(self, trainer, loss):
            trainer.interrupted = trainer.steps_done == 21

    broken.callbacks.append(Stop())
    broken.fit(x, y)
    assert broken.steps_done == 21
    values, arrays = broken.state()
    arrays = {name: array.copy() for name, array in arrays.items()}
    follower = made()
    for ours, theirs in zip(follower.network.parameters().values(),
                            broken.network.parameters().values(), strict=True):  # fmt: skip
        if hasattr(ours, "pattern"):
            ours.rewire(np.arange(ours.nnz), theirs.pattern.rows(), theirs.pattern.indices)
        ours.data[:] = theirs.data
        ours.touch() if hasattr(ours, "touch") else None
    follower.load_state(json.loads(json.dumps(values)), arrays, len(x))
    follower.fit(x, y)
    for ours, theirs in zip(follower.network.parameters().values(),
                            whole.network.parameters().values(), strict=True):  # fmt: skip
        np.testing.assert_array_equal(ours.data, theirs.data)
    ages = [t.callbacks[0].arrays() for t in (follower, whole)]
    for name, array in ages[0].items():
        np.testing.assert_array_equal(array, ages[1][name])


def test_options_are_checked():
    for make in (
        lambda: RigL(prune_rate=0),
        lambda: RigL(stop_after=0),
        lambda: RigL(stop_after=1.5),
        lambda: GuidedStochasticExploration(distribution="normal"),
        lambda: GuidedStochasticExploration(subset=0),
        lambda: GuidedStochasticExploration(scope="row"),
        lambda: DSR(threshold=0),
        lambda: DeepR(noise=-1),
        lambda: SparseMomentum(growth="x"),
        lambda: SparseMomentum(pruning="x"),
        lambda: SparseMomentum(proposal="x"),
        lambda: SparseMomentum(rank=0),
    ):
        with pytest.raises(ParameterError):
            make()
