"""What every loss is: how it stores targets, and how it weighs the samples of a batch."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.registries.words import spelled
from sparsecpu.step.context import Context

_NO_WEIGHTS = np.empty(0, dtype=np.float64)


class Loss:
    """Base of the losses: how targets are stored, and how the samples of a batch are weighted."""

    #: Name in files and on the command line.
    name: ClassVar[str] = ""
    #: True if it looks at each token of sequences, not at samples.
    of_tokens: ClassVar[bool] = False
    #: True if it takes outputs in parts, too, which do not all stand in memory at the same time. A
    #: subclass that replaces ``__call__`` does not, unless it says so itself.
    takes_parts: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__call__" in vars(cls) and "takes_parts" not in vars(cls):
            cls.takes_parts = False

    def __repr__(self) -> str:
        return spelled(self)

    def prepare(self, targets: Any, n_outputs: int) -> np.ndarray:
        """Return targets as the kernels read them, float64 of shape (samples, n_outputs) here.

        Parameters
        ----------
        targets : array_like
            One entry (or row) per sample.
        n_outputs : int
            Outputs of the network.

        Raises
        ------
        ParameterError
            If they do not match the outputs.
        """
        expected = f"{n_outputs} numbers per sample"
        array = numbers_of(targets, expected)
        array = array.reshape(len(array), math.prod(array.shape[1:]))
        if array.shape[1] != n_outputs:
            raise ParameterError("targets", array.shape, expected)
        return np.require(array, np.float64, ["C", "A"])

    def of_zeros(self, targets: np.ndarray, n_outputs: int) -> float:
        """Return the mean loss of outputs that are all 0, or 0 where nothing is known of it.

        Parameters
        ----------
        targets : ndarray
            As ``prepare`` returned them.
        n_outputs : int
            Outputs of the network.
        """
        return 0.0

    def __call__(
        self,
        z: np.ndarray,
        rows: np.ndarray,
        targets: np.ndarray,
        ctx: Context,
        weights: np.ndarray | None = None,
    ) -> tuple[float, np.ndarray]:
        r"""Return :math:`\sum_i w_i \ell_i / \sum_i w_i`, and its gradient in the workspace.

        ``z`` has shape (tiles, n_outputs, lanes), as its gradient does; ``rows`` (batch,) says
        which entries of ``targets`` and ``weights`` the samples belong to.
        """
        batch = rows if ctx.all_rows is None else ctx.all_rows
        total = float(len(batch)) if weights is None else float(weights[batch].sum())
        scale = 1.0 / total if total > 0 else 0.0
        dz = ctx.workspace.array(self, "dz", z.shape, z.dtype)
        tile_loss = ctx.workspace.array(self, "tile_loss", z.shape[:1], np.float64)
        given = _NO_WEIGHTS if weights is None else weights
        self._run(z, rows, targets, given, scale, dz, tile_loss, ctx)
        return float(tile_loss.sum()), dz

    def _run(self, z, rows, targets, weights, scale, dz, tile_loss, ctx) -> None:
        """Call the loss's kernel."""
        raise NotImplementedError


def numbers_of(targets: Any, expected: str) -> np.ndarray:
    """Return targets as an array of real numbers with an axis of samples; refuse all others."""
    try:
        array = np.asarray(targets)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        words = f"{expected} ({error})"
        raise ParameterError("targets", type(targets).__name__, words) from error
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        words = f"{array.dtype} of shape {array.shape}"
        raise ParameterError("targets", words, expected)
    return array
