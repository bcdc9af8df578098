r"""The momentum of weights that do not exist, without a dense tensor.

Between two updates the pattern is fixed and inactive weights are 0, so an inactive position's
momentum is :math:`M = \sum_t b^{T-t} dY_t X_t^T` over the steps t. A source observes each step's
``(x, dy)`` inside its window, the last K steps before an update, and answers which inactive
positions have the largest \|M\|.

* ``window``: the factors of the last K steps, exactly; row tiles of M are formed at the update.
* ``tiles``: P row tiles, each accumulated densely for K steps, one after the other; each is exact
  at the end of its own turn.
* ``candidates``: exact momentum on O(nnz) positions, drawn by the norms of rows and columns.

Leaving out what lies before the window changes M by a factor of b^K in any norm.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from sparsecpu.csr import Pattern
from sparsecpu.parameters import SparseParameter
from sparsecpu.topology.selection import RunningTop, largest
from sparsecpu.workspace import aligned_empty, aligned_zeros

#: Bytes of a row tile of M that is formed at an update.
TILE_BYTES = 4 * 1024**2
#: A tile has at most this fraction of the rows: it must stay far from a dense matrix.
_TILE_SHARE = 32
#: Positions that are looked at at a time.
_BLOCK = 1 << 16


class Source:
    """Base of the sources.

    Parameters
    ----------
    parameter : SparseParameter
        The layer's weights.
    steps : int
        K, the length of the window.
    batch_size : int
        Samples per step.
    momentum : float
        b.
    share : float
        Factor with which a gradient enters the momentum.
    interval : int
        Steps between updates.
    """

    #: Name in history and in options.
    name: ClassVar[str] = ""
    #: Attributes that a checkpoint keeps.
    arrays: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        parameter: SparseParameter,
        *,
        steps: int,
        batch_size: int,
        momentum: float,
        share: float,
        interval: int,
    ) -> None:
        self.parameter, self.steps, self.batch_size = parameter, steps, batch_size
        self.interval = interval
        self.momentum, self.share = momentum, share
        self.dtype = parameter.data.dtype

    def observe(self, step: int, left: int, x: np.ndarray, dy: np.ndarray) -> None:
        """See a step.

        Parameters
        ----------
        step : int
            Its number.
        left : int
            Steps before the next update, this one included.
        x, dy : ndarray, shape (tiles, features, lanes)
            Input and output gradient of the layer; views.
        """
        raise NotImplementedError

    def top(self, count: int, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        r"""Return the inactive positions of largest \|M\|, at most ``count``, none of them 0.

        Parameters
        ----------
        count : int
            How many.
        steps_done : int
            Optimizer steps done so far.

        Returns
        -------
        keys : ndarray of int64
            Sorted.
        values : ndarray
            Their momentum.
        """
        raise NotImplementedError

    def _offer(self, top: RunningTop, tile: np.ndarray, first: int) -> None:
        """Offer the inactive entries of rows ``first …`` of M; the tile is overwritten."""
        pattern, n_in = self.parameter.pattern, tile.shape[1]
        start, end = pattern.indptr[first], pattern.indptr[first + len(tile)]
        fan_in = np.diff(pattern.indptr[first : first + len(tile) + 1])
        tile[np.repeat(np.arange(len(tile)), fan_in), pattern.indices[start:end]] = 0
        flat, offset = tile.reshape(-1), first * n_in
        # In pieces: after the first few, hardly anything exceeds the threshold any more.
        piece = max(2 * top.count, _BLOCK)
        for start in range(0, len(flat), piece):
            part = flat[start : start + piece]
            found = np.flatnonzero(np.abs(part) > top.threshold)
            top.add(offset + start + found, part[found])

    def state(self) -> dict[str, np.ndarray]:
        """Return the arrays that a resumed run needs, by name; nothing between two windows."""
        return {name: getattr(self, name) for name in self.arrays if self.holds_history()}

    def holds_history(self) -> bool:
        """Return whether anything was seen that the next update will use."""
        return True

    def load_state(self, arrays: dict[str, np.ndarray]) -> None:
        """Take up what ``state`` returned.

        Parameters
        ----------
        arrays : dict of str to ndarray
            By name.
        """
        for name, array in arrays.items():
            setattr(self, name, np.array(array))


class Window(Source):
    """The factors of the last K steps; see the module.

    Parameters
    ----------
    parameter : SparseParameter
        The layer's weights.
    **options : object
        See ``Source``.
    """

    name = "window"
    arrays = ("x", "dy", "when", "seen")

    def __init__(self, parameter: SparseParameter, **options: Any) -> None:
        super().__init__(parameter, **options)
        n_out, n_in = parameter.shape
        columns = self.steps * self.batch_size
        self.x = aligned_zeros((n_in, columns), self.dtype)
        self.dy = aligned_zeros((n_out, columns), self.dtype)
        self.when = np.zeros(self.steps, dtype=np.int64)
        self.seen = np.zeros(1, dtype=np.int64)

    @staticmethod
    def nbytes(parameter: SparseParameter, steps: int, batch_size: int) -> int:
        """Return what a window would hold.

        Parameters
        ----------
        parameter : SparseParameter
            The layer's weights.
        steps, batch_size : int
            Columns per factor are their product.

        Returns
        -------
        int
            Bytes.
        """
        return steps * batch_size * sum(parameter.shape) * parameter.data.itemsize

    def observe(self, step: int, left: int, x: np.ndarray, dy: np.ndarray) -> None:
        """Keep the factors of this step; see ``Source``.

        Parameters
        ----------
        step, left : int
            See ``Source``.
        x, dy : ndarray
            See ``Source``.
        """
        if left > self.steps:
            return
        slot = int(self.seen[0]) % self.steps
        first, lanes = slot * self.batch_size, x.shape[2]
        for kept, new in ((self.x, x), (self.dy, dy)):
            kept[:, first : first + self.batch_size] = 0
            for tile in range(len(new)):
                here = first + tile * lanes
                end = min(here + lanes, first + self.batch_size)
                kept[:, here:end] = new[tile, :, : end - here]
        self.when[slot] = step
        self.seen += 1

    def holds_history(self) -> bool:
        """Return whether any step was kept since the last update, or before it and still counts."""
        return int(self.seen[0]) > 0

    def top(self, count: int, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        """Form M row tile by row tile; see ``Source``.

        Parameters
        ----------
        count : int
            How many.
        steps_done : int
            Optimizer steps done so far.

        Returns
        -------
        tuple of ndarray
            Keys and values.
        """
        used = min(int(self.seen[0]), self.steps)
        columns = used * self.batch_size
        age = steps_done - 1 - self.when[:used]
        weight = np.repeat(self.share * self.momentum**age, self.batch_size).astype(self.dtype)
        n_out, n_in = self.parameter.shape
        small = n_out * n_in <= 1 << 18
        most = max(1, n_out // (4 if small else _TILE_SHARE))
        rows = int(np.clip(TILE_BYTES // (n_in * self.dtype.itemsize), 1, most))
        buffer = aligned_empty((rows, n_in), self.dtype)
        top = RunningTop(count, self.dtype)
        for first in range(0, n_out, rows):
            tile = buffer[: min(rows, n_out - first)]
            part = self.dy[first : first + rows, :columns] * weight
            np.matmul(part, self.x[:, :columns].T, out=tile)
            self._offer(top, tile, first)
        if self.steps <= self.interval:  # all of it will be seen anew before the next update
            self.seen[0] = 0
        return top.result()


class Tiles(Source):
    """Row tiles of M, accumulated one after the other; see the module.

    Parameters
    ----------
    parameter : SparseParameter
        The layer's weights.
    parts : int
        Into how many tiles the rows are cut.
    **options : object
        See ``Source``.
    """

    name = "tiles"
    arrays = ("tile", "keys", "values")

    def __init__(self, parameter: SparseParameter, *, parts: int, **options: Any) -> None:
        super().__init__(parameter, **options)
        n_out, n_in = parameter.shape
        self.rows = -(-n_out // parts)
        self.parts = -(-n_out // self.rows)
        self.tile = aligned_zeros((self.rows, n_in), self.dtype)
        self._top = self._empty()

    @staticmethod
    def parts_for(parameter: SparseParameter, memory: float) -> int:
        """Return into how many parts the rows must be cut to fit, and to stay far from dense.

        Parameters
        ----------
        parameter : SparseParameter
            The layer's weights.
        memory : float
            Bytes for the tile and for finding its largest entries.

        Returns
        -------
        int
            Parts.
        """
        n_out, n_in = parameter.shape
        # The tile, its magnitudes and a mask.
        per_row = n_in * (2 * parameter.data.itemsize + 1)
        return max(min(_TILE_SHARE, n_out), math.ceil(n_out / max(1, int(memory // per_row))))

    def _empty(self) -> RunningTop:
        pattern = self.parameter.pattern
        return RunningTop(min(pattern.nnz, pattern.size - pattern.nnz), self.dtype)

    @property
    def keys(self) -> np.ndarray:
        """Keys found so far."""
        return self._top.result()[0]

    @keys.setter
    def keys(self, keys: np.ndarray) -> None:
        """Take up the keys of a checkpoint; ``values`` must follow.

        Parameters
        ----------
        keys : ndarray of int64
            The keys.
        """
        self._top = self._empty()
        self._top.keys = keys

    @property
    def values(self) -> np.ndarray:
        """Momentum at those keys."""
        return self._top.result()[1]

    @values.setter
    def values(self, values: np.ndarray) -> None:
        """Take up the momentum of a checkpoint.

        Parameters
        ----------
        values : ndarray
            One per key.
        """
        self._top.values = values

    def observe(self, step: int, left: int, x: np.ndarray, dy: np.ndarray) -> None:
        """Add this step to the tile whose turn it is; see ``Source``.

        Parameters
        ----------
        step, left : int
            See ``Source``.
        x, dy : ndarray
            See ``Source``.
        """
        from scipy.linalg.blas import dgemm, sgemm

        turn, remaining = divmod(left - 1, self.steps)
        part = self.parts - 1 - turn
        if part < 0:
            return
        first = part * self.rows
        tile = self.tile[: self.parameter.shape[0] - first]
        gemm = sgemm if self.dtype == np.float32 else dgemm
        # tile <- beta tile + share dY X', as BLAS sees it: transposed, Fortran order, in place.
        beta = 0.0 if remaining == self.steps - 1 else self.momentum
        for t in range(len(x)):
            rows = dy[t, first : first + len(tile)]
            gemm(
                self.share, x[t].T, rows.T, beta=beta, c=tile.T, trans_a=True, overwrite_c=True
            )  # fmt: skip
            beta = 1.0
        if remaining == 0:
            self._offer(self._top, tile, first)

    def top(self, count: int, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the best of what each part held at the end of its turn; see ``Source``.

        Parameters
        ----------
        count : int
            How many.
        steps_done : int
            Optimizer steps done so far.

        Returns
        -------
        tuple of ndarray
            Keys and values.
        """
        self._top.count = min(count, self._top.count)
        found = self._top.result()
        self._top = self._empty()
        return found

    def restart(self) -> None:
        """Forget what was found; the pattern has changed."""
        self._top = self._empty()


class Candidates(Source):
    """Exact momentum on a drawn set of positions; see the module.

    Parameters
    ----------
    parameter : SparseParameter
        The layer's weights.
    factor : float
        Candidates per active weight.
    rng : numpy.random.Generator
        Draws them.
    **options : object
        See ``Source``.
    """

    name = "candidates"
    arrays = ("keys", "values")

    def __init__(
        self,
        parameter: SparseParameter,
        *,
        factor: float,
        rng: np.random.Generator,
        **options: Any,
    ) -> None:
        super().__init__(parameter, **options)
        self.factor, self.rng = factor, rng
        self.keys = np.empty(0, dtype=np.int64)
        self.values = np.empty(0, dtype=self.dtype)
        self._pattern: Pattern | None = None
        self._scratch = np.empty(0, dtype=self.dtype)

    def observe(self, step: int, left: int, x: np.ndarray, dy: np.ndarray) -> None:
        """Draw the candidates one step before the window, then follow them; see ``Source``.

        Parameters
        ----------
        step, left : int
            See ``Source``.
        x, dy : ndarray
            See ``Source``.
        """
        if left == self.steps + 1:
            self._draw(x, dy)
        elif left <= self.steps and len(self.keys):
            self._accumulate(x, dy)

    def _draw(self, x: np.ndarray, dy: np.ndarray) -> None:
        r"""Draw pairs with :math:`P(i, j) \propto \|dY_i\| \|X_j\|`; drop active and repeated."""
        pattern = self.parameter.pattern
        real = dy.any(axis=1).astype(self.dtype)  # padding lanes have no gradient
        by_row = np.cumsum(np.sqrt(np.einsum("til,til->i", dy, dy, dtype=np.float64)))
        by_column = np.cumsum(np.sqrt(np.einsum("tjl,tjl,tl->j", x, x, real, dtype=np.float64)))
        self.keys, self._pattern = np.empty(0, dtype=np.int64), None
        if by_row[-1] > 0 and by_column[-1] > 0:
            keys = np.empty(int(self.factor * pattern.nnz) + 1, dtype=np.int64)
            for first in range(0, len(keys), _BLOCK):  # blocks, to keep temporary arrays small
                block = keys[first : first + _BLOCK]
                block[:] = self._places(by_row, len(block))
                block *= pattern.shape[1]
                block += self._places(by_column, len(block))
            keys.sort()
            self.keys = keys[self._usable(keys)]
        self.values = aligned_zeros(len(self.keys), self.dtype)

    def _places(self, cumulated: np.ndarray, count: int) -> np.ndarray:
        """Draw places with probabilities given by their running sum."""
        drawn = self.rng.random(count)
        drawn *= cumulated[-1]
        places = np.searchsorted(cumulated, drawn, side="right")
        return np.minimum(places, len(cumulated) - 1, out=places)

    def _usable(self, keys: np.ndarray) -> np.ndarray:
        """Return which of sorted keys are neither repeated nor active."""
        active, usable = self.parameter.pattern.keys(), np.ones(len(keys), dtype=bool)
        usable[1:] = keys[1:] != keys[:-1]
        for first in range(0, len(keys), _BLOCK):
            block = slice(first, first + _BLOCK)
            at = np.searchsorted(active, keys[block])
            np.minimum(at, len(active) - 1, out=at)
            usable[block] &= active[at] != keys[block]
        return usable

    def _accumulate(self, x: np.ndarray, dy: np.ndarray) -> None:
        from sparsecpu.kernels.linear import gradient_kernel

        if self._pattern is None:
            self._pattern = Pattern.from_keys(self.parameter.shape, self.keys)
        if len(self._scratch) != len(self.keys):
            self._scratch = aligned_empty(len(self.keys), self.dtype)
        p, fresh = self._pattern, self._scratch
        gradient_kernel(x.shape[2])(p.indptr, p.indices, x, dy, fresh, fresh[:0], p.chunks)
        np.multiply(self.values, self.dtype.type(self.momentum), out=self.values)
        np.multiply(fresh, self.dtype.type(self.share), out=fresh)
        np.add(self.values, fresh, out=self.values)

    def top(self, count: int, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the best of the candidates, and forget them; see ``Source``.

        Parameters
        ----------
        count : int
            How many.
        steps_done : int
            Optimizer steps done so far.

        Returns
        -------
        tuple of ndarray
            Keys and values.
        """
        chosen = largest(np.abs(self.values), count)
        chosen = chosen[self.values[chosen] != 0]
        found = self.keys[chosen], self.values[chosen]
        self.keys, self._pattern = np.empty(0, dtype=np.int64), None
        self.values = self._scratch = np.empty(0, dtype=self.dtype)
        return found


def choose_sources(
    parameters: dict[str, SparseParameter],
    *,
    kind: str,
    memory: float,
    interval: int,
    factor: float,
    rng: np.random.Generator,
    **options: Any,
) -> dict[str, Source]:
    """Choose a source for each layer: window where it fits, else tiles, else candidates.

    Parameters
    ----------
    parameters : dict of str to SparseParameter
        The layers.
    kind : {"auto", "window", "tiles", "candidates"}
        A source for all layers, or the rule above.
    memory : float
        Bytes for all windows and tiles; the smallest layers choose first.
    interval : int
        Steps between updates. Tiles need enough of them for every part's turn.
    factor : float
        Candidates per active weight.
    rng : numpy.random.Generator
        Stream for candidates.
    **options : object
        ``steps, batch_size, momentum, share`` of ``Source``.

    Returns
    -------
    dict of str to Source
        By layer.
    """
    options["interval"] = interval
    steps, batch_size = options["steps"], options["batch_size"]
    sources: dict[str, Source] = {}
    need = {n: Window.nbytes(p, steps, batch_size) for n, p in parameters.items()}
    order = sorted(parameters, key=lambda name: need[name])
    for position, name in enumerate(order):
        parameter = parameters[name]
        parts = Tiles.parts_for(parameter, memory / (len(order) - position))
        rows = parameter.shape[0]
        tiles_fit = 2 <= parts <= rows and parts * steps <= interval
        if kind == "window" or (kind == "auto" and need[name] <= memory):
            sources[name] = Window(parameter, **options)
            memory -= need[name]
        elif kind == "tiles" or (kind == "auto" and tiles_fit):
            parts = min(parts, rows)
            turns = {**options, "steps": max(1, min(steps, interval // parts))}
            sources[name] = Tiles(parameter, parts=parts, **turns)
            memory -= 9 * sources[name].tile.size  # type: ignore[attr-defined]
        else:
            turns = {**options, "steps": max(1, min(steps, interval - 1))}
            sources[name] = Candidates(parameter, factor=factor, rng=rng, **turns)
    return sources
