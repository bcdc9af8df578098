"""scikit-learn's own checks of estimators, at default parameters.

Nothing is left out but what float32 cannot meet, and that passes in float64.
"""

import numpy as np
import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from sparsecpu import SparseCNNClassifier, SparseMLPClassifier, SparseMLPRegressor
from sparsecpu.networks.description import Architecture, LayerSpec

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::sparsecpu.errors.DivergenceWarning",
)

# scikit-learn makes an exception for its own MLPs in these checks, too: it runs them with other
# parameters than the default (PER_ESTIMATOR_CHECK_PARAMS).
ROUNDING = {
    f"check_sample_weight_equivalence_on_{kind}_data": "compares to 1e-7, beyond float32; the "
    "same check passes in float64"
    for kind in ("dense", "sparse")
}
ESTIMATORS = [SparseMLPClassifier, SparseMLPRegressor]


@parametrize_with_checks(
    [kind() for kind in ESTIMATORS], expected_failed_checks=lambda estimator: ROUNDING
)
def test_sklearn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", ROUNDING)
def test_sample_weights_are_repetitions_in_float64(name, estimator):
    getattr(checks, name)(estimator.__name__, estimator(dtype="float64"))


class Tables(SparseCNNClassifier):
    """The classifier of images, which takes the tables of the checks for images one pixel high."""

    def _flat(self, X, *, reset):
        shape = np.asarray(X).shape
        if len(shape) == 2:
            self.image_shape_ = (1, 1, shape[1])
        return X

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


class OneRow:
    """Describes a convolutional network of such images; the default one needs 8 x 8 pixels."""

    def __repr__(self):
        return "one-row"  # in names of tests, which must be the same in all processes

    def __call__(self, image_shape, n_outputs):
        return one_row(image_shape, n_outputs)


def one_row(image_shape, n_outputs):
    sizes = {"out_channels": 64, "kernel_size": 3, "padding": 1, "nnz": None, "bias": False}
    last = {"out_features": n_outputs, "nnz": None}
    layers = [LayerSpec("conv2d", sizes), LayerSpec("batch_norm"), LayerSpec("relu"),
              LayerSpec("flatten"), LayerSpec("linear", last)]  # fmt: skip
    return Architecture(image_shape, tuple(layers), "one-row")


UNWEIGHTED = {
    "check_sample_weight_equivalence_on_dense_data": "pixels are standardised, and batches "
    "normalised, by all samples alike, whatever their weights"
}


@parametrize_with_checks([Tables(OneRow())], expected_failed_checks=lambda estimator: UNWEIGHTED)
def test_sklearn_contract_of_images(estimator, check):
    check(estimator)


def test_tables_are_no_images():
    """So scikit-learn finds nothing to check at its default parameters, and says so."""
    assert not SparseCNNClassifier().__sklearn_tags__().input_tags.two_d_array
    with pytest.warns(SkipTestWarning):
        checks.check_estimator(SparseCNNClassifier())
    with pytest.raises(ValueError, match="image"):
        SparseCNNClassifier().fit(np.ones((9, 3)), np.arange(9) % 2)
