"""Data-parallel training over MPI: how ranks exchange numbers.

Every rank holds the same network and the same samples, and trains on its part of each batch.
Gradients are vectors of length nnz; they are summed layer by layer while the backward pass goes on.
What topology needs of a batch is gathered from all ranks, so that all decide alike.
"""

from __future__ import annotations

import os
import platform
import sys
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from sparsecpu.errors import MissingExtraError, RankError
from sparsecpu.sparse.parameter import Parameter, SparseParameter
from sparsecpu.step.ranks import ALONE, OneRank

#: Variables in which launchers give the number of processes that they have started.
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS", "PALS_LOCAL_SIZE")


class Communicator:
    """A group of ranks over an mpi4py communicator; this process is ``rank`` of ``size``."""

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self._requests: list[Any] = []

    def part(self, count: int) -> slice:
        """Return this rank's part of ``count`` things in order; parts differ by one at most."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Add up a contiguous array over all ranks, in place, and return it."""
        self.comm.Allreduce(_in_place(self.comm), array)
        return array

    def start_sum(self, array: np.ndarray) -> None:
        """Begin to add up an array in place; it must not be touched before ``finish``."""
        if array.size:
            self._requests.append(self.comm.Iallreduce(_in_place(self.comm), array))

    def finish(self) -> None:
        """Wait for all sums that were begun."""
        for request in self._requests:
            request.Wait()
        self._requests.clear()

    def gather_samples(self, x: np.ndarray, n_valid: int) -> np.ndarray:
        """Return the samples of all ranks in order, shape (tiles, features, lanes).

        ``n_valid`` of this rank's samples are real; in the result, lanes after the last real one
        are 0.
        """
        features, lanes = x.shape[1:]
        own = np.ascontiguousarray(x.transpose(0, 2, 1).reshape(-1, features)[:n_valid])
        counts = np.array(self.comm.allgather(n_valid))
        samples = np.empty((int(counts.sum()), features), dtype=x.dtype)
        self.comm.Allgatherv(own, [samples, (counts * features).tolist()])
        tiles = max(1, -(-len(samples) // lanes))
        padded = np.zeros((tiles * lanes, features), dtype=x.dtype)
        padded[: len(samples)] = samples
        return np.ascontiguousarray(padded.reshape(tiles, lanes, features).transpose(0, 2, 1))

    def broadcast(self, value: Any) -> Any:
        """Return the plain values that rank 0 passes; those of other ranks are ignored."""
        return self.comm.bcast(value, root=0)

    def check_same(self, what: str, value: str) -> None:
        """Raise ``RankError`` on every rank if one has another value than rank 0."""
        values = self.comm.allgather(value)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise RankError(f"{what}: rank 0 has {values[0]}, rank {rank} has {other}")

    def check_network(self, parameters: Iterable[Parameter]) -> None:
        """Raise ``RankError`` on every rank if patterns or weights differ in a single bit."""
        self.check_same("checksum of patterns and weights", f"{checksum(parameters):08x}")

    def threads(self) -> int:
        """Return how many threads this rank may use of the cores that its node's ranks share."""
        cores = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
        ranks = self.comm.allgather((platform.node(), sorted(cores)))
        node, own = ranks[self.rank]
        sharing = sum(name == node and bool(set(cores) & set(own)) for name, cores in ranks)
        return max(1, len(own) // sharing)

    def abort(self, code: int) -> None:
        """End all ranks at once, with an exit code."""
        sys.stderr.flush()
        self.comm.Abort(code)


def _in_place(comm: Any) -> Any:
    """Return MPI.IN_PLACE, or what another communicator has instead."""
    if hasattr(comm, "IN_PLACE"):
        return comm.IN_PLACE
    from mpi4py import MPI

    return MPI.IN_PLACE


def checksum(parameters: Iterable[Parameter]) -> int:
    """Return the CRC-32 of patterns and values, which changes with any bit of them."""
    found = 0
    for parameter in parameters:
        arrays = [parameter.data]
        if isinstance(parameter, SparseParameter):
            arrays += [parameter.pattern.indptr, parameter.pattern.indices]
        for array in arrays:
            found = zlib.crc32(array.view(np.uint8).data, found)
    return found


def communicator(comm: Any) -> Communicator | OneRank:
    """Return the ranks to train with: ``ALONE`` for None, or for a single rank.

    One rank under MPI trains exactly as without MPI, bit for bit.
    """
    if comm is None or comm is ALONE:
        return ALONE
    ours = comm if isinstance(comm, Communicator) else Communicator(comm)
    if ours.size == 1:
        return ALONE
    if ours is not comm and not hasattr(comm, "IN_PLACE"):
        _end_together(ours)
    return ours


def _end_together(ours: Communicator) -> None:
    """Let an uncaught exception end all ranks; the others would wait for ever."""
    before = sys.excepthook

    def hook(kind: Any, error: Any, trace: Any) -> None:
        before(kind, error, trace)
        ours.abort(1)

    if not getattr(before, "ends_all_ranks", False):
        hook.ends_all_ranks = True  # type: ignore[attr-defined]
        sys.excepthook = hook


def launched() -> bool:
    """Return True if an MPI launcher has started this process."""
    return any(name in os.environ for name in _SIZES)


def world() -> Communicator | OneRank:
    """Return all ranks that a launcher has started, or ``ALONE`` for a process of its own.

    Raises ``MissingExtraError`` if there are several and mpi4py is not installed.
    """
    if not launched():
        return ALONE
    try:
        from mpi4py import MPI
    except ImportError:
        sizes = [os.environ[name] for name in _SIZES if name in os.environ]
        if all(size == "1" for size in sizes):
            return ALONE
        raise MissingExtraError("mpi4py", "mpiexec with several ranks", "mpi") from None
    return communicator(MPI.COMM_WORLD)
