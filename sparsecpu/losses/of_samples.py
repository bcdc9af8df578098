"""Losses of whole samples: of classes, of several labels, and of quantities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.losses.base import Loss, numbers_of
from sparsecpu.registries.numbers import is_number


class SoftmaxCrossEntropy(Loss):
    r"""Cross-entropy of a softmax over classes, with label smoothing.

    :math:`\ell = -\sum_c q_c \log \mathrm{softmax}(z)_c` with :math:`q_c = (1 - s)[c = y] + s / C`.

    Parameters
    ----------
    label_smoothing : float
        ``s``, in [0, 1).

    Raises
    ------
    ParameterError
        If ``label_smoothing`` is out of range.
    """

    name = "softmax-cross-entropy"

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not (is_number(label_smoothing) and 0.0 <= label_smoothing < 1.0):
            raise ParameterError("label_smoothing", label_smoothing, "a number in [0, 1)")
        self.label_smoothing = float(label_smoothing)

    def prepare(self, targets: Any, n_outputs: int) -> np.ndarray:
        """Return class numbers as int32, shape (samples,).

        Parameters
        ----------
        targets : array_like of int, shape (samples,)
            Class numbers.
        n_outputs : int
            Number of classes.

        Raises
        ------
        ParameterError
            If they are not integers in ``[0, n_outputs)``.
        """
        expected = f"class numbers from 0 to {n_outputs - 1}"
        array = numbers_of(targets, expected)
        if array.ndim != 1 or (len(array) and array.dtype.kind not in "iu"):
            words = f"{array.dtype} of shape {array.shape}"
            hint = "; y.argmax(axis=1) makes them of one-hot labels" if array.ndim == 2 else ""
            raise ParameterError("targets", words, f"{expected}, one per sample{hint}")
        if len(array) and not 0 <= array.min() <= array.max() < n_outputs:
            wrong = next(y for y in array.tolist() if not 0 <= y < n_outputs)
            raise ParameterError("targets", wrong, expected)
        return np.require(array, np.int32, ["C", "A"])

    def of_zeros(self, targets, n_outputs) -> float:
        return math.log(n_outputs)

    def _run(self, z, rows, targets, weights, scale, dz, tile_loss, ctx) -> None:
        from sparsecpu.kernels.loss import softmax_cross_entropy

        softmax_cross_entropy(z, rows, targets, weights, self.label_smoothing, scale, dz, tile_loss)


class SigmoidCrossEntropy(Loss):
    r"""Sum over the outputs of independent cross-entropies, for multi-label targets.

    :math:`\ell = \sum_c \log(1 + e^{z_c}) - t_c z_c`, with targets in [0, 1].
    """

    name = "sigmoid-cross-entropy"

    def of_zeros(self, targets, n_outputs) -> float:
        return n_outputs * math.log(2.0)

    def _run(self, z, rows, targets, weights, scale, dz, tile_loss, ctx) -> None:
        from sparsecpu.kernels.loss import sigmoid_cross_entropy

        sigmoid_cross_entropy(z, rows, targets, weights, scale, dz, tile_loss)


class SquaredError(Loss):
    r"""Half the squared error, summed over the outputs: :math:`\ell = \|z - t\|^2 / 2`."""

    name = "squared-error"

    def of_zeros(self, targets, n_outputs) -> float:
        return float(np.vdot(targets, targets)) / (2 * max(len(targets), 1))

    def _run(self, z, rows, targets, weights, scale, dz, tile_loss, ctx) -> None:
        from sparsecpu.kernels.loss import squared_error

        squared_error(z, rows, targets, weights, scale, dz, tile_loss)
