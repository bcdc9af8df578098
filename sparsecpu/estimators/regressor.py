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
    network_, density_, group_, coefs_, intercepts_, n_iter_, t_, loss_, loss_curve_, best_loss_ : \
object
        As in ``SparseMLPClassifier``.

    Notes
    -----
    The loss is half the squared error, summed over the outputs; ``loss_`` and ``loss_curve_`` have
    its mean over them, as in ``MLPRegressor``. Targets are not rescaled. What differs from
    ``MLPRegressor``, and why, is listed in docs/estimators.md.
    """

    #: Mean and scale of the targets that the network was trained on, of one that a file gives.
    _units: tuple[np.ndarray, np.ndarray] | None = None

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
        if self._units is not None:
            y = (y - self._units[0]) / self._units[1]
        return y

    def _count_outputs(self, targets) -> int:
        return targets.shape[1]

    def _meaning(self) -> dict[str, Any]:
        mean, scale = self._units or (np.zeros(self.n_outputs_), np.ones(self.n_outputs_))
        found = {"target_mean": mean.tolist(), "target_scale": scale.tolist()}
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
        if self._units is not None:
            z = quantities(z, self._meaning())
        return z.ravel() if self._one_output else z
