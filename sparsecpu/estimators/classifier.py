"""The classifier."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import (
    _check_sample_weight,
    column_or_1d,
    validate_data,
)

from sparsecpu.errors import ParameterError
from sparsecpu.estimators.base import SparseMLP
from sparsecpu.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy


class SparseMLPClassifier(ClassifierMixin, SparseMLP):
    """A multilayer perceptron whose weights are sparse from the first step to the last.

    Parameters are those of ``sklearn.neural_network.MLPClassifier``, with its meanings, and:

    Parameters
    ----------
    density : float
        Fraction of the weights to keep, in (0, 1].
    distribution : {"erk", "er", "uniform"}
        How the layers share them.
    topology : str or Topology
        How the pattern changes while training: "sparse-momentum", "rigl", "gse", "set", "dsr",
        "deep-r", "static"; see ``topology.make_topology``.
    class_weight : dict, "balanced" or None
        Weights of the classes in the loss.
    dropout : float
        Rate behind every hidden layer.
    batch_norm : bool
        Whether to normalise before every activation.
    dtype : {"float32", "float64"}
        Type of all values.
    precision : {"fp32", "bf16", "fp16"}
        How wide layers read their inputs while training; see ``SparseLinear``.
    n_jobs : int or None
        Threads of the kernels; None or -1 for all. Results do not depend on it.
    comm : mpi4py.MPI.Comm or None
        Ranks that share every batch; all of them call ``fit`` with the same samples. See
        docs/scaling.md.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, \
power_t, max_iter, shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, \
early_stopping, validation_fraction, beta_1, beta_2, epsilon, n_iter_no_change : object
        As in ``MLPClassifier``. ``solver`` is "adam" or "sgd".

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
    n_iter_ : int
        Epochs.
    loss_, loss_curve_ : float, list of float
        Last and all mean losses of the epochs, without the penalty on weights.

    Notes
    -----
    Two classes have two outputs. Multi-label targets (a binary matrix) have a sigmoid each.
    """

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        density=0.1,
        distribution="erk",
        topology="sparse-momentum",
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.01,
        power_t=0.5,
        max_iter=200,
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
        precision="fp32",
        class_weight=None,
        n_jobs=None,
        comm=None,
    ):
        super().__init__(
            hidden_layer_sizes,
            activation,
            density=density,
            distribution=distribution,
            topology=topology,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            dropout=dropout,
            batch_norm=batch_norm,
            dtype=dtype,
            precision=precision,
            n_jobs=n_jobs,
            comm=comm,
        )
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
        if fresh:
            if classes is None:
                raise ParameterError("classes", None, "all labels, at the first call")
            self._label_encoder = LabelEncoder().fit(np.asarray(classes))
            self.classes_ = self._label_encoder.classes_
            self._multilabel = type_of_target(y) == "multilabel-indicator"
        self._check_parameters()
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr"],
            multi_output=True,
            dtype=[np.float64, np.float32],
            reset=fresh,
        )
        targets = self._encode(y, reset=False)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
        return self._partial_fit(X, targets, self._weigh(y, weights), fresh)

    def _encode(self, y, *, reset: bool):
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
        unknown = np.setdiff1d(unique_labels(y), self.classes_)
        if len(unknown):
            raise ValueError(f"y has new labels: {unknown}; the classes are {self.classes_}")
        return self._label_encoder.transform(y)

    def _weigh(self, y, weights):
        if self.class_weight is None or self._multilabel:
            return weights
        by_class = compute_sample_weight(self.class_weight, column_or_1d(y))
        return by_class if weights is None else weights * by_class

    def _count_outputs(self, targets) -> int:
        return len(self.classes_)

    def _loss(self) -> Loss:
        return SigmoidCrossEntropy() if self._multilabel else SoftmaxCrossEntropy()

    def _stratified(self, targets) -> bool:
        return not self._multilabel

    def _quality(self, X, targets) -> float:
        z = self.network_.predict(X)
        if self._multilabel:
            return float(np.mean(np.all((z > 0) == (targets > 0), axis=1)))
        return float(np.mean(z.argmax(axis=1) == targets))

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
