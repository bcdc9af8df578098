"""Memory that is used again at every step, and what a layer may know about the batch."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from sparsecpu.cpu import level_two_cache, wide_vectors_pay, widest_lanes
from sparsecpu.errors import ParameterError

_ALIGNMENT = 64  # one cache line; a load that straddles two runs at half speed


def aligned_empty(shape: Any, dtype: Any) -> np.ndarray:
    """Return an uninitialised C-contiguous array that starts on a cache line.

    Parameters
    ----------
    shape : int or tuple of ints
        Its shape.
    dtype : dtype
        Its element type.

    Returns
    -------
    ndarray
        The array.
    """
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    nbytes = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    raw = np.empty(nbytes + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + nbytes].view(dtype).reshape(shape)


def aligned_zeros(shape: Any, dtype: Any) -> np.ndarray:
    """Return ``aligned_empty`` filled with zeros.

    Parameters
    ----------
    shape : int or tuple of ints
        Its shape.
    dtype : dtype
        Its element type.

    Returns
    -------
    ndarray
        The array.
    """
    array = aligned_empty(shape, dtype)
    array[...] = 0
    return array


def aligned_copy(values: Any, dtype: Any = None) -> np.ndarray:
    """Return an aligned copy.

    Parameters
    ----------
    values : array_like
        What to copy.
    dtype : dtype, optional
        The element type; that of ``values`` by default.

    Returns
    -------
    ndarray
        The copy.
    """
    values = np.asarray(values, dtype=dtype)
    array = aligned_empty(values.shape, values.dtype)
    array[...] = values
    return array


#: Packages that bring a BLAS of their own; thread pools are looked for once for each set of them.
_WITH_A_BLAS = ("scipy.linalg", "torch")


@cache
def _thread_pools(loaded: tuple[bool, ...]) -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


_blas_lock = threading.Lock()
_blas_held = False  # by whoever entered first; see one_blas_thread


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread inside the ``with`` block, and leave it as it was afterwards.

    Two thread pools that spin beside each other cost more than a second thread brings, and sums
    that depend on the number of threads would depend on the machine. Libraries that are imported
    inside the block are not held: whoever brings a BLAS imports it before. Of several Python
    threads in such blocks the first one holds BLAS, and gives it back when it leaves: whoever found
    it held would otherwise restore one thread for good.

    Yields
    ------
    None
        Nothing.
    """
    global _blas_held
    with _blas_lock:
        mine, _blas_held = not _blas_held, True
        if mine:
            loaded = tuple(name in sys.modules for name in _WITH_A_BLAS)
            limiter = _thread_pools(loaded).limit(limits=1, user_api="blas")
            limiter.__enter__()
    try:
        yield
    finally:
        if mine:
            with _blas_lock:
                limiter.__exit__(None, None, None)
                _blas_held = False


def _holders(memory: np.ndarray) -> int:
    """Return how many references there are to what an array is a view of."""
    return sys.getrefcount(memory.base)


_NOBODY = _holders(aligned_empty(1, np.uint8))


class Workspace:
    """Named arrays that are allocated once and handed out again at every step."""

    def __init__(self) -> None:
        self._memory: dict[tuple, np.ndarray] = {}
        self._views: dict[tuple, np.ndarray] = {}
        self._lent: list[np.ndarray] = []

    def array(self, owner: Any, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an aligned array with unspecified contents.

        Parameters
        ----------
        owner : object
            Who asks; two owners never share memory.
        name : str
            What for; two names of one owner never share memory.
        shape : tuple of ints
            Its shape. Memory grows to the largest shape asked for.
        dtype : dtype
            Its element type.

        Returns
        -------
        ndarray
            The same memory for the same owner, name and dtype.
        """
        key = (owner, name, dtype, shape)
        view = self._views.get(key)
        if view is None:
            place = (owner, name, np.dtype(dtype))
            size = int(np.prod(shape, dtype=np.int64))
            memory = self._memory.get(place)
            if memory is None or memory.size < size:
                self._memory[place] = memory = aligned_empty(size, dtype)
                self._views = {k: v for k, v in self._views.items() if k[:2] != key[:2]}
            self._views[key] = view = memory[:size].reshape(shape)
        return view

    def other(self, taken: np.ndarray, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return memory for what replaces an array: one of two that are used in turn.

        Parameters
        ----------
        taken : ndarray
            What is still being read.
        shape : tuple of ints
            Its shape.
        dtype : dtype
            Its element type.

        Returns
        -------
        ndarray
            Memory that ``taken`` does not lie in.
        """
        first = self.array("in turn", "even", shape, dtype)
        if not np.may_share_memory(first, taken):
            return first
        return self.array("in turn", "odd", shape, dtype)

    def lend(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return memory for as long as anybody holds the array, or a view of it.

        A gradient of planes is read by the layers before it and then by nobody: a few such arrays
        serve a network of any depth.

        Parameters
        ----------
        shape : tuple of ints
            Its shape.
        dtype : dtype
            Its element type.

        Returns
        -------
        ndarray
            Of the least memory that nobody holds and that suffices, or of new memory.
        """
        size, dtype = int(np.prod(shape, dtype=np.int64)), np.dtype(dtype)
        fitting = (
            memory
            for memory in self._lent
            if memory.dtype == dtype and memory.size >= size and _holders(memory) == _NOBODY
        )
        memory = min(fitting, key=np.size, default=None)
        if memory is None:
            memory = aligned_empty(size, dtype)
            self._lent.append(memory)
        return memory[:size].reshape(shape)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(memory.nbytes for memory in [*self._memory.values(), *self._lent])


@dataclass
class Context:
    """What a layer may know about the batch that passes through it.

    Parameters
    ----------
    workspace : Workspace
        Where its arrays come from.
    train : bool
        Whether this pass is for training (dropout acts, batch statistics are used).
    n_valid : int
        Samples in the batch; the lanes after them hold padding, which must not reach a bias
        gradient, a statistic or dW.
    dropout : numpy.random.Generator or None
        Stream for dropout.
    observe : callable or None
        ``observe(parameter, x, dy)``: topology's tap on a layer's input and output gradient. What
        it receives are views into the workspace: use at once or copy.
    precision : {"fp32", "bf16", "fp16"}
        How layers may read their inputs; see ``SparseLinear``.
    comm : Communicator or None
        The ranks that share this batch, where there are several; see ``distributed``.
    all_rows : ndarray of int64 or None
        The samples of the whole batch then.
    grad_ready : callable or None
        ``grad_ready(layer)``: told in the backward pass when a layer has its gradients.
    in_turn : bool
        Whether the layers are a plain chain, in which a layer's gradient is not needed any more
        once the layer before it has its own; two arrays in turn serve them all then.
    predicts : bool
        Whether no backward pass will follow: outputs are not needed either, then, once the next
        layer has its own.
    lean : bool
        Whether layers do without a column-by-column index and without a gradient vector.
    apply : callable or None
        ``apply(parameter, places, grad)``: takes a lean layer's gradients, a run of rows at a time.
    """

    workspace: Workspace = field(default_factory=Workspace)
    train: bool = False
    n_valid: int = 0
    dropout: np.random.Generator | None = None
    observe: Callable[[Any, np.ndarray, np.ndarray], None] | None = None
    precision: str = "fp32"
    comm: Any = None
    all_rows: np.ndarray | None = None
    grad_ready: Callable[[Any], None] | None = None
    in_turn: bool = False
    predicts: bool = False
    lean: bool = False
    apply: Callable[[Any, slice, np.ndarray], None] | None = None

    def narrow(self, owner: Any, x: np.ndarray, precision: str) -> np.ndarray:
        """Return a copy of activations in 16 bits, in the workspace.

        Parameters
        ----------
        owner : object
            Who asks; it has one such copy per precision.
        x : ndarray of float32
            What to copy.
        precision : {"bf16", "fp16"}
            The form; see ``kernels.narrow``.

        Returns
        -------
        ndarray
            The copy.
        """
        from sparsecpu.kernels.narrow import narrow_shape, narrowed

        shape, kind = narrow_shape(x.shape, precision)
        return narrowed(x, self.workspace.array(owner, precision, shape, kind), precision)


#: How activations may be read.
PRECISIONS = ("fp32", "bf16", "fp16")


def check_precision(precision: str, dtype: Any) -> str:
    """Return the precision, if this machine and this network can have it.

    Parameters
    ----------
    precision : {"fp32", "bf16", "fp16"}
        How activations are to be read.
    dtype : dtype
        The network's type of values.

    Returns
    -------
    str
        ``precision``.

    Raises
    ------
    ParameterError
        If not.
    """
    if precision not in PRECISIONS:
        raise ParameterError("precision", precision, f"one of {', '.join(PRECISIONS)}")
    if precision != "fp32" and np.dtype(dtype) != np.float32:
        raise ParameterError("precision", precision, f"fp32, with values of {np.dtype(dtype)}")
    if precision != "fp32" and not wide_vectors_pay():
        raise ParameterError("precision", precision, "fp32 on a CPU without AVX2 or NEON")
    return precision


#: Time per useful lane, relative to the widest tile, measured at 90-98 % sparsity.
_LANE_COST = {16: 1.6, 32: 1.2, 64: 1.04, 128: 1.0}


def choose_lanes(batch: int, features: int, dtype: Any = np.float32) -> int:
    """Choose the width of the tiles for a network.

    A tile of the widest layer should fill about 60 % of the level-2 cache, and a batch should
    waste few lanes of its last tile.

    Parameters
    ----------
    batch : int
        Samples per step.
    features : int
        Features of the widest layer.
    dtype : dtype
        Type of the activations.

    Returns
    -------
    int
        16, 32, 64 or 128.
    """
    most = level_two_cache() / (features * np.dtype(dtype).itemsize)
    widths = [n for n in _LANE_COST if n * np.dtype(dtype).itemsize <= widest_lanes() * 4]
    fitting = [lanes for lanes in widths if lanes <= 0.6 * most]
    # Where not even the narrowest tile fits, each visit to the far cache should bring much.
    fitting = fitting or [lanes for lanes in widths if lanes <= most] or widths
    return min(fitting, key=lambda lanes: -(-batch // lanes) * lanes * _LANE_COST[lanes])
