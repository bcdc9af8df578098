"""The regressor."""

from __future__ import annotations

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import column_or_1d

from sparsecpu.estimators.base import SparseMLP
from sparsecpu.estimators.parameters import documented, refuse_early_stopping
from sparsecpu.losses import Loss, SquaredError


@documented
class SparseMLPRegressor(RegressorMixin, SparseMLP):
    """A regressor whose weights are sparse from the first step to the last.

    {parameters}

    Attributes
    ----------
    network_, density_, coefs_, intercepts_, n_iter_, t_, loss_, loss_curve_, best_loss_ : object
        As in ``SparseMLPClassifier``.

    Notes
    -----
    The loss is half the squared error, summed over the outputs; ``loss_`` and ``loss_curve_`` have
    its mean over them, as in ``MLPRegressor``. Targets are not rescaled. What differs from
    ``MLPRegressor``, and why, is listed in docs/estimators.md.
    """

    def partial_fit(self, X, y, sample_weight=None):
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
        fresh = not hasattr(self, "network_")
        X, targets, weights = self._prepare(X, y, sample_weight, reset=fresh)
        return self._partial_fit(X, targets, weights, fresh)

    def _encode(self, y, *, reset: bool):
        y = np.asarray(y, dtype=np.float64)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if reset:
            self._flat = y.ndim == 1
        return y.reshape(len(y), -1)

    def _count_outputs(self, targets) -> int:
        return targets.shape[1]

    def _loss(self) -> Loss:
        return SquaredError()

    def _quality(self, X, targets, weights=None) -> float:
        from sklearn.metrics import r2_score

        z = self.network_.predict(X)
        if not np.isfinite(z).all():
            return -np.inf
        return float(r2_score(targets, z, sample_weight=weights))

    def predict(self, X) -> np.ndarray:
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
        return z.ravel() if self._flat else z
