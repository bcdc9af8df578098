"""What topology may read of a layer's dW in one step, though no layer ever forms all of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.sparse.pattern import Pattern


class GradientView(ABC):
    """dW of one layer in one step: at positions, in tiles, or how active its rows and columns are.

    A view is valid during the step only: it reads arrays of the workspace.
    """

    #: True if ``tile`` can only form whole rows.
    whole_rows: bool = False

    @abstractmethod
    def at(self, pattern: Pattern, out: np.ndarray | None = None) -> np.ndarray:
        """Return dW at the positions of a pattern of the layer's shape, one value per nonzero.

        Without ``out``, the array may be overwritten by the next call.
        """

    @abstractmethod
    def tile(self, rows: slice, columns: slice, out: np.ndarray) -> None:
        """Write ``dW[rows, columns]`` to ``out``."""

    @abstractmethod
    def activity(self, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        r"""Return how active each output (row) and each input (column) was, in float64.

        For v, a row's dy or a column's x over the samples n (for filters, over all output pixels):

        * ``norm``: :math:`\sqrt{\sum_n v_n^2}`.
        * ``bound``: :math:`\sum_n |v_n|`; row times column bounds \|dW\| (GraBo).
        * ``estimate``: :math:`|\sum_n s_n v_n|` with random signs s, the same for rows and columns
          and drawn anew in each call; the product of the sums without the bars is an unbiased
          estimate of dW (GraEst).

        Heddes et al., Always-sparse training by growing connections with guided stochastic
        exploration (2024), section 3.2 and appendix E.
        """

    def factors(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return x and dy with ``dW = dy x'``, shape (tiles, features, lanes); None for filters."""
        return None

    def over_ranks(self, comm: Any, n_valid: int) -> GradientView:
        """Return the view of the samples of all ranks; ``n_valid`` of this rank's are real."""
        return SummedView(self, comm)


class SummedView(GradientView):
    """The view of all ranks' samples, as sums over ranks."""

    def __init__(self, own: GradientView, comm: Any) -> None:
        self.own, self.comm = own, comm
        self.whole_rows = own.whole_rows

    def at(self, pattern: Pattern, out: np.ndarray | None = None) -> np.ndarray:
        return self.comm.sum(self.own.at(pattern, out))

    def tile(self, rows: slice, columns: slice, out: np.ndarray) -> None:
        self.own.tile(rows, columns, out)
        self.comm.sum(out)

    def activity(self, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        own = rng
        if kind == "estimate":  # signs of different ranks are independent: squares add up
            own = np.random.default_rng([int(rng.integers(1 << 62)), self.comm.rank])
        power = 1 if kind == "bound" else 2
        parts = [part.astype(np.float64) ** power for part in self.own.activity(kind, own)]
        rows, columns = (self.comm.sum(part) ** (1 / power) for part in parts)
        return rows, columns


class ScaledView(GradientView):
    """The view of a part of a step's samples, ``times`` as many of which make the step."""

    def __init__(self, own: GradientView, times: float) -> None:
        self.own, self.times = own, times
        self.whole_rows = own.whole_rows

    def at(self, pattern: Pattern, out: np.ndarray | None = None) -> np.ndarray:
        found = self.own.at(pattern, out)
        found *= self.times
        return found

    def tile(self, rows: slice, columns: slice, out: np.ndarray) -> None:
        self.own.tile(rows, columns, out)
        out *= self.times

    def activity(self, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = self.own.activity(kind, rng)
        return rows * self.times, columns

    def factors(self) -> tuple[np.ndarray, np.ndarray] | None:
        found = self.own.factors()
        return None if found is None else (found[0], found[1] * found[1].dtype.type(self.times))


def standing_for(observe: Callable | None, times: float) -> Callable | None:
    """Return an observer that takes what it sees for ``times`` as many samples like them."""
    if observe is None or times == 1.0:
        return observe
    return lambda parameter, view: observe(parameter, ScaledView(view, times))


def check_places(
    pattern: Pattern, shape: tuple[int, int], out: np.ndarray | None, dtype: np.dtype
) -> None:
    """Refuse positions outside of a layer's weights, and memory for them that does not fit."""
    if not isinstance(pattern, Pattern) or pattern.shape != shape:
        raise ParameterError("pattern", pattern, f"a Pattern of shape {shape}")
    if out is None:
        return
    if out.shape != (pattern.nnz,) or out.dtype != dtype or not out.flags.carray:
        expected = f"a C-contiguous {dtype} vector of {pattern.nnz}"
        raise ParameterError("out", f"{out.dtype} of shape {out.shape}", expected)


def whole_rows(shape: tuple[int, int], rows: slice) -> Pattern:
    """Return the pattern that has every position of some rows, and no other."""
    fan_in = np.zeros(shape[0], dtype=np.int64)
    fan_in[rows] = shape[1]
    indptr = np.concatenate([[0], np.cumsum(fan_in)])
    indices = np.tile(np.arange(shape[1], dtype=np.int32), indptr[-1] // shape[1])
    return Pattern(shape, indptr, indices, validate=False)
