"""The classifier."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import (
    _check_sample_weight,
    column_or_1d,
    validate_data,
)

from sparsecpu.errors import DataError, ParameterError
from sparsecpu.estimators.base import SparseMLP, readable
from sparsecpu.estimators.parameters import (
    check_parameters,
    documented,
    refuse_balanced,
    refuse_early_stopping,
)
from sparsecpu.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from sparsecpu.registries import defaults


@documented
class SparseMLPClassifier(ClassifierMixin, SparseMLP):
    """A multilayer perceptron whose weights are sparse from the first step to the last.

    It has the parameters of ``sklearn.neural_network.MLPClassifier``, and some more.

    {parameters}

    Attributes
    ----------
    classes_ : ndarray
        Labels.
    network_ : Sequential
        The network.
    density_ : float
        Fraction of the weights that is kept.
    coefs_ : list of scipy.sparse.csr_array
        Weights, shape (n_in, n_out) each.
    intercepts_ : list of ndarray
        Biases.
    n_iter_, t_ : int
        Epochs of the last ``fit``, or of all calls of ``partial_fit``; samples seen in all of them.
    loss_, loss_curve_ : float, list of float
        Last and all mean losses of the epochs, with the penalty on weights.
    best_loss_ : float or None
        Smallest of them; None with ``early_stopping``.
    validation_scores_, best_validation_score_ : list of float, float
        Scores of the epochs, and the best one, with ``early_stopping``; else None.

    Notes
    -----
    Two classes have two outputs. Multi-label targets (a binary matrix) have a sigmoid each. What
    else differs from ``MLPClassifier``, and why, is listed in docs/estimators.md.
    """

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        density=defaults.DENSITY,
        distribution=defaults.DISTRIBUTION,
        topology=defaults.TOPOLOGY,
        solver=defaults.ESTIMATOR.optimizer,
        alpha=0.0001,
        batch_size=defaults.ESTIMATOR.batch_size,
        learning_rate="constant",
        learning_rate_init=defaults.ESTIMATOR.learning_rate,
        power_t=0.5,
        max_iter=defaults.ESTIMATOR.epochs,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        dropout=0.0,
        batch_norm=False,
        dtype="float32",
        precision=defaults.PRECISION,
        class_weight=None,
        n_jobs=None,
        comm=None,
    ):
        given = dict(locals())  # all that the base has too
        for name in ("self", "__class__", "class_weight"):
            del given[name]
        super().__init__(**given)
        self.class_weight = class_weight

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch on these samples.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (samples, features)
            Samples.
        y : array_like
            Targets.
        classes : array_like, optional
            All labels; required at the first call.
        sample_weight : array_like, shape (samples,), optional
            Weights of the samples in the loss.

        Returns
        -------
        SparseMLPClassifier
            Itself.
        """
        fresh = not hasattr(self, "network_")
        refuse_early_stopping(self)
        refuse_balanced(self)
        if (
            not fresh
            and classes is not None
            and not np.array_equal(unique_labels(classes), self.classes_)
        ):
            raise ParameterError("classes", classes, f"{self.classes_}, as in the call before")
        if fresh:
            if classes is None:
                raise ParameterError(
                    "classes", None, "all labels, at the first call of partial_fit"
                )
            self._label_encoder = LabelEncoder().fit(np.asarray(classes))
            self.classes_ = self._label_encoder.classes_
            self._multilabel = type_of_target(y) == "multilabel-indicator"
        check_parameters(self)
        X, y = validate_data(
            self,
            readable(X),
            y,
            accept_sparse=["csr"],
            multi_output=True,
            dtype=[np.float64, np.float32],
            reset=fresh,
        )
        targets = self._encode(y, reset=False, part=True)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
        return self._partial_fit(X, targets, self._weigh(y, weights), fresh)

    def _encode(self, y, *, reset: bool, part: bool = False):
        if reset:
            check_classification_targets(y)
            self._multilabel = type_of_target(y) == "multilabel-indicator"
            if self._multilabel:
                self._label_encoder = None
                self.classes_ = np.arange(np.asarray(y).shape[1])
            else:
                y = column_or_1d(y, warn=True)
                self._label_encoder = LabelEncoder().fit(y)
                self.classes_ = self._label_encoder.classes_
        if self._multilabel:
            return np.asarray(y, dtype=np.float64)
        y = column_or_1d(y, warn=not reset)
        given = unique_labels(y)
        if part and not np.isin(given, self.classes_).all():
            unknown = np.setdiff1d(given, self.classes_)
            raise DataError(f"y has new labels: {unknown}; the classes are {self.classes_}")
        if not part and not np.array_equal(given, self.classes_):
            raise DataError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes_}, `y` has {given}"
            )
        return self._label_encoder.transform(y)

    def _weigh(self, y, weights):
        if self.class_weight is None or self._multilabel:
            return weights
        y, classes = column_or_1d(y), self.classes_
        if isinstance(self.class_weight, dict):  # of which a part need not have all
            known = compute_class_weight(self.class_weight, classes=classes, y=classes)
            by_class = known[self._label_encoder.transform(y)]
        else:
            by_class = compute_sample_weight(self.class_weight, y)
        return by_class if weights is None else weights * by_class

    def _count_outputs(self, targets) -> int:
        return len(self.classes_)

    def _loss(self) -> Loss:
        return SigmoidCrossEntropy() if self._multilabel else SoftmaxCrossEntropy()

    def _stratified(self, targets) -> bool:
        return not self._multilabel

    def _quality(self, X, targets, weights=None) -> float:
        z = self.network_.predict(X)
        if self._multilabel:
            right = np.all((z > 0) == (targets > 0), axis=1)
        else:
            right = z.argmax(axis=1) == targets
        return float(np.average(right, weights=weights))

    def predict_proba(self, X) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (samples, features)
            Samples.

        Returns
        -------
        ndarray, shape (samples, classes)
            Rows add up to 1, except for multi-label targets.
        """
        z = self._raw(X).astype(np.float64)
        return expit(z) if self._multilabel else softmax(z, axis=1)

    def predict_log_proba(self, X) -> np.ndarray:
        """Return the logarithm of ``predict_proba``.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (samples, features)
            Samples.

        Returns
        -------
        ndarray, shape (samples, classes)
            Logarithms.
        """
        return np.log(self.predict_proba(X))

    def predict(self, X) -> np.ndarray:
        """Return the most probable label, or a binary matrix for multi-label targets.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (samples, features)
            Samples.

        Returns
        -------
        ndarray
            Labels.
        """
        z = self._raw(X)
        if self._multilabel:
            return (z > 0).astype(int)
        return self.classes_[z.argmax(axis=1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
