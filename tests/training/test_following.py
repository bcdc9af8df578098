"""What follows a training: callbacks, schedules, and rates that adapt."""

from itertools import pairwise

import numpy as np
import pytest
from blob_runs import blobs, everything, trainer

from sparsecpu.callbacks import (
    AdaptiveLearningRate,
    BestModel,
    Callback,
    EarlyStopping,
    History,
    Validation,
)
from sparsecpu.errors import ParameterError
from sparsecpu.optimizers import SGD, Adam
from sparsecpu.schedules import (
    constant,
    cosine,
    every,
    inverse_scaling,
    linear,
    make_schedule,
    multistep,
    one_cycle,
    warmup,
)
from sparsecpu.topology import SparseMomentum


def test_callbacks():
    x, y = blobs()
    history, stopping = History(), EarlyStopping("score", patience=2, maximise=True)
    scores = iter([0.1, 0.5, 0.4, 0.45, 0.3, 0.9])
    kept = []

    class Keep(Callback):
        def on_epoch_end(self, trainer, record):
            kept.append(trainer.network.predict(x))

    best = BestModel("score")
    callbacks = [Validation(lambda n: next(scores), "score"), Keep(), best, stopping, history]
    t = trainer(callbacks, epochs=6).fit(x, y)
    assert t.epochs_done == 5
    assert [r["score"] for r in history.records] == [0.1, 0.5, 0.4, 0.45, 0.3]
    assert [r["epoch"] for r in history.records] == [1, 2, 3, 4, 5]
    assert "updates" in history.records[0]
    np.testing.assert_array_equal(t.network.predict(x), kept[1])


@pytest.mark.parametrize("optimizer", [SGD(0.9), Adam()])
def test_the_best_model_comes_back_after_its_topology_has_changed(optimizer):
    x, y = blobs()
    scores, seen = iter([0.1, 0.5, 0.2, 0.3]), []

    class Keep(Callback):
        def on_epoch_end(self, trainer, record):
            parameters = trainer.network.sparse_parameters().values()
            seen.append({name: array.copy() for name, array in everything(trainer).items()})
            patterns.append([p.pattern for p in parameters])
            turned.append([p.transposed_data.copy() for p in parameters])

    patterns, turned = [], []
    callbacks = [Validation(lambda n: next(scores), "score"), Keep(), BestModel("score")]
    t = trainer(callbacks, optimizer=optimizer, topology=SparseMomentum(update_every=3)).fit(x, y)
    assert patterns[1][0] != patterns[3][0]  # the topology has changed since
    found = everything(t)
    assert any("moment" in name for name in found)  # slots are among what is compared
    for name in (name for name in seen[1] if not name.endswith(" grad")):
        np.testing.assert_array_equal(found[name], seen[1][name], err_msg=name)
    for k, p in enumerate(t.network.sparse_parameters().values()):
        assert p.pattern == patterns[1][k]
        np.testing.assert_array_equal(p.transposed_data, turned[1][k])
        np.testing.assert_array_equal(p.grad, np.zeros(p.nnz))


def test_adaptive_learning_rate():
    x, y = blobs()
    rates = []

    class Watch(Callback):
        def on_epoch_end(self, trainer, record):
            rates.append(trainer.learning_rate_now())

    adaptive = AdaptiveLearningRate("loss", patience=1, tol=10.0)
    trainer([adaptive, Watch()], epochs=8).fit(x, y)
    assert rates[0] == pytest.approx(0.03)
    assert rates[-1] < 0.03 / 20
    assert all(b == pytest.approx(a) or b == pytest.approx(a / 5) for a, b in pairwise(rates))


def test_schedules():
    assert constant(0.3)(99) == 0.3
    assert linear(1.0, 10)(5) == 0.5
    assert cosine(1.0, 10)(5) == pytest.approx(0.5)
    assert cosine(1.0, 10)(20) == pytest.approx(0.0)
    assert [multistep(1.0, [2, 4], 0.5)(s) for s in range(6)] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert every(1.0, 3, 0.1)(7) == pytest.approx(0.01)
    assert inverse_scaling(1.0)(3) == 0.5
    assert [warmup(constant(1.0), 3)(s) for s in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    named = make_schedule("cosine:floor=0.1,warmup=10", 3.0, 100)
    assert [named(s) for s in (0, 100, 200)] == pytest.approx([3 / 11, 0.3, 0.3], rel=1e-4)
    assert max(named(s) for s in range(100)) == named(10) > 2.9
    assert make_schedule("constant:warmup=0", 3.0, 100)(0) == 3.0
    cycle = [one_cycle(1.0, 100)(s) for s in range(100)]
    assert cycle[0] == pytest.approx(0.04)
    assert max(cycle) == pytest.approx(1.0, abs=1e-3)
    assert cycle[-1] < 0.01
    with pytest.raises(ParameterError):
        every(1.0, 0)
