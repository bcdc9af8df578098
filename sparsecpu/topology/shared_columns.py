"""The shared columns of a layer: what algorithms see where rows stand in groups.

A rule drops and grows positions of ``parameter.pattern`` by what ``parameter.data``, ``grad`` and
``slot(name)`` have there. Where the rows of a layer stand in groups, the rule is handed a
``SharedColumns`` in place of the parameter: the pattern is that of the groups, and each number is
the mean magnitude of the weights that share a column. So a rule need not know of groups.

The mean, which orders whole groups as the sum does: the weights of a last group of fewer rows count
as much as others, layers can be compared whatever their groups, and so can a threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from sparsecpu.errors import PatternError
from sparsecpu.sparse.format import check_range, integers
from sparsecpu.sparse.groups import places_of_rows
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern

#: How the weights of a shared column make one score: their mean magnitude, or root mean square.
SCORES = ("l1", "l2")


class SharedColumns:
    """A layer's weights, as a parameter whose positions are shared columns.

    Parameters
    ----------
    weights : SparseParameter
        The weights; all numbers here are read from them when they are asked for.
    score : {"l1", "l2"}
        How the weights of a shared column make one number: the mean of their magnitudes, or the
        root of their mean square.
    """

    def __init__(self, weights: SparseParameter, score: str = "l1") -> None:
        self.weights, self.squares = weights, score == "l2"

    @property
    def group(self) -> int:
        """How many rows share their columns; the last group may have fewer."""
        return self.weights.pattern.group

    @property
    def pattern(self) -> Pattern:
        """The pattern of the groups."""
        return self.weights.pattern.groups

    @property
    def shape(self) -> tuple[int, int]:
        """``(groups, n_in)``."""
        return self.pattern.shape

    @property
    def nnz(self) -> int:
        """Number of shared columns."""
        return self.pattern.nnz

    @property
    def density(self) -> float:
        """Fraction of the positions that is kept."""
        return self.pattern.density

    @property
    def sparsity(self) -> float:
        """1 - density."""
        return self.pattern.sparsity

    @property
    def spatial(self) -> bool:
        """True for filters of a convolution."""
        return self.weights.spatial

    @property
    def data(self) -> np.ndarray:
        """The mean magnitude of each shared column's weights, to be read only."""
        return self.fold(self.weights.data, self.pattern)

    @property
    def grad(self) -> np.ndarray:
        """That of their gradients."""
        return self.fold(self.weights.grad, self.pattern)

    def slot(self, name: str) -> np.ndarray:
        """Return that of a slot."""
        return self.fold(self.weights.slot(name), self.pattern)

    @property
    def slots(self) -> Mapping[str, np.ndarray]:
        """The same for every slot that there is, by name."""
        return _Folded(self)

    def rows_of(self, keys: np.ndarray) -> np.ndarray:
        """Return which rows some shared columns have: int64, (keys, group), -1 where one lacks."""
        rows = (keys // self.shape[1] * self.group)[:, None] + np.arange(self.group)
        rows[rows >= self.weights.shape[0]] = -1
        return rows

    def take(self, vector: np.ndarray, places: np.ndarray, groups: Pattern) -> np.ndarray:
        """Return what a vector of weights has at some shared columns of these groups.

        A row for each, of ``group`` numbers, 0 where there is no such weight.
        """
        found = places_of_rows(groups, self.weights.shape[0], self.group, places)
        taken = vector[np.maximum(found, 0)]
        taken[found < 0] = 0
        return taken

    def fold(
        self, vector: np.ndarray, groups: Pattern, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return one number for each shared column of some groups, of a vector of their weights."""
        from sparsecpu.kernels.shared_columns import magnitudes

        group, n_out = self.group, self.weights.shape[0]
        found = np.empty(groups.nnz, vector.dtype) if out is None else out
        magnitudes(groups.indptr, vector, group, n_out, self.squares, found)
        last = slice(int(groups.indptr[-2]), None)
        found[: last.start] *= vector.dtype.type(1) / group
        found[last] *= vector.dtype.type(1) / (n_out - (groups.shape[0] - 1) * group)
        if self.squares:
            np.sqrt(found, out=found)
        found.flags.writeable = out is not None  # who would write the weights must not get lost
        return found

    def fold_rows(self, tile: np.ndarray) -> np.ndarray:
        """Return the same for a tile of rows, which begins with a group: a row for each group."""
        from sparsecpu.kernels.shared_columns import fold

        out = np.empty((-(-len(tile) // self.group), tile.shape[1]), tile.dtype)
        fold(tile, self.group, self.squares, out)
        return out

    def fold_values(self, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return the same for some shared columns, of a row of numbers for each."""
        found, last = np.empty(len(keys), values.dtype), keys >= (self.shape[0] - 1) * self.shape[1]
        rest = self.weights.shape[0] - (self.shape[0] - 1) * self.group
        for part, rows in ((~last, self.group), (last, rest)):
            found[part] = self.fold_rows(np.ascontiguousarray(values[part, :rows].T))[0]
        return found

    def sums(self, vector: np.ndarray) -> np.ndarray:
        """Return the sum of what a vector of weights has in each shared column."""
        from sparsecpu.kernels.shared_columns import magnitudes

        groups, parts = self.pattern, []
        for part in (np.maximum(vector, 0), np.minimum(vector, 0)):
            parts.append(np.empty(groups.nnz, vector.dtype))
            magnitudes(groups.indptr, part, self.group, self.weights.shape[0], False, parts[-1])
        return parts[0] - parts[1]

    def rewire(
        self, drop: np.ndarray, rows: np.ndarray, cols: np.ndarray,
        values: dict[str, np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        """Do what ``rewire_keys`` does, with new positions as groups and columns."""
        rows, cols = integers(rows, "rows"), integers(cols, "columns")
        check_range(rows, self.shape[0], "rows of new positions")
        check_range(cols, self.shape[1], "columns of new positions")
        self.rewire_keys(drop, rows.astype(np.int64) * self.shape[1] + cols, values)

    def rewire_keys(
        self, drop: np.ndarray, keys: np.ndarray, values: dict[str, np.ndarray] | None = None
    ) -> None:
        """Drop shared columns and let others grow; see ``SparseParameter.rewire_keys``.

        First values are one for all weights of a position, or a row of ``group`` for each.
        """
        keys = integers(keys, "new positions")
        first = {}
        if values:
            first = {n: self._of_all_rows(keys, np.asarray(v)) for n, v in values.items()}
        self.weights.rewire_keys(drop, keys, first, shared=True)

    def _of_all_rows(self, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return first values of some shared columns as a vector, without rows that lack."""
        values = by_rows(self, keys, values)
        if self.weights.shape[0] % self.group == 0:
            return values.reshape(-1)
        return values[self.rows_of(keys) >= 0]


class _Folded(Mapping[str, np.ndarray]):
    """The slots of shared columns, by name."""

    def __init__(self, shared: SharedColumns) -> None:
        self.shared = shared

    def __getitem__(self, name: str) -> np.ndarray:
        return self.shared.fold(self.shared.weights.slots[name], self.shared.pattern)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shared.weights.slots)

    def __len__(self) -> int:
        return len(self.shared.weights.slots)


def columns_of(parameter: SparseParameter, score: str = "l1") -> Any:
    """Return what rules see of a parameter: itself, or its shared columns where rows share any."""
    if isinstance(parameter, SparseParameter) and parameter.pattern.group > 1:
        return SharedColumns(parameter, score)
    return parameter


def weights_of(parameter: Any) -> SparseParameter:
    """Return the parameter behind what rules see."""
    return parameter.weights if isinstance(parameter, SharedColumns) else parameter


def by_rows(parameter: Any, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return first values of some positions, for each row of each; see ``shape_of_values``."""
    wanted = shape_of_values(parameter, keys)
    if values.ndim < len(wanted) and values.shape == keys.shape:
        return np.repeat(values[:, None], wanted[1], axis=1)
    if values.shape != wanted:
        raise PatternError(f"first values have shape {values.shape}; expected {wanted}")
    return values


def shape_of_values(parameter: Any, keys: np.ndarray) -> tuple[int, ...]:
    """Return the shape of first values that differ: a number for each weight of each position.

    Of a shared column that is a row of ``group``; those of rows that a last group lacks are not
    used.
    """
    if isinstance(parameter, SharedColumns):
        return len(keys), parameter.group
    return (len(keys),)


def keys_of_weights(parameter: Any, keys: np.ndarray) -> np.ndarray:
    """Return the keys of the weights that some positions have, in that shape; -1 of none."""
    if not isinstance(parameter, SharedColumns):
        return keys
    rows, n_in = parameter.rows_of(keys), parameter.shape[1]
    return np.where(rows < 0, -1, rows * n_in + (keys % n_in)[:, None])


def observed_columns(observe: Callable, parameters: dict[str, Any]) -> Callable:
    """Return an observer that shows shared columns to ``observe``, where rows stand in groups."""
    from sparsecpu.topology.shared_view import SharedView

    seen = {id(weights_of(p)): p for p in parameters.values() if isinstance(p, SharedColumns)}
    if not seen:
        return observe

    def folded(parameter: Any, view: Any) -> None:
        shared = seen.get(id(parameter))
        if shared is None:
            observe(parameter, view)
        else:
            observe(shared, SharedView(shared, view))

    return folded
