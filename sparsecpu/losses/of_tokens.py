"""The loss of each token of sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import DataError, ParameterError
from sparsecpu.losses.base import numbers_of
from sparsecpu.losses.of_samples import SoftmaxCrossEntropy
from sparsecpu.step.sequences import checked_tokens


class TokenCrossEntropy(SoftmaxCrossEntropy):
    r"""Cross-entropy of a softmax over a vocabulary, for each token of sequences.

    :math:`\ell = -\sum_c q_c \log \mathrm{softmax}(z_t)_c` at each token t, with q as for classes;
    the loss of a batch is the mean over its tokens that have a target.

    Parameters
    ----------
    label_smoothing : float
        Part of the target that the whole vocabulary shares, in [0, 1).

    Raises
    ------
    ParameterError
        If ``label_smoothing`` is out of range.
    """

    name, of_tokens, takes_parts = "token-cross-entropy", True, True

    def prepare(self, targets: Any, n_outputs: int) -> np.ndarray:
        """Return token numbers as they are; each batch is checked when it is read.

        Parameters
        ----------
        targets : array_like of int, shape (samples, length)
            What is to be said at each token, such as the one that comes next; -1 for nothing.
        n_outputs : int
            Size of the vocabulary.

        Raises
        ------
        ParameterError
            If they are not integers of that shape.
        """
        expected = "token numbers of shape (samples, length)"
        array = numbers_of(targets, expected)
        if array.ndim != 2 or array.dtype.kind not in "iu":
            raise ParameterError("targets", f"{array.dtype} of shape {array.shape}", expected)
        return array

    def __call__(self, z, rows, targets, ctx, weights=None) -> tuple[float, np.ndarray]:
        """Return the mean loss of tokens, each with its sequence's weight, and its gradient.

        ``z`` may be outputs in parts (``layers.linear_parts``), and is the gradient itself then.
        """
        place = ctx.sequences.place
        batch = rows if ctx.all_rows is None else ctx.all_rows
        asked = checked_tokens("targets", targets[batch], batch, z.shape[1])
        of_each = np.count_nonzero(asked >= 0, axis=1)
        total = float(of_each.sum() if weights is None else of_each @ weights[batch])
        here = targets[rows] if batch is not rows else asked
        told = here >= 0
        if told[:, place.shape[1] :].any() or (told[:, : place.shape[1]] & (place < 0)).any():
            raise DataError("there are targets at which x has no token; expected -1 there")
        told = told[:, : place.shape[1]]
        at, tokens = place[:, : told.shape[1]][told], here[:, : place.shape[1]][told]
        lanes = np.full(z.shape[0] * z.shape[2], -1, np.int32)
        lanes[at] = tokens
        of_lanes = np.zeros(len(lanes), z.dtype)
        scale = 1.0 / total if total > 0 else 0.0
        of_lanes[at] = scale * (1.0 if weights is None else weights[rows].repeat(told.sum(axis=1)))

        def of_part(z: np.ndarray, first: int) -> tuple[float, np.ndarray]:
            part = slice(first, first + z.shape[0] * z.shape[2])
            return self._of_lanes(z, lanes[part], of_lanes[part], ctx)

        return of_part(z, 0) if isinstance(z, np.ndarray) else z.each(of_part)

    def _of_lanes(self, z, targets, weights, ctx) -> tuple[float, np.ndarray]:
        """Return the summed loss of tokens, one a lane, and its gradient."""
        from sparsecpu.kernels.token_loss import strips_of_tile, token_loss_kernel

        tiles, _, lanes = z.shape
        memory = ctx.workspace.array
        dz = memory(self, "dz", z.shape, z.dtype)
        scratch = memory(self, "scratch", (3, tiles, lanes), z.dtype)
        losses = memory(self, "losses", (tiles * strips_of_tile(lanes, z.itemsize),), np.float64)
        run = token_loss_kernel(lanes, z.itemsize)
        run(z, targets, weights, self.label_smoothing, dz, scratch, losses)
        return float(losses.sum()), dz
