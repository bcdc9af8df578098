"""Data-parallel training over MPI: how ranks exchange numbers.

Every rank holds the same network and the same samples, and trains on its part of each batch.
Gradients are vectors of length nnz; they are summed layer by layer while the backward pass goes on.
What topology needs of a batch is gathered from all ranks, so that all decide alike.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from sparsecpu.errors import MissingExtraError, RankError
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.ranks import ALONE, OneRank
from sparsecpu.training.rank_watch import TIMEOUT, check_timeout, end_job, starting, watch_over

#: Variables in which launchers give the number of processes that they have started.
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS", "PALS_LOCAL_SIZE")
#: Variables in which they give the number of this process.
_RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MPI_LOCALRANKID", "PALS_LOCAL_RANKID")
#: Seconds that other ranks leave rank 0 to report what all have met.
AFTER_RANK_0 = 2.0


class Communicator:
    """A group of ranks over an mpi4py communicator; this process is ``rank`` of ``size``.

    A rank that waits for others in vain for ``timeout`` seconds ends the job; 0 lets it wait for
    ever, and None leaves what was said before, or ``rank_watch.TIMEOUT``.
    """

    def __init__(self, comm: Any, timeout: float | None = None) -> None:
        timeout = None if timeout is None else check_timeout(timeout)
        self.comm = comm
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self._requests: list[Any] = []
        self._watch = watch_over(comm, timeout)

    def __deepcopy__(self, memo: Any) -> Communicator:
        return self  # scikit-learn copies the arguments of an estimator; the ranks stay the same

    def part(self, count: int) -> slice:
        """Return this rank's part of ``count`` things in order; parts differ by one at most."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Add up a contiguous array over all ranks, in place, and return it."""
        with self._watch("sums over all ranks"):
            self.comm.Allreduce(_in_place(self.comm), array)
        return array

    def start_sum(self, array: np.ndarray) -> None:
        """Begin to add up an array in place; it must not be touched before ``finish``."""
        if array.size:
            self._requests.append(self.comm.Iallreduce(_in_place(self.comm), array))

    def finish(self) -> None:
        """Wait for all sums that were begun."""
        with self._watch("the gradients of a step"):
            for request in self._requests:
                request.Wait()
        self._requests.clear()

    def gather_lanes(self, x: np.ndarray, real: np.ndarray) -> np.ndarray:
        """Return what all ranks have in their lanes, in order, shape (tiles, features, lanes).

        ``real`` are the numbers of this rank's that count; in the result, lanes after the last one
        are 0.
        """
        features, lanes = x.shape[1:]
        own = np.ascontiguousarray(x.transpose(0, 2, 1).reshape(-1, features)[real])
        counts = np.array(self._gather(len(real), "the samples of a step"))
        samples = np.empty((int(counts.sum()), features), dtype=x.dtype)
        with self._watch("the samples of a step"):
            self.comm.Allgatherv(own, [samples, (counts * features).tolist()])
        tiles = max(1, -(-len(samples) // lanes))
        padded = np.zeros((tiles * lanes, features), dtype=x.dtype)
        padded[: len(samples)] = samples
        return np.ascontiguousarray(padded.reshape(tiles, lanes, features).transpose(0, 2, 1))

    def broadcast(self, value: Any) -> Any:
        """Return the plain values that rank 0 passes; those of other ranks are ignored."""
        with self._watch("what rank 0 decides"):
            return self.comm.bcast(value, root=0)

    def _gather(self, value: Any, what: str) -> list[Any]:
        """Return the plain values of all ranks."""
        with self._watch(what):
            return list(self.comm.allgather(value))

    def wait(self, what: str) -> None:
        """Wait until all ranks are here; ``what`` says for what."""
        self._gather(None, what)

    def check_same(self, what: str, value: str) -> None:
        """Raise ``RankError`` on every rank if one has another value than rank 0."""
        values = self._gather(value, f"the {what} of all ranks")
        for rank, other in enumerate(values):
            if other != values[0]:
                raise RankError(f"{what}: rank 0 has {values[0]}, rank {rank} has {other}")

    def check_network(self, parameters: Iterable[Parameter]) -> None:
        """Raise ``RankError`` on every rank if patterns or weights differ in a single bit."""
        self.check_same("checksum of patterns and weights", f"{checksum(parameters):08x}")

    def threads(self) -> int:
        """Return how many threads this rank may use of the cores that its node's ranks share."""
        from sparsecpu.kernels.machine.threads import available_threads

        cores = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
        ranks = self._gather((platform.node(), sorted(cores)), "all ranks to begin")
        node, own = ranks[self.rank]
        sharing = sum(name == node and bool(set(cores) & set(own)) for name, cores in ranks)
        return max(1, min(len(own), available_threads()) // sharing)

    def abort(self, code: int) -> None:
        """End all ranks at once, with an exit code."""
        end_job(self.comm, code)


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
            groups = parameter.pattern.groups
            arrays += [groups.indptr, groups.indices]
        for array in arrays:
            found = zlib.crc32(array.view(np.uint8).data, found)
    return found


def communicator(comm: Any, timeout: float | None = None) -> Communicator | OneRank:
    """Return the ranks to train with: ``ALONE`` for None, or for a single rank.

    One rank under MPI trains exactly as without MPI, bit for bit. ``timeout`` is that of
    ``Communicator``.
    """
    if comm is None or comm is ALONE:
        return ALONE
    if not isinstance(comm, Communicator) and int(comm.Get_size()) == 1:
        return ALONE
    ours = comm if isinstance(comm, Communicator) else Communicator(comm, timeout)
    if ours.size == 1:
        return ALONE
    if not hasattr(ours.comm, "IN_PLACE"):
        _end_together(ours)
    return ours


def _end_together(ours: Communicator) -> None:
    """Let an uncaught exception end all ranks; the others would wait for it in vain.

    Where several ranks meet the same one rank 0 alone says so: the others give it time to.
    """
    before = sys.excepthook

    def hook(kind: Any, error: Any, trace: Any) -> None:
        if ours.rank:
            time.sleep(AFTER_RANK_0)
        before(kind, error, trace)
        line = " ".join(f"{kind.__name__}: {error}".split())
        sys.stderr.write(f"sparsecpu: rank {ours.rank} ends the job: {line}\n")
        ours.abort(1)

    if not getattr(before, "ends_all_ranks", False):
        hook.ends_all_ranks = True  # type: ignore[attr-defined]
        sys.excepthook = hook


def launched() -> bool:
    """Return True if an MPI launcher has started this process."""
    return any(name in os.environ for name in _SIZES)


def world(timeout: float | None = None) -> Communicator | OneRank:
    """Return all ranks that a launcher has started, or ``ALONE`` for a process of its own.

    ``timeout`` is that of ``Communicator``, and how long to wait for all to start. Raises
    ``MissingExtraError`` if there are several and mpi4py is not installed.
    """
    timeout = None if timeout is None else check_timeout(timeout)
    if not launched():
        return ALONE
    try:
        with starting(TIMEOUT if timeout is None else timeout):
            from mpi4py import MPI
    except ImportError:
        sizes = [os.environ[name] for name in _SIZES if name in os.environ]
        if all(size == "1" for size in sizes):
            return ALONE
        raise MissingExtraError("mpi4py", "mpiexec with several ranks", "mpi") from None
    return communicator(MPI.COMM_WORLD, timeout)


def launched_rank() -> int:
    """Return the number that the launcher gave this process, without asking MPI; 0 if none."""
    given = [os.environ[name] for name in _RANKS if os.environ.get(name, "").isdigit()]
    return int(given[0]) if given else 0
