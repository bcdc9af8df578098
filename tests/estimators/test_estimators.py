import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_friedman1, make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from sparsecpu import SparseMLPClassifier, SparseMLPRegressor
from sparsecpu.errors import DivergedError, ParameterError
from sparsecpu.topology import SET

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(x), y


def classifier(**options):
    options = {
        "hidden_layer_sizes": (60,),
        "density": 0.3,
        "max_iter": 60,
        "learning_rate_init": 0.01,
        **options,
    }
    return SparseMLPClassifier(random_state=0, **options)


def test_digits_are_learnt():
    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x / 16, y, random_state=0, stratify=y)
    model = SparseMLPClassifier((300, 100), density=0.1, max_iter=30, random_state=0).fit(x, y)
    assert model.score(x_test, y_test) > 0.95
    assert model.density_ == pytest.approx(0.1, abs=1e-4)
    assert len(model.loss_curve_) == model.n_iter_ <= 30
    assert [c.shape for c in model.coefs_] == [(64, 300), (300, 100), (100, 10)]
    assert all(sparse.issparse(c) for c in model.coefs_)
    assert [b.shape for b in model.intercepts_] == [(300,), (100,), (10,)]
    assert sum(c.nnz for c in model.coefs_) == model.network_.nnz


def test_string_labels_and_probabilities(iris):
    x, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])
    model = classifier().fit(x, names[y])
    assert model.score(x, names[y]) > 0.9
    p = model.predict_proba(x)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(x))
    np.testing.assert_allclose(np.exp(model.predict_log_proba(x)), p)


@pytest.mark.parametrize("topology", ["sparse-momentum", "set", "static", SET(prune_rate=0.2)])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_every_topology_and_solver(topology, solver, iris):
    rate = 0.01 if solver == "adam" else 0.1
    model = classifier(topology=topology, solver=solver, learning_rate_init=rate).fit(*iris)
    assert model.score(*iris) > 0.85
    assert model.density_ == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("rule", ["constant", "invscaling", "adaptive"])
def test_learning_rates(rule, iris):
    rate = {"learning_rate": rule, "learning_rate_init": 0.2, "power_t": 0.25}
    model = classifier(solver="sgd", **rate).fit(*iris)
    assert model.score(*iris) > 0.75


def test_pandas_columns(iris):
    x = pd.DataFrame(iris[0], columns=list("abcd"))
    model = classifier().fit(x, iris[1])
    assert list(model.feature_names_in_) == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        model.predict(x[list("dcba")])


def test_sparse_samples_are_the_same_as_dense_ones(iris):
    x = iris[0] * (np.abs(iris[0]) > 0.5)
    dense = classifier(max_iter=5, scale=None).fit(x, iris[1])
    thin = classifier(max_iter=5, scale=None).fit(sparse.csr_array(x), iris[1])
    np.testing.assert_array_equal(dense.predict_proba(x), thin.predict_proba(sparse.csc_array(x)))


def test_class_weight_and_sample_weight(iris):
    x, y = iris
    keep = np.r_[np.arange(0, 50), np.arange(50, 100), np.arange(100, 105)]
    x, y = x[keep], y[keep]
    plain = classifier().fit(x, y).predict(x)
    balanced = classifier(class_weight="balanced").fit(x, y).predict(x)
    assert (balanced[-5:] == 2).mean() >= (plain[-5:] == 2).mean()
    weights = np.where(y == 0, 0.0, 1.0)
    assert 0 not in classifier().fit(x, y, weights).predict(x)
    heavy = classifier(class_weight={0: 0.0, 1: 1.0, 2: 1.0}).fit(x, y)
    assert 0 not in heavy.predict(x)


def test_partial_fit(iris):
    x, y = iris
    model = classifier(learning_rate_init=0.02)
    with pytest.raises(ParameterError, match="classes"):
        model.partial_fit(x, y)
    order = np.random.default_rng(0).permutation(150)
    for _ in range(40):
        for part in np.array_split(order, 3):
            model.partial_fit(x[part], y[part], classes=[0, 1, 2])
    assert model.score(x, y) > 0.9
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(x), model.predict_proba(x))
    copy.partial_fit(x, y)
    with pytest.raises(ValueError, match="labels"):
        model.partial_fit(x, y + 5)


def test_partial_fit_refuses_what_it_cannot_do(iris):
    x, y = iris
    with pytest.raises(ParameterError, match="early_stopping"):
        classifier(early_stopping=True).partial_fit(x, y, classes=[0, 1, 2])
    model = classifier().partial_fit(x, y, classes=[0, 1, 2])
    model.partial_fit(x[:5], y[:5], classes=[2, 1, 0])
    with pytest.raises(ParameterError, match="classes"):
        model.partial_fit(x, y, classes=[0, 1, 2, 3])


@pytest.mark.parametrize("rule", ["constant", "invscaling", "adaptive"])
def test_partial_fit_goes_on_after_pickling(rule, iris):
    """With the same rate, patience and moments; the order of the samples is drawn anew."""
    x, y = iris
    options = dict(solver="sgd", learning_rate=rule, n_iter_no_change=1, tol=0.05, shuffle=False,
                   topology="static")  # fmt: skip
    model = classifier(**options)
    for call in range(12):
        model.partial_fit(x, y, classes=[0, 1, 2])
        if call == 5:
            again = pickle.loads(pickle.dumps(model))
        elif call > 5:
            again.partial_fit(x, y)
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))
    assert again.loss_curve_ == model.loss_curve_
    assert again.t_ == model.t_ == 12 * 150


def test_a_failed_fit_is_no_fit(iris):
    model = classifier(solver="sgd")
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    with pytest.raises(DivergedError):
        model.set_params(learning_rate_init=1e25).fit(*iris)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    check_is_fitted(model.set_params(learning_rate_init=0.1).fit(*iris))


def test_a_warm_start_never_ends_below_the_best_score_so_far(iris):
    model = classifier(early_stopping=True, warm_start=True, max_iter=30).fit(*iris)
    best, before = model.best_validation_score_, model.predict_proba(iris[0])
    model.set_params(learning_rate_init=1e-12, max_iter=3).fit(*iris)
    assert model.best_validation_score_ == best
    assert len(model.validation_scores_) == len(model.loss_curve_)
    np.testing.assert_array_equal(model.predict_proba(iris[0]), before)


def test_warm_start_goes_on(iris):
    model = classifier(warm_start=True, max_iter=3)
    first = model.fit(*iris).loss_
    for _ in range(6):
        model.fit(*iris)
    assert model.loss_ < first
    cold = classifier(max_iter=3).fit(*iris)
    assert cold.fit(*iris).loss_ == pytest.approx(first)


def test_early_stopping_keeps_the_best(iris):
    model = classifier(early_stopping=True, n_iter_no_change=5, max_iter=200).fit(*iris)
    assert model.n_iter_ < 200
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert len(model.validation_scores_) == model.n_iter_


def test_multi_label():
    x, y = make_multilabel_classification(300, 20, n_classes=4, random_state=0)
    model = classifier(max_iter=60).fit(StandardScaler().fit_transform(x), y)
    z = StandardScaler().fit_transform(x)
    assert model.predict(z).shape == y.shape
    assert (model.predict(z) == y).mean() > 0.85
    assert model.predict_proba(z).max() <= 1
    fresh = classifier().partial_fit(z, y, classes=np.arange(4))
    assert fresh.predict(z).shape == y.shape


def test_regression_and_multiple_outputs():
    x, y = make_friedman1(400, random_state=0)
    y = (y - y.mean()) / y.std()
    model = SparseMLPRegressor((100,), density=0.3, max_iter=100, random_state=0).fit(x, y)
    assert model.score(x, y) > 0.8
    assert model.predict(x).shape == (400,)
    both = SparseMLPRegressor((100,), density=0.3, max_iter=100, random_state=0)
    both.fit(x, np.c_[y, -y])
    assert both.predict(x).shape == (400, 2)
    assert both.score(x, np.c_[y, -y]) > 0.8
    stopped = SparseMLPRegressor(early_stopping=True, random_state=0, max_iter=20).fit(x, y)
    assert len(stopped.validation_scores_) == stopped.n_iter_
    online = SparseMLPRegressor(density=0.3, random_state=0)
    for _ in range(3):
        online.partial_fit(x, y)
    assert online.n_iter_ == 3


def test_grid_search_pipeline_and_clone(iris):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), classifier(max_iter=15)),
        {"sparsemlpclassifier__density": [0.2, 0.5]},
        n_jobs=2,
        cv=2,
    ).fit(*iris)
    assert search.best_score_ > 0.7
    again = clone(search.best_estimator_).fit(*iris)
    np.testing.assert_array_equal(
        again.predict_proba(iris[0]), search.best_estimator_.predict_proba(iris[0])
    )


def test_threads_do_not_change_predictions(iris):
    one, two = (classifier(n_jobs=n, max_iter=5).fit(*iris) for n in (1, None))
    np.testing.assert_array_equal(one.predict_proba(iris[0]), two.predict_proba(iris[0]))


@pytest.mark.parametrize(
    "bad",
    [
        dict(density=0), dict(density=2), dict(density=float("nan")), dict(solver="lbfgs"),
        dict(topology="x"), dict(distribution="x"), dict(learning_rate="x"), dict(batch_size=0),
        dict(max_iter=0), dict(alpha=-1), dict(learning_rate_init=0.0),
        dict(learning_rate_init=float("nan")), dict(hidden_layer_sizes=(0,)), dict(activation="x"),
        dict(dtype="int32"), dict(n_jobs=0), dict(validation_fraction=0), dict(momentum=1.0),
        dict(solver="sgd", momentum=0.0, topology="sparse-momentum"),
        dict(alpha=float("inf")), dict(alpha="1"),
        dict(learning_rate_init=True), dict(epsilon=0.0), dict(beta_1=1.0), dict(beta_2=-0.1),
        dict(power_t=float("nan")), dict(tol=float("nan")), dict(n_iter_no_change=0),
        dict(n_iter_no_change=1.5),
    ],
    ids=str,
)  # fmt: skip
def test_bad_parameters(bad, iris):
    if bad == dict(momentum=1.0):
        bad = dict(solver="sgd", momentum=1.0)
    with pytest.raises(ValueError):
        classifier(**bad).fit(*iris)


def test_verbose_prints(iris, capsys):
    classifier(verbose=True, max_iter=2).fit(*iris)
    assert capsys.readouterr().out.count("Iteration") == 2
