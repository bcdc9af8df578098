"""The regressor."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import _num_samples, column_or_1d

from sparsecpu.errors import DataError
from sparsecpu.estimators.all_or_nothing import all_or_nothing
from sparsecpu.estimators.base import SparseMLP
from sparsecpu.estimators.in_use import in_training, reads
from sparsecpu.estimators.interruption import hand_on_ctrl_c
from sparsecpu.estimators.parameters import documented, refuse_early_stopping
from sparsecpu.estimators.scaling import learn_targets
from sparsecpu.estimators.targets import check_numbers, read_targets
from sparsecpu.estimators.weights import read_weights
from sparsecpu.experiments.scoring import quantities
from sparsecpu.losses import Loss, SquaredError
from sparsecpu.step.ranges import refuse_beyond


@documented
class SparseMLPRegressor(RegressorMixin, SparseMLP):
    """A regressor whose weights are sparse from the first step to the last.

    {parameters}

    Attributes
    ----------
    network_, density_, scaling_, group_, coefs_, intercepts_, n_iter_, t_, loss_, loss_curve_, \
best_loss_ : object
        As in ``SparseMLPClassifier``.
    target_mean_, target_scale_ : ndarray, shape (outputs,)
        What ``predict`` adds to the network's outputs, after it has multiplied them.

    Notes
    -----
    The loss is half the squared error, summed over the outputs; ``loss_`` and ``loss_curve_`` have
    its mean over them, as in ``MLPRegressor``. Both are of targets with mean 0 and variance 1,
    which is what the network learns; with ``scale=None`` they are of those that were given. What
    differs from ``MLPRegressor``, and why, is listed in docs/estimators.md.
    """

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on these samples.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (samples, features)
            Samples.
        y : array_like
            Numbers to predict.
        sample_weight : array_like, shape (samples,), optional
            Weights of the samples in the loss.

        Returns
        -------
        SparseMLPRegressor
            Itself.
        """
        refuse_early_stopping(self)
        with in_training(self):
            fresh = not hasattr(self, "network_")
            with all_or_nothing(self, fresh):
                X, targets, weights = self._prepare(X, y, sample_weight, reset=fresh, part=True)
                trainer = self._partial_fit(X, targets, weights, fresh)
        hand_on_ctrl_c(trainer)
        return self

    def _encode(self, y, *, reset: bool, part: bool):
        check_numbers(y)
        y = np.asarray(y, dtype=np.float64)
        refuse_beyond("y", y, self._type(reset))
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if reset:
            self._one_output = y.ndim == 1
        y = y.reshape(len(y), -1)
        if not reset and y.shape[1] != self.n_outputs_:
            raise DataError(
                f"y has {y.shape[1]} numbers per sample; expected {self.n_outputs_} as before"
            )
        return y

    def _learn_scale(self, X, targets, weights) -> None:
        learn_targets(self, targets, weights)
        super()._learn_scale(X, targets, weights)

    def _scaled(self, targets):
        return (targets - self.target_mean_) / self.target_scale_

    def _count_outputs(self, targets) -> int:
        return targets.shape[1]

    def _meaning(self) -> dict[str, Any]:
        mean, scale = self.target_mean_.tolist(), self.target_scale_.tolist()
        found = {"target_mean": mean, "target_scale": scale}
        return {"task": "regression", **found}

    def _loss(self) -> Loss:
        return SquaredError()

    def _quality(self, X, targets, weights=None) -> float:
        from sklearn.metrics import r2_score

        z = self.network_.predict(X)
        if not np.isfinite(z).all():
            return -np.inf
        return float(r2_score(targets, z, sample_weight=weights))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R², the share of the variance of ``y`` that predictions explain.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (samples, features)
            Samples.
        y : array_like
            Numbers to predict.
        sample_weight : array_like, shape (samples,), optional
            Weights of the samples, at least 0 each.

        Returns
        -------
        float
            At most 1; below 0 where the mean of ``y`` predicts better.
        """
        y = read_targets(y)
        return super().score(X, y, read_weights(sample_weight, _num_samples(X)))

    @reads
    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted numbers.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (samples, features)
            Samples.

        Returns
        -------
        ndarray, shape (samples,) or (samples, outputs)
            Numbers.
        """
        z = self._raw(X)
        scales = {"target_mean": self.target_mean_, "target_scale": self.target_scale_}
        if self.target_mean_.any() or (self.target_scale_ != 1).any():
            z = quantities(z, scales)
        return z.ravel() if self._one_output else z
