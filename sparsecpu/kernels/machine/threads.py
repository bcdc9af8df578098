"""Numba's threads: which library runs them, how many, and what a fork does to them."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock

from sparsecpu.errors import ForkError
from sparsecpu.kernels.machine.cores import allowed_cores
from sparsecpu.reading.numba_settings import check_numba
from sparsecpu.registries.numbers import whole


def preload_tbb() -> bool:
    """Make TBB, if pip has installed it, known to Numba; return True if it is there.

    It wakes up faster than OpenMP. Numba looks for it by name only, and pip puts it where the
    system's loader does not look.
    """
    found = sorted(Path(sys.prefix, "lib").glob("libtbb.so.12*"))
    for path in found[:1]:
        with contextlib.suppress(OSError):
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            return True
    return False


preload_tbb()
check_numba(numba.config)  # type: ignore[attr-defined]


#: How often a thread of GNU's OpenMP looks for work before it sleeps: for about a millisecond. That
#: is longer than a step's pauses; by itself it would look for 15 ms, and where other programs have
#: the core that its partner needs, nearly every kernel would take that long.
_SPINS = "GOMP_SPINCOUNT", "20000"
#: Where users say how many levels of teams OpenMP may have.
_TEAMS = {"OMP_NESTED", "OMP_MAX_ACTIVE_LEVELS"}


@functools.cache
def launch() -> None:
    """Start Numba's threads, before the first kernel that needs them.

    Nothing is changed that the user has set, and nothing that other processes inherit.
    """
    name, spins = _SPINS
    told = name in os.environ or "OMP_WAIT_POLICY" in os.environ
    if not told:
        os.environ[name] = spins  # read once, when the library is loaded
    try:
        numba.get_num_threads()
    finally:
        if not told:
            del os.environ[name]
    if numba.threading_layer() == "omp" and not _TEAMS & os.environ.keys():
        _forbid_teams_in_teams()


def _forbid_teams_in_teams() -> None:
    """Undo what Numba does as it starts OpenMP: allow that threads of a team have own teams.

    A PyTorch in the same process may share the library. It would make a team in every thread of a
    team, and its steps on two threads would take twelve times as long.
    """
    pool = importlib.import_module("numba.np.ufunc.omppool")
    with contextlib.suppress(OSError, AttributeError):  # a library without it
        ctypes.CDLL(str(pool.__file__)).omp_set_nested(0)


def _is_workqueue() -> bool:
    """Return True if Numba has only its own workqueue, which one thread may use at a time."""
    chosen = numba.config.THREADING_LAYER  # type: ignore[attr-defined]
    if chosen == "workqueue":
        return True
    try:
        return numba.threading_layer() == "workqueue"
    except ValueError:  # no kernel has run yet
        names = ("numba.np.ufunc.tbbpool", "numba.np.ufunc.omppool")
        return all(importlib.util.find_spec(name) is None for name in names)


def _most_threads() -> int:
    """Return how many threads the cores allow; any number where the user has told Numba one."""
    config: Any = numba.config
    told = config.NUMBA_NUM_THREADS != config.NUMBA_DEFAULT_NUM_THREADS
    if told or "NUMBA_NUM_THREADS" in os.environ:
        return sys.maxsize
    return allowed_cores().count


class _Chosen(threading.local):
    """What ``use_threads`` says in this Python thread; None stands for all."""

    threads: int | None = None


chosen = _Chosen()
_most = _most_threads()
#: Multiplications per forward pass below which a second thread costs more than it brings. Measured
#: on 784-1000-1000-10 at batch 128: 2 threads are slower at 4.6 million (98 % sparsity, 0.74 ms
#: against 0.64) and faster at 11.5 million (95 %, 0.99 ms against 1.23).
_WORTH_SHARING = 8_000_000
_one_at_a_time = threading.RLock()
_forked_from_openmp = False


def _before_fork() -> None:
    """Wait for what a child would wait for in vain: the threads that are at it are lost to it.

    These are modules that another thread imports, and kernels that it compiles or reads from the
    cache.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith(("sparsecpu", "numba")) and _half_imported(module):
            importlib.import_module(name)
    global_compiler_lock.acquire()


def _half_imported(module: Any) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _after_fork() -> None:
    """Note in a child if its parent's OpenMP threads are lost to it; open what these locked."""
    global _forked_from_openmp, _one_at_a_time
    global_compiler_lock.release()
    _one_at_a_time = threading.RLock()
    try:
        _forked_from_openmp = numba.threading_layer() == "omp"
    except ValueError:
        _forked_from_openmp = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=global_compiler_lock.release,
        after_in_child=_after_fork,
    )


def available_threads() -> int:
    """Return how many threads kernels may run on in this process.

    That is as many as it has cores: neither its affinity mask nor a quota of its control groups
    should make threads wait for each other. ``NUMBA_NUM_THREADS`` sets another number.
    """
    return min(int(getattr(numba.config, "NUMBA_NUM_THREADS")), _most)  # noqa: B009


def chosen_threads() -> int | None:
    """Return what ``use_threads`` says here; None if it was given None, or was not called."""
    return chosen.threads


def current_threads() -> int:
    """Return how many threads kernels run on: what ``use_threads`` says here, or all there are."""
    return chosen.threads or available_threads()


def team(parameters: Iterable[Any], samples: int, threads: int | None) -> int | None:
    """Return how many threads share a pass over some samples: ``threads``, None standing for all.

    But 1 if the user has chosen none and there is too little work for the parameters that they
    meet.
    """
    work = samples * sum(p.nnz * p.uses for p in parameters)
    return 1 if threads is None and work < _WORTH_SHARING else threads


@contextlib.contextmanager
def safe_launches() -> Iterator[None]:
    """Run kernels where it is safe, inside the ``with`` block; else raise ``ForkError``.

    On one thread they need nothing of Numba's threads, and are safe everywhere. Under TBB and
    OpenMP any number of Python threads may run kernels at once; under Numba's workqueue they take
    turns at such blocks. A child that was forked after its parent ran kernels under OpenMP would
    be killed.
    """
    if current_threads() == 1:
        yield
        return
    with _safe():
        yield


@contextlib.contextmanager
def _safe() -> Iterator[None]:
    if _forked_from_openmp:
        raise ForkError()
    if not _is_workqueue():
        yield
        return
    with _one_at_a_time:
        yield


@contextlib.contextmanager
def _masked(threads: int) -> Iterator[None]:
    launch()
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        yield
    finally:
        numba.set_num_threads(before)


@contextlib.contextmanager
def use_threads(threads: int | None) -> Iterator[int]:
    """Run kernels on this many threads inside the ``with`` block, and yield how many these are.

    None stands for all of them, or for fewer where there is too little work to share. Raises
    ``ParameterError`` unless that is an integer from 1 to what the machine has, and ``ForkError``
    as ``safe_launches`` does.
    """
    limit = available_threads()
    choice, threads = threads, limit if threads is None else threads
    threads = whole("threads", threads, 1, limit)
    before = chosen_threads()
    chosen.threads = None if choice is None else int(threads)
    try:
        with safe_launches():
            if threads == 1:
                yield 1
                return
            with _masked(int(threads)):
                yield int(threads)
    finally:
        chosen.threads = before
