"""What a fitted estimator has, and the files that it is kept in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sparsecpu.estimators.curves import PlotsCurves
from sparsecpu.estimators.files import load_estimator, save_estimator
from sparsecpu.estimators.in_use import reads
from sparsecpu.estimators.parts import Parts
from sparsecpu.estimators.progress import Progress
from sparsecpu.estimators.samples import read_samples
from sparsecpu.estimators.trainers import threads_of
from sparsecpu.experiments.scoring import outputs
from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.layers import Sequential
from sparsecpu.networks.description import Architecture


class Fitted(PlotsCurves, BaseEstimator):
    """The network of an estimator, its weights, outputs and course of training; saved, and loaded.

    It has these once ``fit`` or ``partial_fit`` has been called.
    """

    _parts: Parts | None = None
    _progress: Progress
    _seed: int
    network_: Sequential
    architecture_: Architecture
    group_: Any
    n_features_in_: int
    feature_names_in_: np.ndarray
    n_outputs_: int
    n_iter_: int
    loss_: float
    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    #: What a file has said of the data, and the name of the column of targets.
    _known: dict[str, Any] | None = None
    _target_name: str | None = None
    t_: int
    best_validation_score_: float | None

    def _meaning(self) -> dict[str, Any]:
        """Return what the outputs stand for, as model files have it."""
        raise NotImplementedError

    @reads
    def save(self, path: Path | str) -> None:
        """Write a model file, which ``load`` and every command of ``sparsecpu`` read.

        It has weights, labels, scaling, names of features, parameters, and the course of training;
        no pickle, no samples, and nothing of the optimizer: training goes on from it as with
        ``warm_start``. What has no plain form (a ``RandomState``, ranks, functions) is left out,
        with a warning.

        Parameters
        ----------
        path : path
            The file, usually ``….npz``.
        """
        check_is_fitted(self, "network_")
        save_estimator(self, path)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Return the fitted estimator of a file that ``save`` wrote, or of a run.

        Parameters
        ----------
        path : path
            A model file, or the folder of a run of ``sparsecpu train``.

        Returns
        -------
        estimator
            Its predictions are those of what was saved, bit for bit.

        Raises
        ------
        FileFormatError
            If the file is damaged, or holds a model for another estimator.
        """
        return load_estimator(cls, path)

    def _raw(self, X) -> np.ndarray:
        """Return the network's outputs; raise ``NotFiniteError`` if they say nothing."""
        check_is_fitted(self, "network_")
        X = read_samples(self, X, reset=False)
        with use_threads(threads_of(self)):
            return outputs(self.network_, X)

    @property
    @reads
    def coefs_(self) -> list[csr_array]:
        """Weights of each layer, as SciPy matrices of shape (n_in, n_out)."""
        check_is_fitted(self, "network_")
        return [p.to_scipy().T.tocsr() for p in self.network_.sparse_parameters().values()]

    @property
    @reads
    def intercepts_(self) -> list[np.ndarray]:
        """Bias of each layer."""
        check_is_fitted(self, "network_")
        found = self.network_.parameters().items()
        return [p.data.copy() for name, p in found if name.endswith(".bias")]

    @property
    def density_(self) -> float:
        """Fraction of the weights that is kept."""
        check_is_fitted(self, "network_")
        return self.network_.density

    @reads
    def __getstate__(self):
        state = dict(super().__getstate__())  # Python's own is the very dict of attributes
        if self._parts is not None:
            state["_parts"] = self._parts.paused()
        return state

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
