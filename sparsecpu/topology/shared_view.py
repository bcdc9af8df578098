"""What topology may read of dW at shared columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.sparse.groups import rows_of_groups
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.gradient_view import GradientView
from sparsecpu.topology.shared_columns import SharedColumns

#: Numbers of dW that are formed at a time, if a group has no more.
_AT_ONCE = 1 << 17


class SharedView(GradientView):
    """The mean magnitude of dW in the rows of each group; ``weights`` is the view of the rows.

    It has no factors, for no product of theirs is a magnitude.
    """

    def __init__(self, shared: SharedColumns, weights: GradientView) -> None:
        self.shared, self.weights = shared, weights
        self.whole_rows = weights.whole_rows

    def at(self, pattern: Pattern, out: np.ndarray | None = None) -> np.ndarray:
        shared = self.shared
        rows = Pattern.of_groups(shared.weights.shape[0], shared.group, pattern)
        return shared.fold(self.weights.at(rows), pattern, out)

    def tile(self, rows: slice, columns: slice, out: np.ndarray) -> None:
        group, n_out = self.shared.group, self.shared.weights.shape[0]
        first, _, step = rows.indices(self.shared.shape[0])
        at_once = max(1, _AT_ONCE // (group * out.shape[1])) if step == 1 else 1
        for done in range(0, len(out), at_once):
            part = out[done : done + at_once]
            begin = (first + done * step) * group
            end = min(begin + len(part) * group, n_out)
            formed = np.empty((end - begin, out.shape[1]), out.dtype)
            self.weights.tile(slice(begin, end), columns, formed)
            part[...] = self.shared.fold_rows(formed)

    def activity(self, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean activity of each group's rows (or root mean square); of each column."""
        rows, columns = self.weights.activity(kind, rng)
        group, n_out = self.shared.group, self.shared.weights.shape[0]
        rows = rows * rows if self.shared.squares else rows
        rows = np.add.reduceat(rows, np.arange(0, n_out, group)) / rows_of_groups(n_out, group)
        return np.sqrt(rows) if self.shared.squares else rows, columns


def view_of_weights(view: Any) -> GradientView:
    """Return the view of all rows behind what rules see."""
    return view.weights if isinstance(view, SharedView) else view
