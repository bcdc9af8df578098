"""Estimators scale what they read, and what a regressor learns."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from sparsecpu import SparseCNNClassifier, SparseMLPClassifier, SparseMLPRegressor, load, save
from sparsecpu.errors import ParameterError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(3)
X = RNG.standard_normal((120, 4))
#: The same in units of their own; the last feature says nothing.
UNITS, ORIGINS = np.array([1e4, 1e-3, 50.0, 2.0]), np.array([3e4, 1.0, -20.0, 0.0])
RAW = np.c_[X * UNITS + ORIGINS, np.full(120, 0.1)]
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
NUMBERS = 1e5 + 3e3 * (X[:, 0] - X[:, 2])
OPTIONS = {"max_iter": 60, "random_state": 0, "density": 0.5, "batch_size": 30}


def test_units_and_origins_do_not_matter():
    model = SparseMLPClassifier((20,), **OPTIONS).fit(RAW, Y)
    assert model.scaling_ == "feature"
    assert model.score(RAW, Y) > 0.9
    read = (RAW - model.network_.offset) * model.network_.scale
    np.testing.assert_allclose(read[:, :4].mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(read[:, :4].std(axis=0), 1, atol=1e-3)
    plain = SparseMLPClassifier((20,), **OPTIONS, scale=None).fit(RAW, Y)
    assert plain.scaling_ == "none"
    assert not plain.network_.offset.size


def test_a_constant_feature_that_changes_later_does_no_harm():
    model = SparseMLPClassifier((20,), **OPTIONS, dtype="float64").fit(RAW, Y)
    later = RAW.copy()
    later[:, -1] += 0.1
    assert model.score(later, Y) > 0.9


def test_numbers_are_learnt_scaled_and_predicted_in_their_units():
    model = SparseMLPRegressor((20,), **OPTIONS).fit(RAW, NUMBERS)
    assert model.score(RAW, NUMBERS) > 0.9
    assert model.target_mean_ == pytest.approx([NUMBERS.mean()])
    assert model.target_scale_ == pytest.approx([NUMBERS.std()])
    assert model.loss_ < 1
    plain = SparseMLPRegressor((20,), **OPTIONS, scale="none").fit(X, NUMBERS)
    np.testing.assert_array_equal(plain.predict(X), plain.network_.predict(X).ravel())
    two = SparseMLPRegressor((20,), **OPTIONS).fit(RAW, np.c_[NUMBERS, -NUMBERS])
    assert two.score(RAW, np.c_[NUMBERS, -NUMBERS]) > 0.9


def test_weights_count_as_so_many_samples():
    weights = np.arange(120) % 3
    once = SparseMLPRegressor((20,), **OPTIONS).fit(RAW, NUMBERS, weights)
    rows = np.repeat(np.arange(120), weights)
    often = SparseMLPRegressor((20,), **OPTIONS).fit(RAW[rows], NUMBERS[rows])
    np.testing.assert_allclose(once.network_.offset, often.network_.offset, rtol=1e-5)
    np.testing.assert_allclose(once.network_.scale, often.network_.scale, rtol=1e-5)
    np.testing.assert_allclose(once.target_scale_, often.target_scale_)


def test_zeros_of_sparse_samples_stay():
    thin = sparse.random_array((120, 6), density=0.3, rng=np.random.default_rng(0), format="csr")
    thin = thin @ sparse.diags_array([1e3, 1.0, 1.0, 1e-2, 1.0, 0.0], format="csr")
    model = SparseMLPClassifier((20,), **OPTIONS).fit(thin, Y)
    assert model.scaling_ == "largest"
    assert not model.network_.offset.any()
    largest = np.abs(thin.toarray() * model.network_.scale).max(axis=0)
    np.testing.assert_allclose(largest, [1, 1, 1, 1, 1, 0], rtol=1e-6)
    same = model.predict_proba(thin.toarray())
    np.testing.assert_array_equal(same, model.predict_proba(thin))


def test_the_first_part_says_how():
    parts, whole = SparseMLPRegressor((20,), **OPTIONS), SparseMLPRegressor((20,), **OPTIONS)
    whole.partial_fit(RAW[:60], NUMBERS[:60])
    before = whole.network_.scale.copy(), whole.target_mean_.copy()
    whole.partial_fit(2 * RAW[60:], NUMBERS[60:])
    np.testing.assert_array_equal(whole.network_.scale, before[0])
    np.testing.assert_array_equal(whole.target_mean_, before[1])
    parts.partial_fit(RAW[:1], NUMBERS[:1])  # one sample has no deviation
    assert np.isfinite(parts.predict(RAW[:1])).all()


def test_a_warm_start_keeps_it():
    model = SparseMLPRegressor((20,), **OPTIONS, warm_start=True).fit(RAW, NUMBERS)
    scale, mean = model.network_.scale.copy(), model.target_mean_.copy()
    model.fit(RAW * 1.5, NUMBERS + 10)
    np.testing.assert_array_equal(model.network_.scale, scale)
    np.testing.assert_array_equal(model.target_mean_, mean)


def test_pickles_and_model_files_keep_it(tmp_path):
    model = SparseMLPRegressor((20,), **OPTIONS).fit(RAW, NUMBERS)
    there = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(there.predict(RAW), model.predict(RAW))
    save(model.network_, tmp_path / "m.npz")
    network, _ = load(tmp_path / "m.npz")
    np.testing.assert_array_equal(network.predict(RAW), model.network_.predict(RAW))
    assert clone(model).scale == "auto"
    model.save(tmp_path / "whole.npz")
    again = SparseMLPRegressor.load(tmp_path / "whole.npz")
    np.testing.assert_array_equal(again.predict(RAW), model.predict(RAW))
    assert (again.scaling_, again.scale) == ("feature", "auto")
    np.testing.assert_array_equal(again.target_scale_, model.target_scale_)


def test_images_are_scaled_by_channels_unless_told_otherwise():
    images = RNG.integers(0, 256, (30, 1, 8, 8)).astype(np.float32)
    options = {"max_iter": 1, "random_state": 0, "width": 0.25}
    found = {}
    for scale in ("auto", "feature", None):
        model = SparseCNNClassifier("resnet-8", scale=scale, **options).fit(images, Y[:30])
        found[scale] = model.scaling_, len(np.unique(model.network_.scale))
    assert found["auto"] == ("channel", 1)
    assert found["feature"][0] == "feature"
    assert found["feature"][1] > 1
    assert found[None] == ("none", 0)


@pytest.mark.parametrize("scale", ["standard", True, 1.0])
def test_other_scales_are_refused(scale):
    with pytest.raises(ParameterError, match="scale"):
        SparseMLPClassifier((20,), scale=scale).fit(X, Y)
