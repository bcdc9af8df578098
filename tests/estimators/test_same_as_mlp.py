"""At density 1 the estimators train as scikit-learn's do: from the same weights, in the same order,
to the same weights."""

import itertools

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor

from sparsecpu import SparseMLPClassifier, SparseMLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sparsecpu.errors.DivergenceWarning"),
    pytest.mark.filterwarnings("ignore:Got `batch_size`"),
]

FEATURES, HIDDEN = 5, (7, 4)
RNG = np.random.default_rng(5)
X = RNG.standard_normal((46, FEATURES))
SCORES = X @ RNG.standard_normal((FEATURES, 3)) + 0.3 * RNG.standard_normal((46, 3))
TARGETS = {
    "classes": SCORES.argmax(axis=1),
    "labels": (SCORES > 0).astype(int),
    "number": SCORES[:, 0],
    "numbers": SCORES,
}
WEIGHTS = RNG.uniform(0.2, 2.0, len(X))


def first_weights(n_outputs):
    """Return weights, (n_in, n_out) each, and biases, to begin with."""
    rng, sizes = np.random.default_rng(1), (FEATURES, *HIDDEN, n_outputs)
    coefs = [rng.normal(0, 1 / np.sqrt(n), (n, m)) for n, m in itertools.pairwise(sizes)]
    return coefs, [rng.normal(0, 0.1, m) for m in sizes[1:]]


class Theirs:
    def _initialize(self, y, layer_units, dtype):
        super()._initialize(y, layer_units, dtype)
        self.coefs_, self.intercepts_ = first_weights(self.n_outputs_)


class Ours:
    def _build(self, X, targets, seed):
        super()._build(X, targets, seed)
        coefs, biases = first_weights(self.n_outputs_)
        parameters = self.network_.parameters()
        weights = [p for p in parameters.values() if p.decays]
        for parameter, values in zip(weights, coefs, strict=True):
            parameter.data[:] = values.T.ravel()
            parameter.touch()
        for parameter, values in zip(
            (p for p in parameters.values() if not p.decays), biases, strict=True
        ):
            parameter.data[:] = values


class TheirClassifier(Theirs, MLPClassifier):
    pass


class TheirRegressor(Theirs, MLPRegressor):
    pass


class OurClassifier(Ours, SparseMLPClassifier):
    pass


class OurRegressor(Ours, SparseMLPRegressor):
    pass


def pair(kind, **options):
    """Return an estimator of theirs and one of ours, and their targets."""
    options = {
        "hidden_layer_sizes": HIDDEN, "activation": "tanh", "shuffle": False, "random_state": 0,
        "max_iter": 25, "learning_rate_init": 0.05, **options,
    }  # fmt: skip
    dense = {"density": 1.0, "topology": "static", "dtype": "float64", "scale": None}
    their, our = (TheirClassifier, OurClassifier) if kind in ("classes", "labels") else (
        TheirRegressor, OurRegressor)  # fmt: skip
    return their(**options), our(**options, **dense), TARGETS[kind]


def assert_same(theirs, ours, *, parts=False):
    for a, b in zip(theirs.coefs_, ours.coefs_, strict=True):
        np.testing.assert_allclose(b.toarray(), a, rtol=0, atol=1e-12)
    for a, b in zip(theirs.intercepts_, ours.intercepts_, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-11)
    assert ours.loss_ == ours.loss_curve_[-1]
    assert ours.t_ == theirs.t_
    assert parts or ours.n_iter_ == theirs.n_iter_
    for name in ("best_loss_", "validation_scores_", "best_validation_score_"):
        a, b = getattr(theirs, name), getattr(ours, name)
        assert (a is None) == (b is None), name
        assert a is None or np.allclose(a, b, rtol=1e-11, atol=0), name


def split(*arrays, **_):
    """Hold out every fifth sample, in both packages."""
    held = np.arange(len(arrays[0])) % 5 == 0
    return [part for array in arrays for part in (array[~held], array[held])]


@pytest.fixture
def same_split(monkeypatch):
    monkeypatch.setattr("sklearn.neural_network._multilayer_perceptron.train_test_split", split)
    monkeypatch.setattr("sklearn.model_selection.train_test_split", split)


SGD = [
    {"solver": "sgd", "learning_rate": rule, "nesterovs_momentum": nesterov, "momentum": momentum}
    for rule in ("constant", "invscaling", "adaptive")
    for nesterov, momentum in ((True, 0.9), (False, 0.9), (False, 0.0))
]
ADAM = [
    {"solver": "adam", "epsilon": 1e-8},
    {"solver": "adam", "epsilon": 1e-2, "beta_2": 0.99},
    {"solver": "adam", "learning_rate": "adaptive"},
    {"solver": "adam", "learning_rate": "invscaling"},
]


def named(options):
    return "-".join(str(v) for v in options.values())


#: Batches that divide the 46 samples, that leave a smaller one, and all at once.
SIZES = [
    {"batch_size": 23, "alpha": 0.0},
    {"batch_size": 15, "alpha": 0.5},
    {"batch_size": "auto", "alpha": 0.5},
    {"batch_size": 15, "alpha": 0.5, "early_stopping": True},
]


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("sizes", SIZES, ids=named)
@pytest.mark.parametrize("solver", SGD + ADAM, ids=named)
def test_from_the_same_weights_to_the_same_weights(solver, sizes, kind, same_split):
    theirs, ours, y = pair(kind, **solver, **sizes, n_iter_no_change=1, tol=0.02)
    assert_same(theirs.fit(X, y), ours.fit(X, y))


def test_the_runs_above_stop_early_and_change_their_rate():
    stopping = pair("numbers", solver="sgd", n_iter_no_change=1, tol=0.02)[1].fit(X, SCORES)
    assert stopping.n_iter_ < 25
    falling, ours, y = pair(
        "numbers", solver="sgd", learning_rate="adaptive", n_iter_no_change=1, tol=0.02
    )
    assert falling.fit(X, y)._optimizer.learning_rate < 0.05
    assert ours.fit(X, y).n_iter_ == 25


@pytest.mark.parametrize("activation", ["relu", "logistic", "identity"])
def test_the_same_with_other_activations(activation):
    theirs, ours, y = pair("classes", activation=activation, solver="sgd")
    assert_same(theirs.fit(X, y), ours.fit(X, y))


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("kind", TARGETS)
def test_the_same_with_weights_of_samples(kind, early_stopping, same_split):
    theirs, ours, y = pair(
        kind, alpha=0.5, batch_size=15, solver="sgd", early_stopping=early_stopping
    )
    assert_same(theirs.fit(X, y, WEIGHTS), ours.fit(X, y, WEIGHTS))


def test_an_improvement_of_just_tol_counts():
    """So does none at all where ``tol`` is 0: here both go on with a loss that stays the same."""
    x, y = np.zeros((4, FEATURES)), np.zeros((4, 3))
    for tol in (0.0, 1e-3):
        theirs, ours, _ = pair(
            "numbers", solver="sgd", learning_rate_init=1e-30, n_iter_no_change=2, tol=tol
        )
        assert_same(theirs.fit(x, y), ours.fit(x, y))
        assert ours.n_iter_ == (25 if tol == 0 else 4)


@pytest.mark.parametrize("solver", SGD + ADAM, ids=named)
def test_warm_starts_are_the_same(solver):
    """The optimizer begins anew; the loss that must be beaten, and who was patient, do not."""
    theirs, ours, y = pair(
        "classes", **solver, warm_start=True, alpha=0.5, batch_size=15, max_iter=7,
        n_iter_no_change=2, tol=0.02,
    )  # fmt: skip
    for _ in range(4):
        assert_same(theirs.fit(X, y), ours.fit(X, y))


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("solver", SGD + ADAM, ids=named)
def test_parts_are_the_same(solver, fitted):
    """``partial_fit`` by itself or after ``fit``, with parts of several sizes."""
    theirs, ours, y = pair(
        "numbers", **solver, alpha=0.5, batch_size=15, max_iter=9, n_iter_no_change=1, tol=0.02
    )
    if fitted:
        assert_same(theirs.fit(X, y), ours.fit(X, y))
    for count, calls in ((20, 3), (46, 4), (3, 2)):
        for _ in range(calls):
            theirs.partial_fit(X[:count], y[:count])
            ours.partial_fit(X[:count], y[:count])
            assert_same(theirs, ours, parts=True)
