"""What topology may read of a linear layer's dW."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context
from sparsecpu.step.gradient_view import GradientView, check_places


class LinearView(GradientView):
    """``dW = dy x'``; x has shape (tiles, n_in, lanes), dy (tiles, n_out, lanes)."""

    def __init__(self, x: np.ndarray, dy: np.ndarray, owner: np.ndarray | None = None) -> None:
        self.x, self.dy = x, dy
        self.owner = owner  # whose token each lane has; None where lanes are samples

    def at(self, pattern: Pattern, out: np.ndarray | None = None) -> np.ndarray:
        from sparsecpu.kernels.linear import gradient_kernel

        x, size = self.x, self.x.shape[2] * self.x.itemsize
        out = np.empty(pattern.nnz, dtype=x.dtype) if out is None else out
        check_places(pattern, (self.dy.shape[1], x.shape[1]), out, x.dtype)
        if pattern.nnz and pattern.group > 1:
            self._at_groups(pattern, out)
        elif pattern.nnz:
            gradient_kernel(x.shape[2])(
                *pattern.blocks(size), pattern.indices, x, self.dy, out, out[:0],
                pattern.chunks_of(size),
            )  # fmt: skip
        return out

    def _at_groups(self, pattern: Pattern, out: np.ndarray) -> None:
        from sparsecpu.kernels.linear.grouped import gradient_kernel, tiles_at_once

        x, groups, size = self.x, pattern.groups, self.x.shape[2] * self.x.itemsize
        gradient_kernel(pattern.group, x.shape[2], x.itemsize)(
            groups.indptr, *groups.blocks(size, True), groups.indices, x, self.dy, out, out[:0],
            groups.chunks_of(size, True), tiles_at_once(x), 0,
        )  # fmt: skip

    def tile(self, rows: slice, columns: slice, out: np.ndarray) -> None:
        from sparsecpu.kernels.linear.outer import outer

        x, dy = self.x, self.dy
        outer(dy[0, rows], x[0, columns], out)
        part = np.empty_like(out) if len(x) > 1 else out
        for t in range(1, len(x)):
            outer(dy[t, rows], x[t, columns], part)
            out += part

    def activity(self, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        weights = self.dy.any(axis=1).astype(self.dy.dtype)  # 0 in padding lanes: no gradient there
        if kind == "estimate":
            signs = np.array([-1, 1], dtype=self.dy.dtype)
            weights[weights != 0] = rng.choice(signs, size=np.count_nonzero(weights))
        return summed(self.dy, weights, kind), summed(self.x, weights, kind)

    def factors(self) -> tuple[np.ndarray, np.ndarray]:
        return self.x, self.dy

    def over_ranks(self, comm: Any, n_valid: int) -> GradientView:
        real = np.arange(n_valid) if self.owner is None else np.flatnonzero(self.owner >= 0)
        return LinearView(*(comm.gather_lanes(v, real) for v in (self.x, self.dy)))


def summed(v: np.ndarray, weights: np.ndarray, kind: str) -> np.ndarray:
    """Sum v of shape (tiles, features, lanes) over samples, which have weights -1, 0 or 1."""
    if kind == "norm":
        squares = np.einsum("tfl,tfl,tl->f", v, v, np.abs(weights), dtype=np.float64)
        return np.sqrt(squares)
    v = np.abs(v) if kind == "bound" else v
    return np.abs(np.einsum("tfl,tl->f", v, weights, dtype=np.float64))


def owner_of(ctx: Context, of_tokens: bool) -> np.ndarray | None:
    """Return whose token each lane of a layer has, if its lanes are tokens."""
    return ctx.sequences.owner if of_tokens and ctx.sequences is not None else None
