"""Ends the job where a rank waits in vain: for one that has ended, or that does not come.

MPI itself would wait for ever. A thread of each rank looks on, about once a second, and sleeps
otherwise; what a step pays is the noting of when it begins to wait and when it has done so.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError

#: Seconds that a rank waits for the others. What takes longest is rank 0 writing a checkpoint: a
#: minute for fifty million neurons; and a rank that compiles kernels which the others have found in
#: their cache: minutes on a crowded machine.
TIMEOUT = 600.0
#: Seconds between two looks, and what the others get to report first.
_TICK, _GRACE = 1.0, 3.0
#: Seconds between two looks whether the others have come to their end.
_LAST_TICK = 0.005
#: Seconds that the launcher gets to read the last words of a rank: it drops what comes too late.
_READING = 0.2
#: Tags of messages from rank to rank; those of collective calls stand apart from them.
_LEAVES, _WAITS = 31_001, 31_002


def check_timeout(seconds: Any) -> float:
    """Return a timeout in seconds; 0 stands for none. Raises ``ParameterError`` for others."""
    with contextlib.suppress(TypeError, ValueError):
        if not isinstance(seconds, bool) and 0 <= float(seconds) < 1e9:
            return float(seconds)
    raise ParameterError("rank_timeout", seconds, "seconds, or 0 to wait for ever")


class Watch:
    """Watches over the waiting of this rank: ``with watch("the loss"): comm.Allreduce(...)``."""

    def __init__(self, comm: Any, timeout: float) -> None:
        self.comm, self.timeout = comm, timeout
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self._count, self._what = 0, ""
        #: The last wait, as ``_count`` has it, that each rank was seen in.
        self._seen = [0] * self.size
        self._talks = _may_talk()
        if self._talks:
            if not _talking:
                atexit.register(_leave)
            _talking.append(self)
        threading.Thread(target=self._look_on, daemon=True, name="rank watch").start()

    def __call__(self, what: str) -> Watch:
        """Name what is waited for inside the ``with`` block."""
        self._count += 1
        self._what = what
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        self._what = ""

    def _look_on(self) -> None:
        """Count ticks, not the time: a job that was stopped as a whole may go on."""
        known, ticks = 0, 0
        tick = min(_TICK, self.timeout / 4) if self.timeout else _TICK
        while True:
            time.sleep(tick)
            what, count = self._what, self._count
            if not what or count != known:
                known, ticks = count, 0
                continue
            ticks += 1
            left = self._talk(count, ticks == 1)
            if left is not None and self._what and self._count == count:
                reason = f"rank {left} has ended, and rank {self.rank} waits for it: {what}"
                self._end(reason, [left])
            if self.timeout and ticks * tick >= self.timeout and self._count == count:
                self._give_up(count, what)

    def _talk(self, count: int, first: bool) -> int | None:
        """Tell the others of this wait and hear of theirs; return a rank that has ended, if any."""
        if not self._talks:
            return None
        if first:
            self._tell(_WAITS, count)
        told, left = np.empty(1, dtype=np.int64), None
        for rank in range(self.size):
            while rank != self.rank and self.comm.Iprobe(rank, _WAITS):
                self.comm.Recv(told, rank, _WAITS)
                self._seen[rank] = int(told[0])
            if rank != self.rank and self.comm.Iprobe(rank, _LEAVES):
                left = rank
        return left

    def _tell(self, tag: int, count: int) -> None:
        """Send a number to all others, which need not receive it."""
        message = np.array([count], dtype=np.int64)
        self._sent = [self.comm.Isend(message, rank, tag) for rank in self._others()]

    def _others(self) -> list[int]:
        return [rank for rank in range(self.size) if rank != self.rank]

    def leave(self) -> None:
        """Tell the others, at the end of this process, that nothing more will come from it."""
        self._tell(_LEAVES, self._count)

    def wait_for_the_last(self) -> None:
        """Wait until the others leave as well, and take what they have sent.

        MPI's own end waits for them, too. But with messages that nobody has taken MPICH 5 may end
        a process without a word to its launcher, which then kills the others.
        """
        told = np.empty(1, dtype=np.int64)
        for rank in self._others():
            while not self.comm.Iprobe(rank, _LEAVES):
                time.sleep(_LAST_TICK)
            self.comm.Recv(told, rank, _LEAVES)
            while self.comm.Iprobe(rank, _WAITS):
                self.comm.Recv(told, rank, _WAITS)

    def _give_up(self, count: int, what: str) -> None:
        """End the job, and say which ranks did not come."""
        missing = [rank for rank in self._others() if self._seen[rank] < count]
        named = " and ".join(f"rank {rank}" for rank in missing) if self._talks else "another rank"
        came = f"{named or 'another rank'} did not come within {self.timeout:g} s"
        self._end(f"{came}; rank {self.rank} waited for it: {what}", missing)

    def _end(self, reason: str, missing: list[int]) -> None:
        """End the job; the first of the ranks that wait says why, the others give it time to."""
        if self._talks and any(rank not in missing for rank in range(self.rank)):
            time.sleep(_GRACE)
        sys.stderr.write(f"sparsecpu: {reason}\n")
        end_job(self.comm, 1)


class Unwatched:
    """The null form of a watch, for ranks that are threads."""

    timeout = 0.0

    def __call__(self, what: str) -> Unwatched:
        """Return itself, a ``with`` block without any effect."""
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


def _may_talk() -> bool:
    """Return True if a thread may send messages while another one waits in MPI."""
    from mpi4py import MPI

    return bool(MPI.Query_thread() == MPI.THREAD_MULTIPLE)


_watches: dict[int, Watch] = {}
#: Those that tell each other when they end.
_talking: list[Watch] = []


def _leave() -> None:
    """Leave all communicators; only then wait for the others, who may leave in another order."""
    from mpi4py import MPI

    watches = [w for w in _talking if not MPI.Is_finalized() and w.comm != MPI.COMM_NULL]
    for watch in watches:
        watch.leave()
    for watch in watches:
        watch.wait_for_the_last()


def watch_over(comm: Any, timeout: float | None) -> Watch | Unwatched:
    """Return the watch of an mpi4py communicator, which has one; None leaves its timeout alone."""
    if hasattr(comm, "IN_PLACE"):
        return Unwatched()
    if comm.handle not in _watches:
        _watches[comm.handle] = Watch(comm, TIMEOUT if timeout is None else timeout)
    watch = _watches[comm.handle]
    watch.timeout = watch.timeout if timeout is None else timeout
    return watch


def end_job(comm: Any, code: int) -> None:
    """End all ranks at once, even where MPI itself hangs."""
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(_READING)
    threading.Timer(_GRACE, os._exit, (code,)).start()
    comm.Abort(code)


#: What a helper runs while MPI starts, which holds Python's threads until all ranks are there: it
#: ends its parent unless that closes the pipe in time.
_HELPER = """
import os, select, signal, sys
parent, seconds = int(sys.argv[1]), float(sys.argv[2])
if not select.select([0], [], [], seconds)[0] and os.getppid() == parent:
    os.write(2, sys.argv[3].encode())
    os.kill(parent, signal.SIGKILL)
"""


@contextlib.contextmanager
def starting(timeout: float) -> Iterator[None]:
    """End this process if MPI does not start inside the ``with`` block; 0 stands for no limit."""
    if not timeout or "mpi4py.MPI" in sys.modules:
        yield
        return
    reason = f"sparsecpu: the ranks did not all start within {timeout:g} s\n"
    words = [sys.executable, "-S", "-E", "-c", _HELPER, str(os.getpid()), str(timeout), reason]
    helper = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        assert helper.stdin is not None
        helper.stdin.close()
        helper.wait()
