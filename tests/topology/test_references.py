"""Every algorithm beside masks on dense tensors: the same patterns and weights, update by update.

What chance decides (where SET, DSR and deep rewiring grow, what GSE draws) is taken from the engine
and checked to be allowed; all else the reference decides by itself.
"""

import naive
import numpy as np
import pytest
from rewiring import blobs, dense_copies, make_network, train

from sparsecpu.optimizers import SGD, Adam
from sparsecpu.topology import (
    DSR,
    SET,
    DeepR,
    GradualPruning,
    GuidedStochasticExploration,
    RigL,
    SparseMomentum,
    gse,
)
from sparsecpu.topology.deep_r import signs
from sparsecpu.topology.sampling import draw_inactive

RATE = 0.05
#: Rows that share their columns, and sizes of layers: with groups of four, all of them, or with
#: a last group of three (for DSR, of one and of two).
LAYERS = {"1": (1, (12, 24, 16, 4)), "4": (4, (12, 24, 16, 4)), "4-ragged": (4, (12, 27, 16, 4))}
LAYERS_OF_DSR = {
    "1": (1, (12, 40, 30, 4)),
    "4": (4, (12, 40, 32, 4)),
    "4-ragged": (4, (12, 41, 30, 10)),
}
in_groups = pytest.mark.parametrize(("group", "widths"), LAYERS.values(), ids=LAYERS)


def some_network(rng, group=1, widths=(12, 24, 16, 4), density=0.25):
    network = make_network(widths, density, rng, group=group)
    assert {p.pattern.group for p in network.sparse_parameters().values()} == {group}
    for name, p in network.parameters().items():
        if name.endswith("bias"):
            p.data[:] = 0.1  # few dead units, so that every position has some momentum
    return network


def beside(reference_class, network, p0, total=0, rate=RATE, **given):
    reference = reference_class(
        *dense_copies(network), rate=rate, momentum=0.9, p0=p0, total_steps=total
    )
    (given["group"],) = {p.pattern.group for p in network.sparse_parameters().values()}
    for name, value in given.items():
        setattr(reference, name, value)
    return reference


def look_at(network):
    """What there is after an update: keys and weights of each layer."""
    return lambda: [(p.pattern.keys(), p.data.copy()) for p in network.sparse_parameters().values()]


def assert_same(network, reference, slots):
    for k, p in enumerate(network.sparse_parameters().values()):
        keys = p.pattern.keys()
        np.testing.assert_allclose(p.data, reference.w[k].reshape(-1)[keys], atol=1e-10)
        for slot, dense in slots.items():
            np.testing.assert_allclose(p.slots[slot], dense[k].reshape(-1)[keys], atol=1e-10)


def replay(reference, seen, x, y, *, every, total, batch=16):
    """Do the steps again, densely, and compare patterns after every update; return new values."""
    updates, new = 0, []
    for t in range(1, total + 1):
        start = batch * ((t - 1) % -(-len(x) // batch))
        reference.step(x[start : start + batch], y[start : start + batch])
        if t % every or updates == len(seen.reports):
            continue
        assert seen.reports[updates].step == t
        grown, values = [], []
        for mask, (keys, data) in zip(reference.mask, seen.looks[updates], strict=True):
            fresh = ~np.isin(keys, np.flatnonzero(mask))
            grown.append(keys[fresh])
            values.append(data[fresh])
        reference.seen = grown
        reference.update(t, grown, values)
        for mask, (keys, _) in zip(reference.mask, seen.looks[updates], strict=True):
            np.testing.assert_array_equal(np.flatnonzero(mask), keys)
        updates += 1
        new += values
    assert updates == len(seen.reports) >= 3
    return np.concatenate(new)


@pytest.mark.parametrize(
    ("optimizer", "batch", "redistribution"),
    [
        (SGD(0.9), 16, "momentum"),
        (SGD(0.9), 20, "momentum"),
        (SGD(0.9), 16, "magnitude"),
        (SGD(0.9), 16, "nonzero"),
        (Adam(), 16, "momentum"),
        (Adam(), 16, "magnitude"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, SGD | Adam) else str(value),
)
@in_groups
def test_sparse_momentum(group, widths, optimizer, batch, redistribution, rng):
    network, (x, y) = some_network(rng, group, widths), blobs(rng)
    every = -(-len(x) // batch)
    adam = isinstance(optimizer, Adam)
    kind = naive.MaskedDenseAdamMomentum if adam else naive.MaskedDenseSparseMomentum
    rate = 0.002 if adam else 0.02
    reference = beside(kind, network, 0.5, 4 * every, rate, redistribution=redistribution)
    choose = reference.update
    reference.update = lambda t, grown, values: choose(t)  # nothing is left to chance
    topology = SparseMomentum(source="window", window=4 * every, redistribution=redistribution)
    seen = train(network, topology, x, y, optimizer=optimizer, learning_rate=rate, epochs=4,
                 batch_size=batch, look=look_at(network))  # fmt: skip
    replay(reference, seen, x, y, every=every, total=4 * every, batch=batch)
    facts = [layer for report in seen.reports for layer in report.layers.values()]
    for (lost, won), layer in zip(reference.log, facts, strict=True):  # weights, not positions
        assert layer["dropped"] == len(lost)
        assert layer["grown"] == len(won)
        assert layer["regrown"] == len(np.intersect1d(lost, won))
        assert layer["shortfall"] == 0
    slots = {"first_moment": reference.m, "second_moment": reference.v} if adam else {
        "momentum": reference.m}  # fmt: skip
    assert_same(network, reference, slots)


@in_groups
@pytest.mark.parametrize("rule", ["rigl", "rigl-forgets", "gse"])
def test_rigl_and_gse(rule, group, widths, rng, monkeypatch):
    network, (x, y) = some_network(rng, group, widths), blobs(rng)
    every, total, drawn = 4, 36, []
    topology = RigL(update_every=every, regrow_keeps_value=rule == "rigl")
    if rule == "gse":
        topology = GuidedStochasticExploration(prune_rate=0.3, subset=2.0, update_every=every)

        def draw(pattern, *given):
            keys = draw_inactive(pattern, *given)
            drawn.append(keys)  # all of them: which are worth growing, the reference finds out
            assert not np.isin(keys, pattern.keys()).any()
            return keys

        monkeypatch.setattr(gse, "draw_inactive", draw)
    kind = naive.MaskedDenseGSE if rule == "gse" else naive.MaskedDenseRigL
    stop = int(topology.stop_after * total)
    reference = beside(kind, network, 0.3, stop, forgets=rule == "rigl-forgets")
    seen = train(network, topology, x, y, look=look_at(network))
    updates = 0
    for t in range(total):
        batch = slice(16 * (t % 6), 16 * (t % 6) + 16)
        if (t + 1) % every or t + 1 >= stop:
            reference.step(x[batch], y[batch])
            continue
        allowed = drawn[3 * updates : 3 * updates + 3][::-1] if rule == "gse" else None
        reference.update(x[batch], y[batch], t + 1, allowed)
        for mask, (keys, _) in zip(reference.mask, seen.looks[updates], strict=True):
            np.testing.assert_array_equal(np.flatnonzero(mask), keys)
        updates += 1
    assert updates == len(seen.reports) >= 4
    if rule != "gse":
        assert any(len(np.intersect1d(lost, won)) for lost, won in reference.log)
    assert_same(network, reference, {"momentum": reference.m})


@in_groups
@pytest.mark.parametrize("variant", ["magnitude", "paper"])
def test_set(variant, group, widths, rng):
    network, (x, y) = some_network(rng, group, widths), blobs(rng)
    reference = beside(naive.MaskedDenseSET, network, 0.3, 36, signed=variant == "paper")
    seen = train(network, SET(variant=variant), x, y, look=look_at(network))
    values = replay(reference, seen, x, y, every=6, total=36)
    assert_same(network, reference, {"momentum": reference.m})
    if variant == "paper":
        assert values.std() == pytest.approx(0.1, rel=0.2)
        assert abs(values.mean()) < 0.4 * 0.1


@pytest.mark.parametrize(("group", "widths"), LAYERS_OF_DSR.values(), ids=LAYERS_OF_DSR)
def test_dsr(group, widths, rng):
    network, (x, y) = some_network(rng, group, widths, 0.2), blobs(rng)
    topology = DSR(prune_rate=0.05, threshold=1e-3, update_every=2)
    reference = beside(naive.MaskedDenseDSR, network, 0.05, height=1e-3)
    heights = []
    looking = look_at(network)
    seen = train(network, topology, x, y, epochs=20,
                 look=lambda: heights.append(topology.height) or looking())  # fmt: skip
    steps = np.diff([report.step for report in seen.reports])
    assert set(steps) == {2, 4, 8, 16}  # rarer after each quarter of the training
    assert (np.diff(steps) >= 0).all()
    due = {report.step for report in seen.reports}
    updates = 0
    for t in range(1, 121):
        start = 16 * ((t - 1) % 6)
        reference.step(x[start : start + 16], y[start : start + 16])
        if t in due:
            masks = [np.flatnonzero(mask) for mask in reference.mask]
            after = [keys for keys, _ in seen.looks[updates]]
            grown = [np.setdiff1d(a, b) for a, b in zip(after, masks, strict=True)]
            reference.seen = grown
            reference.update(t, grown, None)
            assert reference.height == heights[updates]
            for mask, keys in zip(reference.mask, after, strict=True):
                np.testing.assert_array_equal(np.flatnonzero(mask), keys)
            updates += 1
    assert len({*heights}) >= 3
    assert sum(len(lost) for lost, _ in reference.log) > 50
    assert_same(network, reference, {"momentum": reference.m})


@in_groups
def test_deep_r(group, widths, rng):
    network, (x, y) = some_network(rng, group, widths), blobs(rng)
    shrinkage = 0.02 if group == 1 else 0.1
    topology = DeepR(update_every=1, noise=0.0, shrinkage=shrinkage)
    seen = train(network, topology, x, y, look=look_at(network))
    first = make_network(widths, 0.25, np.random.default_rng(12345), group=group)
    sign = [
        signs(topology.salts[name], np.arange(p.pattern.size)).reshape(p.shape)
        for name, p in network.sparse_parameters().items()
    ]
    reference = beside(naive.MaskedDenseDeepR, first, 0.5, sign=sign, shrinkage=shrinkage)
    reference.w = [np.abs(w) * s for w, s in zip(reference.w, sign, strict=True)]
    reference.b = [b + 0.1 for b in reference.b]
    replay(reference, seen, x, y, every=1, total=36)
    assert sum(len(lost) for lost, _ in reference.log) > 20
    assert_same(network, reference, {"momentum": reference.m})


@in_groups
def test_gradual_pruning(group, widths, rng):
    network, (x, y) = (
        some_network(rng, group, widths, density=0.8 if group == 1 else 0.35),
        blobs(rng),
    )
    topology = GradualPruning(density=0.2, begin=0.1, end=0.7, update_every=3)
    reference = beside(naive.MaskedDensePruning, network, 0.2, begin=round(3.6), end=round(25.2))
    seen = train(network, topology, x, y, look=look_at(network))
    replay(reference, seen, x, y, every=3, total=36)
    wanted = round(0.2 * sum(mask.size for mask in reference.mask))
    assert wanted <= network.nnz < wanted + group
    assert_same(network, reference, {"momentum": reference.m})
