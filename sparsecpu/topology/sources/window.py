"""The factors of the last steps, kept whole."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.kernels.machine.arrays import aligned_copy, aligned_zeros
from sparsecpu.step.checked_arrays import Arrays, take
from sparsecpu.step.gradient_view import GradientView
from sparsecpu.topology.running_top import RunningTop
from sparsecpu.topology.selection import largest
from sparsecpu.topology.shared_view import view_of_weights
from sparsecpu.topology.sources.base import Source
from sparsecpu.topology.tile_search import Form, search


class Window(Source):
    """The factors of the last K steps: x of shape (n_in, K batch) and dy of (n_out, K batch)."""

    name = "window"

    def __init__(self, parameter: Any, **options: Any) -> None:
        super().__init__(parameter, **options)
        n_out, n_in = self.weights.shape
        columns = self.steps * self.batch_size
        self.x = aligned_zeros((n_in, columns), self.dtype)
        self.dy = aligned_zeros((n_out, columns), self.dtype)
        self.when = np.zeros(self.steps, dtype=np.int64)
        self.seen = np.zeros(1, dtype=np.int64)

    @staticmethod
    def nbytes(shape: tuple[int, int], itemsize: int, steps: int, batch_size: int) -> int:
        """Return the bytes that a window would hold, for weights of a shape."""
        return steps * batch_size * sum(shape) * itemsize

    def widen(self, batch_size: int) -> None:
        if batch_size <= self.batch_size:
            return
        for name in ("x", "dy"):
            old = getattr(self, name).reshape(-1, self.steps, self.batch_size)
            new = aligned_zeros((len(old), self.steps * batch_size), self.dtype)
            new.reshape(-1, self.steps, batch_size)[:, :, : self.batch_size] = old
            setattr(self, name, new)
        self.batch_size = batch_size

    def observe(self, step: int, left: int, view: GradientView) -> None:
        if left > self.steps:
            return
        turn = int(self.seen[0]) % self.steps
        first = turn * self.batch_size
        factors = view_of_weights(view).factors()
        assert factors is not None, "filters have no windows"
        for kept, new in zip((self.x, self.dy), factors, strict=True):
            lanes = new.shape[2]
            kept[:, first : first + self.batch_size] = 0
            for tile in range(len(new)):
                here = first + tile * lanes
                end = min(here + lanes, first + self.batch_size)
                kept[:, here:end] = new[tile, :, : end - here]
        self.when[turn] = step
        self.seen += 1

    def top(self, count: int, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        pattern, form = self.parameter.pattern, self._form(steps_done)
        found = self._tell(search(pattern, count, self.dtype, form, shared=self.shared))
        self._forget()
        return found

    def top_of_rows(self, counts: np.ndarray, steps_done: int) -> tuple[np.ndarray, np.ndarray]:
        pattern, form = self.parameter.pattern, self._form(steps_done)
        n_in, group = pattern.shape[1], self.weights.pattern.group
        rows = aligned_zeros((group, n_in), self.dtype)
        top = RunningTop(int(counts.sum()), self.dtype, shared=self.shared)
        for i in np.flatnonzero(counts).tolist():
            here = slice(i * group, min((i + 1) * group, self.weights.shape[0]))
            tile = rows[: here.stop - here.start]
            form(here, slice(0, n_in), tile)
            row = tile[0] if self.shared is None else self.shared.fold_rows(tile)[0]
            row[pattern.indices[pattern.indptr[i] : pattern.indptr[i + 1]]] = 0
            chosen = largest(np.abs(row), int(counts[i]))
            momenta = np.zeros((len(chosen), group), self.dtype)
            momenta[:, : len(tile)] = tile[:, chosen].T
            top.add(i * n_in + chosen, row[chosen], momenta if self.shared else None)
        self._forget()
        return self._tell(top)

    def _form(self, steps_done: int) -> Form:
        """Return a function that writes a tile of M."""
        used = min(int(self.seen[0]), self.steps)
        columns = used * self.batch_size
        age = steps_done - 1 - self.when[:used]
        weight = np.repeat(self.gradient_weight * self.momentum**age, self.batch_size)
        weight, dy = weight.astype(self.dtype), self.dy[:, :columns]
        forgotten = self.steps <= self.interval  # then the factors themselves may be weighted
        if forgotten:
            np.multiply(dy, weight, out=dy)

        from sparsecpu.kernels.linear.outer import outer

        def form(rows: slice, places: slice, out: np.ndarray) -> None:
            outer(dy[rows] if forgotten else dy[rows] * weight, self.x[places, :columns], out)

        return form

    def state(self) -> dict[str, np.ndarray]:
        if not self.seen[0]:  # nothing that the next update will use
            return {}
        return {"x": self.x, "dy": self.dy, "when": self.when, "seen": self.seen}

    def load_state(self, arrays: Arrays, steps_done: int) -> None:
        if not arrays:
            return
        x = take(arrays, "x", self.dtype, self.x.shape)
        dy = take(arrays, "dy", self.dtype, self.dy.shape)
        when = take(arrays, "when", np.int64, self.when.shape, least=0, most=steps_done - 1)
        seen = take(arrays, "seen", np.int64, (1,), least=1, most=steps_done)
        self.x, self.dy = aligned_copy(x), aligned_copy(dy)
        self.when, self.seen = when.copy(), seen.copy()

    def _forget(self) -> None:
        if self.steps <= self.interval:  # all of it will be seen anew before the next update
            self.seen[0] = 0
