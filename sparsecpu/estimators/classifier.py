"""The classifier."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import _num_samples

from sparsecpu.errors import ConflictError
from sparsecpu.estimators.all_or_nothing import all_or_nothing
from sparsecpu.estimators.base import SparseMLP
from sparsecpu.estimators.facts import labels_of
from sparsecpu.estimators.in_use import in_training, reads
from sparsecpu.estimators.interruption import hand_on_ctrl_c
from sparsecpu.estimators.labels import LearnsLabels
from sparsecpu.estimators.parameters import documented, refuse_balanced, refuse_early_stopping
from sparsecpu.estimators.targets import read_targets
from sparsecpu.estimators.weights import by_class, read_weights
from sparsecpu.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from sparsecpu.registries import defaults


@documented
class SparseMLPClassifier(ClassifierMixin, LearnsLabels, SparseMLP):
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
    scaling_ : str
        How samples are scaled: feature, largest (see ``scale``), channel, global or none.
    group_ : int or list
        Size of the groups, or for each layer a size or "dense".
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
    train_scores_ : list of float
        Scores of the epochs on some of the samples that are trained on, about as many as are held
        out; None without ``early_stopping``.
    history_ : list of dict
        For each epoch ``epoch, loss, learning_rate``, the ``densities`` of its layers, and with
        ``early_stopping`` ``validation_score`` and ``train_score``; ``plot_curves`` draws them.

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
        density=defaults.ESTIMATOR_DENSITY,
        distribution=defaults.DISTRIBUTION,
        group=defaults.GROUP,
        topology=defaults.ESTIMATOR_TOPOLOGY,
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
        scale: str | None = "auto",
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

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
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
        refuse_early_stopping(self)
        refuse_balanced(self)
        with in_training(self):
            fresh = not hasattr(self, "network_")
            with all_or_nothing(self, fresh):
                self._learn_classes(classes, fresh)
                X, targets, weights = self._prepare(X, y, sample_weight, reset=fresh, part=True)
                trainer = self._partial_fit(X, targets, weights, fresh)
        hand_on_ctrl_c(trainer)
        return self

    def _weigh(self, targets, weights):
        if self.class_weight is None:
            return weights
        if self._multilabel:
            reason = "where samples belong to several classes; give sample_weight"
            raise ConflictError("class_weight", "a matrix of labels", reason)
        found = by_class(self.class_weight, self.classes_, targets)
        return found if weights is None else weights * found

    def _count_outputs(self, targets) -> int:
        return len(self.classes_)

    def _meaning(self) -> dict[str, Any]:
        task = "multilabel" if self._multilabel else "classification"
        return {"task": task, "classes": labels_of(self.classes_)}

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

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy; of a matrix of labels, the share of rows that are right in whole.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (samples, features)
            Samples.
        y : array_like or sparse matrix
            Their labels.
        sample_weight : array_like, shape (samples,), optional
            Weights of the samples, at least 0 each.

        Returns
        -------
        float
            From 0 to 1.
        """
        y = read_targets(y)
        return super().score(X, y, read_weights(sample_weight, _num_samples(X)))

    @reads
    def predict_proba(self, X: Any) -> np.ndarray:
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

    def predict_log_proba(self, X: Any) -> np.ndarray:
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

    @reads
    def predict(self, X: Any) -> np.ndarray:
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
