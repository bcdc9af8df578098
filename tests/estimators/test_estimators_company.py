"""Estimators predict the same bits for a sample alone and in any batch."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks as checks

from sparsecpu import SparseCNNClassifier, SparseMLPClassifier, SparseMLPRegressor
from sparsecpu.kernels.machine.cpu import wide_vectors_pay
from sparsecpu.layers import tunable_layers

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

METHODS = ("predict", "predict_proba", "predict_log_proba")
SHORT = {"max_iter": 2, "random_state": 0}


def same_in_any_company(model, X, rng, others=()):
    """Ask for samples together, in parts, in another order, one by one; and as ``others`` are."""
    order = rng.permutation(len(X))
    parts = [order, order[:33], order[:16], *(order[i : i + 1] for i in range(5)), order[:2]]
    for method in filter(lambda name: hasattr(model, name), METHODS):
        wanted = getattr(model.set_params(n_jobs=1), method)(X)
        for number, rows in enumerate(parts):
            ask = getattr(model.set_params(n_jobs=1 + number % 2), method)
            np.testing.assert_array_equal(ask(X[rows]), wanted[rows])
            for other in others:
                np.testing.assert_array_equal(ask(other[rows]), wanted[rows])


@pytest.mark.parametrize("form", ["sparse", "dense"])
@pytest.mark.parametrize(
    ("estimator", "options"),
    [
        (SparseMLPClassifier, {}),
        (SparseMLPClassifier, {"dtype": "float64", "batch_norm": True, "activation": "tanh"}),
        (SparseMLPClassifier, {"precision": "bf16", "density": 0.5}),
        (SparseMLPRegressor, {}),
        (SparseMLPRegressor, {"dtype": "float64", "density": 0.4}),
    ],
)
def test_mlps(estimator, options, form, rng):
    if options.get("precision") and not wide_vectors_pay():
        pytest.skip("no wide vectors")
    X = (5 * rng.standard_normal((140, 60))) * (rng.random((140, 60)) < 0.3)
    y = X[:, :3].sum(axis=1)
    model = estimator((90, 50), **{**SHORT, **options})
    model.fit(X, y if estimator is SparseMLPRegressor else np.digitize(y, [-3, 0, 3]))
    for _, layer in tunable_layers(model.network_):
        layer.form = form
    same_in_any_company(model, X, rng, [scipy.sparse.csr_array(X)])


def test_several_labels(rng):
    X = rng.standard_normal((140, 30))
    model = SparseMLPClassifier((40,), **SHORT).fit(X, X[:, :5] > 0)
    same_in_any_company(model, X, rng)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_images(dtype, rng):
    X, y = rng.standard_normal((140, 64)).astype(np.float32), np.arange(140) % 3
    model = SparseCNNClassifier("vgg-like", width=0.125, density=0.4, dtype=dtype, **SHORT)
    same_in_any_company(model.fit(X, y), X, rng)


def _pictures(X):
    """Return pictures of 8 x 8 that repeat a sample's three numbers."""
    return np.tile(X, 22)[:, :64]


@pytest.mark.parametrize(
    "estimator",
    [
        SparseMLPClassifier(),
        SparseMLPRegressor(),
        make_pipeline(FunctionTransformer(_pictures), SparseCNNClassifier()),
    ],
)
@pytest.mark.parametrize("check", ["subset_invariance", "sample_order_invariance"])
def test_what_scikit_learn_checks(estimator, check):
    getattr(checks, f"check_methods_{check}")("estimator", clone(estimator))
