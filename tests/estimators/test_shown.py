"""What notebooks show of estimators."""

import pytest
import sklearn
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsecpu import SparseMLPClassifier

X, Y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def fitted():
    return SparseMLPClassifier((20,), density=0.3, max_iter=2, tol=0, random_state=0)


@pytest.mark.filterwarnings("ignore:.*converged yet")
def test_a_fitted_estimator_shows_its_network_below_the_box(fitted):
    before = fitted._repr_html_()
    assert "<img" not in before
    fitted.fit(X, Y)
    page = fitted._repr_html_()
    assert "sk-top-container" in page  # scikit-learn's own
    assert page.count("<img") == 2
    assert repr(fitted.network_) in page
    assert fitted._repr_mimebundle_()["text/html"].count("<img") == 2
    with sklearn.config_context(display="text"):
        assert not hasattr(fitted, "_repr_html_")
        assert "text/html" not in fitted._repr_mimebundle_()


@pytest.mark.filterwarnings("ignore:.*converged yet")
def test_inside_of_a_pipeline_the_box_is_that_of_scikit_learn(fitted):
    pipeline = make_pipeline(StandardScaler(), sklearn.clone(fitted)).fit(X, Y)
    page = pipeline._repr_html_()
    assert "SparseMLPClassifier" in page
    assert "<img" not in page
