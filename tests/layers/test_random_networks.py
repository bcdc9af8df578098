"""A few of the random networks that ``tests/random_networks.py`` compares in any number."""

import numpy as np
import pytest
from all_ways import try_all_ways
from architectures import KINDS, random_case

from sparsecpu.layers import KINDS as ALL_KINDS
from sparsecpu.sparse.parameter import SparseParameter

#: A kink of a ReLU or of a maximum may lie within a step of central differences; not for all of
#: these batches.
_TRIES = 3


def slopes(case, train, rng):
    """Return the slope of the loss along a random direction, by differences and by gradients."""
    parameters = case.network.parameters()
    kept = {name: b.copy() for name, b in case.network.buffers().items()}
    steps = {name: 1e-6 * rng.standard_normal(p.nnz) for name, p in parameters.items()}

    def loss_at(sign):
        for name, parameter in parameters.items():
            parameter.data += sign * steps[name]
            if isinstance(parameter, SparseParameter):
                parameter.touch()
        for name, buffer in case.network.buffers().items():
            buffer[:] = kept[name]
        return case.network.loss_and_gradients(case.x, case.y, case.loss, train=train)

    _, gradients = loss_at(0)
    above, below = loss_at(1)[0], loss_at(-2)[0]
    loss_at(1)
    parts = np.concatenate([g * steps[name] for name, g in gradients.items()] or [np.zeros(0)])
    return above - below, 2 * parts.sum(), np.abs(parts).max(initial=1e-12)


@pytest.mark.parametrize("train", [True, False])
def test_gradients_by_central_differences(train, rng):
    for seed in range(40):
        for again in range(_TRIES):
            case = random_case(seed, np.float64, again=again)
            found, wanted, largest = slopes(case, train, rng)
            if case.network.dtype == np.float32:  # without parameters
                assert wanted == 0
                break
            if abs(found - wanted) < 1e-4 * largest:
                break
        else:
            pytest.fail(f"seed {seed}: the loss rises by {found}, its gradient says {wanted}")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_ways_agree(dtype):
    for seed in range(100, 112):
        try_all_ways(random_case(seed, dtype), seed)


def test_networks_are_those_of_pytorch():
    pytest.importorskip("torch")
    from random_networks import one_network

    failures = [found for seed in range(200, 225) for found in one_network(seed)["failures"]]
    assert not failures


#: Kinds of layers that need tokens, or stand in transformers only: these have twins of their own.
OF_TRANSFORMERS = {"attention", "class_token", "embedding", "feed_forward", "mean_tokens",
                   "patch_embedding"}  # fmt: skip


def test_every_kind_is_drawn():
    """A new kind of layer joins by a line in ``architectures.KINDS``."""
    ours = {name for name, kind in ALL_KINDS.items() if kind.__module__.startswith("sparsecpu.")}
    ours -= OF_TRANSFORMERS
    assert ours == set(KINDS)
    drawn = {kind for seed in range(40) for kind in random_case(seed).kinds}
    assert drawn == ours
    firsts = {random_case(seed, np.float32).network.layers[0].kind for seed in range(200)}
    assert firsts == ours
