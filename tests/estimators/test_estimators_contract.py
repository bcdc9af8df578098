import pytest
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from sparsecpu import SparseMLPClassifier, SparseMLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# scikit-learn makes an exception for its own MLPs in this check, too: it runs it with other
# parameters than the default (PER_ESTIMATOR_CHECK_PARAMS).
ROUNDING = {
    f"check_sample_weight_equivalence_on_{kind}_data": "compares to 1e-7, beyond float32; the "
    "same check passes in float64"
    for kind in ("dense", "sparse")
}


@parametrize_with_checks(
    [SparseMLPClassifier(max_iter=100), SparseMLPRegressor(max_iter=100)],
    expected_failed_checks=lambda estimator: ROUNDING,
)
def test_sklearn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [SparseMLPClassifier, SparseMLPRegressor])
@pytest.mark.parametrize("name", ROUNDING)
def test_sample_weights_are_repetitions_in_float64(name, estimator):
    getattr(checks, name)(estimator.__name__, estimator(max_iter=100, dtype="float64"))
