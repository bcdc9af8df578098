"""scikit-learn front door: estimators with the parameters of ``MLPClassifier`` and more."""

from sparsecpu.estimators.classifier import SparseMLPClassifier
from sparsecpu.estimators.regressor import SparseMLPRegressor

__all__ = ["SparseMLPClassifier", "SparseMLPRegressor"]
