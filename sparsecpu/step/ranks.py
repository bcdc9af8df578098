"""A trainer's part in a group of ranks that share every batch; see ``training.mpi``."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.sparse.parameter import Parameter, SparseParameter
from sparsecpu.step.context import Context
from sparsecpu.step.gradient_view import GradientView

#: Streams of which every rank has its own: what they are for differs from sample to sample.
_OWN = ("dropout", "augmentation")


class Sharing:
    """What a trainer does beside its own work where ranks share the batches.

    Parameters
    ----------
    comm : Communicator
        The ranks.
    ctx : Context
        Of the trainer.

    Attributes
    ----------
    halted : bool
        Whether all ranks know that one of them was interrupted.
    """

    def __init__(self, comm: Any, ctx: Context) -> None:
        self.comm, self.ctx, self.halted = comm, ctx, False
        self._applied: set[int] = set()
        ctx.comm, ctx.grad_ready = comm, self._send

    def own_streams(self, rngs: dict[str, np.random.Generator]) -> None:
        """Move the streams of which every rank has its own away from rank 0's.

        Parameters
        ----------
        rngs : dict of str to numpy.random.Generator
            In the state that rank 0 has.
        """
        for name in _OWN if self.comm.rank else ():
            source: Any = rngs[name].bit_generator
            source.state = source.jumped(self.comm.rank).state

    def part(self, rows: np.ndarray) -> np.ndarray:
        """Return this rank's samples of a batch, and let topology see those of all ranks.

        Parameters
        ----------
        rows : ndarray of int64
            The batch.

        Returns
        -------
        ndarray of int64
            Perhaps none.
        """
        ctx, observe = self.ctx, self.ctx.observe
        ctx.all_rows = rows
        if observe is not None:

            def gathered(parameter: SparseParameter, view: GradientView) -> None:
                observe(parameter, view.over_ranks(self.comm, ctx.n_valid))

            ctx.observe = gathered
        return rows[self.comm.part(len(rows))]

    def largest_part(self, batch_size: int) -> int:
        """Return the samples of the largest part of a batch.

        Parameters
        ----------
        batch_size : int
            Samples of the batch.

        Returns
        -------
        int
            At least 1.
        """
        return -(-batch_size // self.comm.size)

    def agree(self, loss: float, interrupted: bool) -> float:
        """Add up the parts of a loss, and hear whether anybody was interrupted.

        Parameters
        ----------
        loss : float
            This rank's part.
        interrupted : bool
            Whether this rank was.

        Returns
        -------
        float
            The loss of the batch.
        """
        told = self.comm.sum(np.array([loss, interrupted], dtype=np.float64))
        self.halted = self.halted or bool(told[1])
        return float(told[0])

    def begin(self, keeps: bool, applied: set[int]) -> None:
        """Prepare for a backward pass.

        Parameters
        ----------
        keeps : bool
            Whether its gradients are kept for later.
        applied : set of int
            Fills with the identities of parameters whose gradients are used at once.
        """
        self._sent: set[int] = set()
        self._applied, self._keeps = applied, keeps

    def _send(self, layer: Any) -> None:
        """Begin to add up a layer's gradients; see ``Context.grad_ready``."""
        if not self._keeps:
            return
        parameters: dict[str, Parameter] = layer.parameters()
        for parameter in parameters.values():
            if id(parameter) not in self._applied and id(parameter) not in self._sent:
                self._sent.add(id(parameter))
                self.comm.start_sum(parameter.grad)
