"""Columns of data frames are known by their names."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sparsecpu import SparseCNNClassifier, SparseMLPClassifier, SparseMLPRegressor

NAMES = [f"pixel {i}" for i in range(64)]


ESTIMATORS = [
    SparseMLPClassifier((10,), max_iter=2, random_state=0),
    SparseMLPRegressor((10,), max_iter=2, random_state=0),
    SparseCNNClassifier(
        "vgg-like", width=0.05, image_shape=(1, 8, 8), max_iter=1, random_state=0, batch_size=8
    ),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_permuted_columns_are_refused(estimator, method):
    estimator = clone(estimator)
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.standard_normal((24, 64)), columns=NAMES)
    y = np.arange(24) % 2
    more = {} if method == "fit" or "Regressor" in type(estimator).__name__ else {"classes": [0, 1]}
    getattr(estimator, method)(x, y, **more)
    assert list(estimator.feature_names_in_) == NAMES
    wanted = estimator.predict(x)
    assert len(wanted) == 24
    for wrong in (x[NAMES[::-1]], x.rename(columns={"pixel 3": "other"})):
        with pytest.raises(ValueError, match="feature names"):
            estimator.predict(wrong)
        with pytest.raises(ValueError, match="feature names"):
            estimator.score(wrong, y)
        with pytest.raises(ValueError, match="feature names"):
            estimator.partial_fit(wrong, y)
    np.testing.assert_array_equal(estimator.predict(x[NAMES[::-1]][NAMES]), wanted)
