import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sparsecpu import SparseMLPClassifier, SparseMLPRegressor

ROUNDING = {
    f"check_sample_weight_equivalence_on_{kind}_data": "compares to 1e-7, beyond float32; the "
    "same check passes in float64"
    for kind in ("dense", "sparse")
}


def expected_failures(estimator):
    # scikit-learn makes an exception for its own MLPs in this check, too: it runs it with other
    # parameters than the default (PER_ESTIMATOR_CHECK_PARAMS).
    return ROUNDING if estimator.dtype == "float32" else {}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        SparseMLPClassifier(max_iter=100),
        SparseMLPRegressor(max_iter=100),
        SparseMLPClassifier(max_iter=100, dtype="float64"),
        SparseMLPRegressor(max_iter=100, dtype="float64"),
    ],
    expected_failed_checks=expected_failures,
)
def test_sklearn_contract(estimator, check):
    check(estimator)
