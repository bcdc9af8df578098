"""Learning curves of estimators: what is kept of each epoch, and how it is drawn."""

import pickle

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sparsecpu import SparseCNNClassifier, SparseMLPClassifier, SparseMLPRegressor
from sparsecpu.estimators import TrainingCurvesDisplay

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 6)).astype(np.float32)
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int)


@pytest.fixture(autouse=True)
def no_window():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")


@pytest.fixture
def model():
    made = SparseMLPClassifier((20,), early_stopping=True, max_iter=5, random_state=0)
    return made.fit(X, CLASSES)


def test_every_epoch_is_kept(model):
    assert [record["epoch"] for record in model.history_] == [1, 2, 3, 4, 5]
    for name, values in (
        ("loss", model.loss_curve_),
        ("validation_score", model.validation_scores_),
        ("train_score", model.train_scores_),
    ):
        assert [record[name] for record in model.history_] == values
    layers = model.network_.sparse_parameters()
    assert all(len(record["densities"]) == len(layers) for record in model.history_)
    assert all(record["learning_rate"] == 0.003 for record in model.history_)
    assert all(0 <= score <= 1 for score in model.train_scores_)
    assert pickle.loads(pickle.dumps(model)).history_ == model.history_


def test_scores_of_training_samples_change_nothing(model, monkeypatch):
    """Which samples are scored, and that any are, leaves no trace in what is learnt."""
    monkeypatch.setattr("sparsecpu.experiments.epoch_scores.MOST", 7)
    again = SparseMLPClassifier((20,), early_stopping=True, max_iter=5, random_state=0)
    again.fit(X, CLASSES)
    assert again.loss_curve_ == model.loss_curve_
    for ours, theirs in zip(model.coefs_, again.coefs_, strict=True):
        assert (ours != theirs).nnz == 0


def test_a_warm_start_and_parts_go_on_with_the_history():
    warm = SparseMLPClassifier((20,), warm_start=True, max_iter=2, random_state=0)
    warm.fit(X, CLASSES).fit(X, CLASSES)
    parts = SparseMLPRegressor((20,), random_state=0)
    for _ in range(3):
        parts.partial_fit(X, X[:, 0])
    assert [record["epoch"] for record in warm.history_] == [1, 2, 3, 4]
    assert [record["epoch"] for record in parts.history_] == [1, 2, 3]
    assert warm.train_scores_ is None
    assert "train_score" not in warm.history_[0]


def test_curves_are_drawn_as_displays_are(model, tmp_path):
    display = model.plot_curves()
    assert isinstance(display, TrainingCurvesDisplay)
    labels = [axes.get_ylabel() for axes in display.ax_]
    assert labels == ["loss", "accuracy", "learning rate", "density"]
    loss, score, *_ = display.ax_
    assert list(loss.get_lines()[0].get_ydata()) == model.loss_curve_
    training, validation = score.get_lines()[:2]
    assert list(training.get_ydata()) == model.train_scores_
    assert list(validation.get_ydata()) == model.validation_scores_
    assert training.get_linestyle() != validation.get_linestyle()
    assert training.get_marker() != validation.get_marker()
    display.figure_.savefig(tmp_path / "curves.png")


def test_curves_are_drawn_into_axes_that_are_given(model):
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2)
    assert model.plot_curves(axes[0]).ax_ is axes[0]
    assert axes[0].get_ylabel() == "loss"
    display = model.plot_curves(axes, curves=("score", "density"))
    assert display.figure_ is figure
    assert [one.get_ylabel() for one in display.ax_] == ["accuracy", "density"]
    again = TrainingCurvesDisplay(model.history_).plot(curves="learning_rate")
    assert again.ax_.get_ylabel() == "learning rate"


def test_regressors_and_networks_of_images_have_curves():
    regressor = SparseMLPRegressor((20,), early_stopping=True, max_iter=3).fit(X, X[:, 0])
    assert regressor.plot_curves(curves="score").ax_.get_ylabel() == "R²"
    images = RNG.random((24, 1, 8, 8)).astype(np.float32)
    cnn = SparseCNNClassifier("vgg-like", width=0.06, max_iter=1)
    cnn.fit(images, np.arange(24) % 2)
    assert len(cnn.plot_curves().ax_) == 3


def test_what_was_not_measured_is_refused(model):
    from matplotlib import pyplot

    plain = SparseMLPClassifier((20,), max_iter=1).fit(X, CLASSES)
    with pytest.raises(ValueError, match="early_stopping"):
        plain.plot_curves(curves="score")
    with pytest.raises(ValueError, match="some of loss, score"):
        plain.plot_curves(curves="accuracy")
    with pytest.raises(ValueError, match="4 axes, for loss"):
        model.plot_curves(pyplot.subplots(1, 2)[1])
    with pytest.raises(NotFittedError):
        SparseMLPClassifier().plot_curves()
    del plain.history_  # as of an older version
    assert plain.plot_curves().ax_.get_ylabel() == "loss"
