"""scikit-learn front door: estimators with the parameters of ``MLPClassifier`` and more."""

from sparsecpu.estimators.classifier import SparseMLPClassifier
from sparsecpu.estimators.curves import TrainingCurvesDisplay
from sparsecpu.estimators.images import SparseCNNClassifier
from sparsecpu.estimators.regressor import SparseMLPRegressor

__all__ = [
    "SparseCNNClassifier",
    "SparseMLPClassifier",
    "SparseMLPRegressor",
    "TrainingCurvesDisplay",
]
