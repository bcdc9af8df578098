"""What training is given is checked before a kernel reads it: rows, targets, samples, weights."""

import numpy as np
import pytest

from sparsecpu.errors import DataError, ParameterError, PatternError
from sparsecpu.layers import ReLU, Sequential, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.topology import Topology
from sparsecpu.topology.change import Growth
from sparsecpu.topology.free_positions import random_free
from sparsecpu.trainer import Trainer

RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 6)).astype(np.float32)
Y = np.arange(20, dtype=np.int32) % 3


def made(**options):
    rng = np.random.default_rng(0)
    layers = [SparseLinear(6, 5, density=0.5, rng=rng), ReLU(), SparseLinear(5, 3, rng=rng, nnz=8)]
    defaults = {"loss": SoftmaxCrossEntropy(), "batch_size": 8, "epochs": 2, "threads": 1}
    return Trainer(Sequential(layers), **{**defaults, **options})


@pytest.mark.parametrize("rows", [
    [20], [-1], [0, 1 << 40], [0.0], [True], [[0]], [], 3, None, ["0"], [0, [1]], np.arange(8) * 3,
])  # fmt: skip
def test_rows_are_samples(rows):
    with pytest.raises(DataError, match="row"):
        made().step(X, Y, rows)


def test_arrays_that_change_between_steps_are_read_anew():
    """Whether or not they had to be converted."""
    kinds = [(np.float32, np.int32), (np.float64, np.int32), (np.float32, np.int64)]
    for x_kind, y_kind in kinds:
        trainer = made(learning_rate=1e-30)
        x, y, weights = X.astype(x_kind), Y.astype(y_kind), np.ones(20, np.float32)
        trainer.step(x, y, np.arange(20), weights)
        x[:], y[:], weights[:] = 1.0, 2, np.arange(20)
        wanted = made().step(x.copy(), y.copy(), np.arange(20), weights.copy())
        assert trainer.step(x, y, np.arange(20), weights) == wanted
        for wrong in (-1, 3, 1 << 30):
            y[7] = wrong
            with pytest.raises(ParameterError, match=f"targets is {wrong}"):
                trainer.step(x, y, np.arange(8), weights)


def test_samples_that_were_checked_are_checked_once():
    trainer = made()
    samples, y = trainer.network.samples(X), Y.copy()
    trainer.step(samples, y, np.arange(8))
    y[3] = 1 << 30
    with pytest.raises(ParameterError, match="targets"):
        trainer.step(samples, y, np.arange(8))


def test_rows_may_be_any_integers():
    losses = {made().step(X, Y, rows) for rows in (
        [3, 1, 3], np.array([3, 1, 3], np.uint8), np.array([3, 0, 1, 0, 3])[::2],
    )}  # fmt: skip
    assert len(losses) == 1


@pytest.mark.parametrize("targets", [Y + 1, Y - 1, Y[:-1], Y * 1.0, Y[:, None], None, 3])
def test_targets_are_checked_in_a_step_and_in_an_epoch(targets):
    trainer = made()
    trainer.step(X, Y, np.arange(4))  # what was right before proves nothing
    with pytest.raises((DataError, ParameterError), match=r"targets|y has"):
        trainer.step(X, targets, np.arange(4))
    with pytest.raises((DataError, ParameterError), match=r"targets|y has"):
        trainer.run_epoch(trainer.network.samples(X), targets)


@pytest.mark.parametrize("weights", [np.ones(19), np.ones((20, 1)), 1.0, ["a"] * 20, [[1], [2, 3]]])
def test_there_is_a_weight_for_each_sample(weights):
    for call in (lambda t: t.step(X, Y, np.arange(4), weights), lambda t: t.fit(X, Y, weights),
                 lambda t: t.run_epoch(t.network.samples(X), Y, weights)):  # fmt: skip
        with pytest.raises(DataError, match="sample_weight"):
            call(made())


def test_fit_wants_a_target_for_each_sample():
    for x, y in ((X, Y[:3]), (X[:3], Y), (X[:0], Y[:0])):
        with pytest.raises(DataError, match="samples and y has"):
            made().fit(x, y)


class Samples:
    """Samples as somebody may make them."""

    shape = X.shape

    def __init__(self, array=lambda rows: X, here=lambda rows: rows):
        self.array, self.here = array, here

    def take_samples(self, rows):
        return self.array(rows), self.here(rows)


WRONG_SAMPLES = {
    "rows too far": Samples(here=lambda rows: rows + 20),
    "rows from the end": Samples(here=lambda rows: rows - 20),
    "rows as floats": Samples(here=lambda rows: rows * 1.0),
    "too few rows": Samples(here=lambda rows: rows[:-1]),
    "too few columns": Samples(array=lambda rows: X[:, :5].copy()),
    "no samples": Samples(array=lambda rows: X[:0]),
    "another type": Samples(array=lambda rows: X.astype(np.float16)),
    "another order": Samples(array=lambda rows: np.asfortranarray(X)),
    "a list": Samples(array=lambda rows: X.tolist()),
}


@pytest.mark.parametrize("samples", WRONG_SAMPLES.values(), ids=WRONG_SAMPLES)
def test_samples_of_others_are_checked_at_every_batch(samples):
    trainer = made()
    for call in (lambda: trainer.step(samples, Y, np.arange(8)), lambda: trainer.fit(samples, Y),
                 lambda: trainer.network.predict(samples)):  # fmt: skip
        with pytest.raises(DataError, match="take_samples"):
            call()


@pytest.mark.parametrize("name", ["shape", "array", "_matrix"])
def test_checked_samples_stay_what_they_are(name):
    trainer = made()
    samples = trainer.network.samples(X)
    wanted = trainer.network.predict(samples)
    try:
        setattr(samples, name, X[:1] if name != "shape" else (1, 6))
    except AttributeError:
        assert name == "shape"
    np.testing.assert_array_equal(trainer.network.predict(samples), wanted)


def test_samples_of_others_have_a_shape():
    for shape in (None, 3, (20,), (20, 6, 1), (-20, 6), "ab"):
        samples = Samples()
        samples.shape = shape
        with pytest.raises(DataError, match="shape"):
            made().fit(samples, Y)
    found = [made().fit(x, Y).network.predict(X) for x in (Samples(), X)]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("name", "value"), [
    ("batch_size", 0), ("batch_size", -8), ("batch_size", 2.5), ("position", -40),
    ("position", 21), ("position", None),
])  # fmt: skip
def test_an_epoch_that_would_never_end_is_refused(name, value):
    trainer = made()
    setattr(trainer, name, value)
    with pytest.raises(ParameterError, match=name):
        trainer.run_epoch(trainer.network.samples(X), Y)


@pytest.mark.parametrize("wrong", [
    {"loss": 3}, {"optimizer": "adm"}, {"topology": "gsee"}, {"seed": -1},
    {"seed": "a"}, {"seed": 1.5}, {"learning_rate": "0.1"}, {"learning_rate": np.nan},
    {"batch_size": None}, {"epochs": "2"},
])  # fmt: skip
def test_a_trainer_refuses_what_it_cannot_use(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        made(**wrong)


class Rule(Topology):
    """A rule that a test bends."""

    def __init__(self, drop=None, grow=None, quotas=None):
        super().__init__(update_every=1)
        self.bent = {"drop": drop, "grow": grow, "quotas": quotas}

    def drop(self, name, parameter, rate):
        places = np.arange(2)
        return self.bent["drop"](places) if self.bent["drop"] else places

    def grow(self, name, parameter, dropped, count):
        keys = random_free(parameter.pattern, count, self.run.rng)
        return self.bent["grow"](keys, parameter) if self.bent["grow"] else Growth(keys)

    def quotas(self, dropped):
        found = super().quotas(dropped)
        return self.bent["quotas"](found) if self.bent["quotas"] else found


BENT = {
    "drop too far": Rule(drop=lambda p: p + 99),
    "drop from the end": Rule(drop=lambda p: p - 1),
    "drop twice": Rule(drop=lambda p: p * 0),
    "drop floats": Rule(drop=lambda p: p + 0.5),
    "drop a mask": Rule(drop=lambda p: p > 0),
    "drop nothing at all": Rule(drop=lambda p: None),
    "drop a table": Rule(drop=lambda p: p[:, None]),
    "grow too far": Rule(grow=lambda k, p: Growth(k + p.pattern.size)),
    "grow below 0": Rule(grow=lambda k, p: Growth(k - p.pattern.size)),
    "grow twice": Rule(grow=lambda k, p: Growth(k * 0 + k[0])),
    "grow where weights are": Rule(grow=lambda k, p: Growth(p.pattern.keys()[2:4])),
    "grow floats": Rule(grow=lambda k, p: Growth(k * 1.0)),
    "grow too many": Rule(grow=lambda k, p: Growth(random_free(p.pattern, 3, RNG))),
    "grow nothing at all": Rule(grow=lambda k, p: None),
    "grow bare keys": Rule(grow=lambda k, p: k),
    "too few values": Rule(grow=lambda k, p: Growth(k, {"data": [1.0]})),
    "values without names": Rule(grow=lambda k, p: Growth(k, [1.0])),
    "quotas below 0": Rule(quotas=lambda q: dict(zip(q, (5, -1), strict=True))),
    "quotas of some": Rule(quotas=lambda q: dict(list(q.items())[:1])),
    "quotas in parts": Rule(quotas=lambda q: {name: count * 1.25 for name, count in q.items()}),
}


@pytest.mark.parametrize("rule", BENT.values(), ids=BENT)
def test_a_rule_of_others_drops_and_grows_what_there_is(rule):
    trainer = made(topology=rule)
    with pytest.raises((PatternError, ParameterError)):
        trainer.fit(X, Y)
    for parameter in trainer.network.sparse_parameters().values():
        assert {len(v) for v in parameter.vectors().values()} == {parameter.pattern.nnz}
    assert np.isfinite(trainer.network.predict(X)).all()


def test_an_unbent_rule_trains():
    assert made(topology=Rule()).fit(X, Y).steps_done == 6
