"""What tokens mean: a row of numbers for each, and one for each place where they may stand."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Spec
from sparsecpu.layers.embedding_view import TableView
from sparsecpu.layers.required import require_like
from sparsecpu.registries.numbers import float_type, generator, truth_value, whole
from sparsecpu.sparse.dense_parameter import Parameter, Table
from sparsecpu.sparse.densities import allocate
from sparsecpu.sparse.first_patterns import first_pattern
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.context import Context

#: Standard deviation of the first values, as GPT-2 has it.
_DEVIATION = 0.02


class Embedding(Layer):
    r"""Write for each token its row of a table, and add that of its place in the sequence.

    The table is full, or exists only at its nonzeros, as the weights of other layers do.

    :math:`y_t = E_{i_t} + P_t` for a token number :math:`i_t` at place t; backward
    :math:`dE_i = \sum_{t: i_t = i} dy_t`, :math:`dP_t = \sum dy_t` over the sequences.

    Parameters
    ----------
    vocabulary : int
        How many tokens there are.
    features : int
        Numbers per token.
    length : int, optional
        The most tokens of a sequence; needed where places are learnt.
    positions : bool
        Learn a row for each place. Without, tokens mean the same everywhere.
    density : float, optional
        Fraction of the table to keep, in (0, 1]; by default the table is full and stays so.
    nnz : int, optional
        Numbers of the table to keep, instead of ``density``.
    rng : numpy.random.Generator, optional
        Draws the first values; ``numpy.random.default_rng(0)`` by default.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    table : Table or SparseParameter
        A row for each token.
    positions : Table or None
        A row for each place.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    Radford et al., Language models are unsupervised multitask learners (2019), for the first
    values: normal with a deviation of 0.02.
    """

    kind = "embedding"
    keeps_size = ("table", "positions")
    reads_tokens = True
    sets_length = True

    def __init__(
        self,
        vocabulary: int,
        features: int,
        *,
        length: int | None = None,
        positions: bool = True,
        density: float | None = None,
        nnz: int | None = None,
        rng: np.random.Generator | None = None,
        dtype: Any = np.float32,
    ) -> None:
        self.vocabulary = whole("vocabulary", vocabulary, 1, 2**31 - 1)
        features, rng, dtype = (
            whole("features", features, 1, 2**31 - 1),
            generator(rng),
            float_type(dtype),
        )
        shape = self.vocabulary, features
        if nnz is None and density is not None:
            nnz = allocate([shape], density, "uniform")[0]
        self.table: Table | SparseParameter
        if nnz is None:
            self.table = Table(rng.normal(0.0, _DEVIATION, shape), dtype)
        else:
            self.table = _sparse_table(shape, nnz, rng, dtype)
        self.positions: Table | None = None
        if truth_value("positions", positions):
            if length is None:
                raise ParameterError("length", None, "the most tokens of a sequence")
            length = whole("length", length, 1, 2**31 - 1)
            self.positions = Table(rng.normal(0.0, _DEVIATION, (length, features)), dtype)

    @classmethod
    def build(cls, shape: tuple[int, ...], options: dict[str, Any], **context: Any) -> Layer:
        options, given = {"length": shape[0], **options}, context.get("parameters")
        if "nnz" in options and options["nnz"] is None:
            options["nnz"] = int(options["vocabulary"]) * int(options["features"])
        layer = cls(**options, rng=context.get("rng"), dtype=context["dtype"])
        if given is not None:
            for name, own in layer.parameters().items():
                if isinstance(own, SparseParameter):
                    layer.table = _given_table(given[name], own)
                else:
                    own.data = require_like(own, name, given).data
        return layer

    @classmethod
    def trace(cls, shape, options) -> tuple:
        features = int(options["features"])
        sparse = "nnz" in options or options.get("density") is not None
        return (features,), [(int(options["vocabulary"]), features)] if sparse else []

    @classmethod
    def allot(cls, options, counts) -> dict[str, Any]:
        if not cls.trace((1,), options)[1]:
            return options
        others = {key: value for key, value in options.items() if key != "density"}
        return {**others, "nnz": next(counts)}

    @classmethod
    def regroup(cls, options, sizes) -> dict[str, Any]:
        if cls.trace((1,), options)[1]:
            next(sizes)  # each token has columns of its own
        return options

    @classmethod
    def trace_length(cls, shape, options, length) -> int:
        return shape[0]

    @property
    def features(self) -> int:
        """Numbers per token."""
        return self.table.shape[1]

    def plan(self, spec: Spec) -> Spec:
        if len(spec.shape) != 1 or spec.length is not None:
            raise ParameterError("input shape", spec.shape, "(length,), as the first layer")
        if self.positions is not None and spec.shape[0] > self.positions.shape[0]:
            expected = f"at most {self.positions.shape[0]} tokens, which have places"
            raise ParameterError("input shape", spec.shape, expected)
        return Spec((self.features,), length=spec.shape[0])

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        from sparsecpu.kernels.embedding import add_rows, sparse_rows

        tiles, _, lanes = x.shape
        shape = tiles, self.features, lanes
        y = ctx.workspace.array(self, "y", shape, self.table.data.dtype)
        tokens, places, table = x.reshape(-1), ctx.sequences.position, self.table
        if isinstance(table, SparseParameter):
            sparse_rows(tokens, table.pattern.indptr, table.pattern.indices, table.data, y)
        else:
            add_rows(tokens, table.values, y, False)
        if self.positions is not None:
            add_rows(places, self.positions.values, y, True)
        return y, (tokens, places)

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> None:
        from sparsecpu.kernels.embedding import sum_rows

        (tokens, places), table = saved, self.table
        if isinstance(table, SparseParameter):
            view = TableView(tokens, dy, self.vocabulary)
            view.at(table.pattern, table.grad)
            if ctx.observe is not None and not table.fixed:
                ctx.observe(table, view)
        else:
            sum_rows(tokens, dy, table.grad.reshape(table.shape))
        if self.positions is not None:
            sum_rows(places, dy, self.positions.grad.reshape(self.positions.shape))

    def parameters(self) -> dict[str, Parameter]:
        found: dict[str, Parameter] = {"table": self.table}
        if self.positions is not None:
            found["positions"] = self.positions
        return found

    def options(self) -> dict[str, Any]:
        found: dict[str, Any] = {"vocabulary": self.vocabulary, "features": self.features}
        found["positions"] = self.positions is not None
        if self.positions is not None:
            found["length"] = self.positions.shape[0]
        if isinstance(self.table, SparseParameter):
            found["nnz"] = self.table.nnz
        return found

    def describe(self) -> str:
        return f"embedding of {self.vocabulary} in {self.features}"


def _sparse_table(
    shape: tuple[int, int], nnz: int, rng: np.random.Generator, dtype: Any
) -> SparseParameter:
    """Draw a table on a pattern; outputs vary as much as those of a full one."""
    pattern = first_pattern(shape, nnz, rng, "random", 1)
    deviation = _DEVIATION / np.sqrt(pattern.density)
    return _as_table(SparseParameter(pattern, rng.normal(0.0, deviation, pattern.nnz), dtype))


def _as_table(table: SparseParameter) -> SparseParameter:
    table.spatial = True  # its gradient is no product of two arrays that could be kept
    return table


def _given_table(given: Parameter, own: SparseParameter) -> SparseParameter:
    """Return the table that a file gives, if it fits."""
    if not isinstance(given, SparseParameter) or (given.shape, given.nnz) != (own.shape, own.nnz):
        raise ParameterError("table", given, f"sparse, {own.nnz} numbers of shape {own.shape}")
    return _as_table(given)
