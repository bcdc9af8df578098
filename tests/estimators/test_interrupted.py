"""Ctrl-C, failures and early stopping: what they leave is a whole model, or none at all."""

import itertools
import pickle
import signal

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sparsecpu import SparseCNNClassifier, SparseMLPClassifier, SparseMLPRegressor
from sparsecpu.errors import DataError, DivergedError, ParameterError
from sparsecpu.losses import Loss
from sparsecpu.topology import SET

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
N = 90
X = RNG.standard_normal((N, 5))
Y = np.arange(N) % 3


def made(kind=SparseMLPClassifier, **options):
    options = {"max_iter": 30, "batch_size": 10, **options}
    return kind((9,), density=0.5, random_state=0, n_jobs=1, **options)


def ctrl_c_in(monkeypatch, owner, name, at, times=1, come=signal.raise_signal):
    """Let Ctrl-C come, so many times, in the ``at``-th call of a method."""
    calls, original = itertools.count(1), getattr(owner, name)

    def call(*args, **options):
        if next(calls) == at:
            for _ in range(times):
                come(signal.SIGINT)
        return original(*args, **options)

    monkeypatch.setattr(owner, name, call)


def assert_whole(model, epochs):
    """A model of so many epochs, which predicts, is pickled, and is trained on."""
    check_is_fitted(model)
    assert (model.n_iter_, len(model.loss_curve_)) == (epochs, epochs)
    assert np.isfinite(model.loss_)
    assert model.t_ >= 0
    assert sum(w.nnz for w in model.coefs_) == model.network_.nnz
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    assert np.isfinite(model.score(X, Y))
    model.set_params(warm_start=True, max_iter=2).fit(X, Y)
    assert len(model.loss_curve_) == epochs + 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("kind", [SparseMLPClassifier, SparseMLPRegressor])
@pytest.mark.parametrize("early", [False, True], ids=["", "early_stopping"])
@pytest.mark.parametrize(("at", "epochs"), [(1, 0), (4, 0), (24, 2)])
def test_ctrl_c_in_an_epoch_keeps_the_network_and_warns(kind, early, at, epochs, monkeypatch):
    model = made(kind, early_stopping=early)
    ctrl_c_in(monkeypatch, Loss, "__call__", at)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, Y)
    if early:
        assert len(model.validation_scores_) == epochs
        expected = max(model.validation_scores_, default=None)
        assert model.best_validation_score_ == expected
    assert_whole(model, epochs)


def test_ctrl_c_under_early_stopping_leaves_the_best_network(monkeypatch):
    options = {"early_stopping": True, "learning_rate_init": 0.5, "topology": "static"}
    whole = made(max_iter=5, **options).fit(X, Y)
    best = int(np.argmax(whole.validation_scores_)) + 1
    until = made(max_iter=best, **options).fit(X, Y)
    ctrl_c_in(monkeypatch, Loss, "__call__", 9 * 6 - 3)  # in the sixth epoch
    with pytest.warns(UserWarning, match="interrupted"):
        broken = made(max_iter=9, **options).fit(X, Y)
    np.testing.assert_array_equal(broken.predict_proba(X), until.predict_proba(X))
    assert best < 5  # or this shows nothing


def test_ctrl_c_in_a_topology_update_leaves_every_weight(monkeypatch):
    model = made(topology="set")
    ctrl_c_in(monkeypatch, SET, "grow", 2)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, Y)
    assert model.network_.nnz == made(topology="static", max_iter=1).fit(X, Y).network_.nnz
    assert_whole(model, model.n_iter_)


def test_an_interrupt_that_is_no_signal_keeps_the_network_too(monkeypatch):
    def come(number):
        raise KeyboardInterrupt

    model = made()
    ctrl_c_in(monkeypatch, Loss, "__call__", 12, come=come)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, Y)
    assert_whole(model, 1)


def test_a_second_ctrl_c_ends_at_once_and_leaves_nothing(monkeypatch):
    model = made()
    ctrl_c_in(monkeypatch, Loss, "__call__", 12, times=2)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert_nothing(model)


def test_a_handler_of_the_user_stays(monkeypatch):
    came = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        ctrl_c_in(monkeypatch, Loss, "__call__", 3)
        assert made(max_iter=2).fit(X, Y).n_iter_ == 2
    finally:
        signal.signal(signal.SIGINT, before)
    assert came == [signal.SIGINT]


@pytest.mark.parametrize("kind", [SparseMLPClassifier, SparseMLPRegressor])
def test_ctrl_c_in_a_part_is_handed_on_and_the_network_kept(kind, monkeypatch):
    classes = {"classes": [0, 1, 2]} if kind is SparseMLPClassifier else {}
    model = made(kind)
    ctrl_c_in(monkeypatch, Loss, "__call__", 14)
    model.partial_fit(X, Y, **classes)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(X, Y)
    assert model.n_iter_ == 1
    assert model.partial_fit(X, Y).n_iter_ == 2
    assert np.isfinite(model.score(X, Y))


def assert_nothing(model):
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    assert not [name for name in vars(model) if name.endswith("_") and name[0] != "_"]
    with pytest.raises(NotFittedError):
        model.predict(X)


FAILING = [
    (dict(solver="sgd", learning_rate_init=1e25), (X, Y)),
    (dict(density=2.0), (X, Y)),
    (dict(topology="no-such"), (X, Y)),
    (dict(hidden_layer_sizes=(0,)), (X, Y)),
    (dict(early_stopping=True, validation_fraction=0.01), (X, Y)),
    (dict(warm_start="yes"), (X, Y)),
    ({}, (X, Y[:-1])),
    ({}, (X[:, :3], Y.astype(complex))),
    ({}, (np.where(X > 2, np.nan, X), Y)),
]


@pytest.mark.parametrize(("options", "data"), FAILING, ids=lambda v: str(v)[:40])
@pytest.mark.parametrize("kind", [SparseMLPClassifier, SparseMLPRegressor])
def test_a_fit_that_fails_leaves_nothing(kind, options, data):
    model = made(kind, max_iter=2)
    for fitted in (False, True):
        if fitted:
            model.set_params(**made(kind, max_iter=2).get_params()).fit(X, Y)
        with pytest.raises(ValueError):
            model.set_params(**options).fit(*data)
        assert_nothing(model)
    assert model.set_params(**made(kind, max_iter=2).get_params()).fit(X, Y).n_iter_ == 2


def test_a_fit_that_fails_leaves_nothing_of_images():
    x, model = RNG.standard_normal((N, 64)), SparseCNNClassifier(max_iter=1, width=0.0)
    with pytest.raises(ValueError):
        model.fit(x, Y)
    assert_nothing(model)
    with pytest.raises(ValueError):
        model.partial_fit(x, Y, classes=[0, 1, 2])
    assert_nothing(model)


def test_what_refuses_the_data_of_a_part_or_a_warm_start_leaves_the_model():
    model = made(max_iter=2).partial_fit(X, Y, classes=[0, 1, 2])
    before = model.predict_proba(X)
    for wrong in (Y + 5, Y[:-1], Y + 1j):
        with pytest.raises(ValueError):
            model.partial_fit(X, wrong)
        with pytest.raises(ValueError):
            model.set_params(warm_start=True).fit(X, wrong)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    with pytest.raises(DataError):
        made().partial_fit(X, Y + 5, classes=[0, 1, 2])
    with pytest.raises(DivergedError):
        model.set_params(solver="sgd", learning_rate_init=1e25).fit(X, Y)
    assert_nothing(model)


RARE = np.arange(N) % 2
RARE[[7, 40]] = 5, 6


@pytest.mark.parametrize(
    "y", [RARE, np.arange(N) % 40, np.arange(N), np.r_[np.zeros(N - 2, int), 1, 1]],
    ids=["single ones", "more classes than held out", "all alone", "two of a class"],
)  # fmt: skip
def test_early_stopping_trains_with_rare_classes(y):
    if len(np.unique(y)) == N:
        with pytest.raises(DataError, match="only ones of their classes"):  # no fraction helps
            made(early_stopping=True).fit(X, y)
        return
    model = made(early_stopping=True, max_iter=3).fit(X, y)
    assert len(model.validation_scores_) == 3
    np.testing.assert_array_equal(model.classes_, np.unique(y))


def test_early_stopping_refuses_what_leaves_too_few():
    for options in ({}, {"validation_fraction": 0.99}):
        for kind in (SparseMLPClassifier, SparseMLPRegressor):
            with pytest.raises(DataError, match="validation"):
                made(kind, early_stopping=True, **options).fit(X[:10], Y[:10])
    with pytest.raises(DataError, match="too small"):
        made(early_stopping=True).fit(X[:10], np.eye(3, dtype=int)[Y[:10]])


@pytest.mark.parametrize("kind", [SparseMLPClassifier, SparseMLPRegressor])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_diverged_run_says_so_under_early_stopping(kind, dtype):
    rate = 1e25 if dtype == "float32" else 1e300
    with pytest.raises(DivergedError):
        made(kind, early_stopping=True, solver="sgd", learning_rate_init=rate, dtype=dtype,
             activation="identity").fit(X, Y)  # fmt: skip


def test_a_power_that_python_would_compute_for_ever_is_refused():
    with pytest.raises(ParameterError, match="power_t"):
        made(solver="sgd", learning_rate="invscaling", power_t=2**70).fit(X, Y)
