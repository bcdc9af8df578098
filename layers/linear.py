"""A sparse linear layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Spec, like, require_vector, row_bytes
from sparsecpu.layers.full_form import FullForm
from sparsecpu.layers.linear_view import LinearView
from sparsecpu.sparse.densities import allocate
from sparsecpu.sparse.first_patterns import first_pattern
from sparsecpu.sparse.first_values import scaled_uniform
from sparsecpu.sparse.parameter import Parameter, SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.sparse.row_blocks import cut_rows
from sparsecpu.step.context import Context

#: Reading in 16 bits pays from so many lanes on, and from so many reads of each row on: writing the
#: copy costs about as much as 8 reads save.
_NARROW_LANES, _NARROW_READS = 64, 12


#: How a layer computes: at its nonzeros, or with a full matrix made of them at every step.
FORMS = ("sparse", "dense")


class SparseLinear(Layer):
    r"""A linear layer whose weights exist only at their nonzeros.

    Forward :math:`y = W x + b`; backward :math:`dx = W^T dy`, :math:`dW = (dy\,x^T)` at the
    nonzeros, :math:`db = \sum dy`. A large full pattern runs through BLAS on a view of its values.
    Where the context's precision is bf16 or fp16, and where it pays, x and dy are read from copies
    in 16 bits; weights, sums and everything that is written stay float32. dy is read as bf16 in
    both cases: small gradients would be lost in fp16.

    Parameters
    ----------
    in_features, out_features : int
        Shape of the weights is ``(out_features, in_features)``.
    density : float
        Fraction of the weights to keep, in (0, 1].
    bias : bool
        Whether to add a bias.
    rng : numpy.random.Generator, optional
        Draws pattern and values; ``numpy.random.default_rng(0)`` by default.
    nnz : int, optional
        Weights to keep, instead of ``density``.
    pattern : str or Pattern
        How the first pattern is drawn, a name in ``patterns.PATTERNS``; or the pattern itself.
    gain : float
        Scale of the first values; see ``initializers.scaled_uniform``.
    fan : {"sparse", "dense"}
        Which fan-in scales the first values.
    fixed : bool
        Whether topology leaves the pattern alone.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    weight : SparseParameter
        The weights.
    bias : Parameter or None
        The bias, shape (out_features,).
    form : {"sparse", "dense"}
        ``"dense"`` writes the weights into a full matrix at every step and lets BLAS do the rest,
        which pays at high densities; values, gradients and pattern stay in CSR. See
        ``Sequential.autotune``.

    Raises
    ------
    ParameterError
        If a size, the density or nnz is out of range.

    Notes
    -----
    Nikdan et al., SparseProp (2023), section 3, gives the three products at the nonzeros.
    """

    kind = "linear"

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        density: float = 0.1,
        bias: bool = True,
        rng: np.random.Generator | None = None,
        nnz: int | None = None,
        pattern: str | Pattern = "random",
        gain: float = math.sqrt(2.0),
        fan: str = "sparse",
        fixed: bool = False,
        dtype: Any = np.float32,
    ) -> None:
        for name, value in (("in_features", in_features), ("out_features", out_features)):
            if isinstance(value, bool) or int(value) != value or value < 1:
                raise ParameterError(name, value, "an integer of at least 1")
        rng = np.random.default_rng(0) if rng is None else rng
        shape = (int(out_features), int(in_features))
        if nnz is None:
            nnz = allocate([shape], density, "uniform")[0]
        pattern = first_pattern(shape, nnz, rng, pattern)
        values = scaled_uniform(pattern, rng, gain=gain, fan=fan, dtype=dtype)
        self._set(SparseParameter(pattern, values, dtype), np.zeros(shape[0]) if bias else None)
        self.weight.fixed = fixed

    def _set(self, weight: SparseParameter, bias: Any) -> None:
        self.weight = weight
        self.bias = None if bias is None else Parameter(bias, weight.data.dtype)
        self._relu = self._gated = False
        self._needs_dx = True
        self.form = "sparse"
        self._full = FullForm(self)

    @classmethod
    def from_scipy(cls, matrix: Any, bias: Any = None, dtype: Any = np.float32) -> SparseLinear:
        """Return the layer with the weights of a SciPy sparse matrix.

        Parameters
        ----------
        matrix : scipy.sparse matrix or array, shape (out_features, in_features)
            The weights; stored zeros stay in the pattern.
        bias : array_like, shape (out_features,), optional
            The bias.
        dtype : dtype
            float32 or float64.

        Returns
        -------
        SparseLinear
            With copies of the arrays.

        Raises
        ------
        ParameterError
            If the bias does not fit.
        """
        return cls.from_parameters(SparseParameter.from_scipy(matrix, dtype), bias)

    @classmethod
    def from_parameters(cls, weight: SparseParameter, bias: Any = None) -> SparseLinear:
        """Return the layer with these weights.

        Parameters
        ----------
        weight : SparseParameter
            The weights (not copied).
        bias : array_like, shape (out_features,), optional
            The bias (copied).

        Returns
        -------
        SparseLinear
            The layer.

        Raises
        ------
        ParameterError
            If the bias does not fit.
        """
        if bias is not None and np.shape(bias) != (weight.shape[0],):
            raise ParameterError("bias", np.shape(bias), f"shape ({weight.shape[0]},)")
        layer = cls.__new__(cls)
        layer._set(weight, bias)
        return layer

    @classmethod
    def build(cls, shape: tuple[int, ...], options: dict[str, Any], **context: Any) -> Layer:
        """Make the layer of a description, or with the parameters that ``context`` gives.

        Parameters
        ----------
        shape : tuple of ints
            Of one sample of its input.
        options : dict
            ``out_features``, ``nnz`` (None for all), ``bias``, ``gain``, ``fan``, ``fixed``.
        **context : object
            ``rng``, ``dtype``, ``parameters``, ``pattern``.

        Returns
        -------
        Layer
            The layer.
        """
        given = context.get("parameters")
        if given is not None:
            bias = given.get("bias")
            layer = cls.from_parameters(given["weight"], None if bias is None else bias.data)
            layer.weight.fixed = bool(options.get("fixed", False))
            return layer
        options = dict(options)
        options["nnz"] = options.pop("nnz", None) or options["out_features"] * shape[0]
        drawn = {"rng": context.get("rng"), "pattern": context.get("pattern") or "random"}
        return cls(shape[0], **options, **drawn, dtype=context["dtype"])

    @classmethod
    def trace(cls, shape, options) -> tuple:
        out = int(options["out_features"])
        return (out,), [(out, shape[0])]

    @classmethod
    def allot(cls, options, counts) -> dict[str, Any]:
        return {**options, "nnz": next(counts)}

    @property
    def in_features(self) -> int:
        """Number of inputs."""
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self.weight.shape[0]

    def plan(self, spec: Spec) -> Spec:
        """Check the input; see ``Layer.plan``.

        Parameters
        ----------
        spec : Spec
            The input.

        Returns
        -------
        Spec
            The output.

        Raises
        ------
        ParameterError
            If the number of inputs differs.
        """
        if require_vector(spec, self) != self.in_features:
            raise ParameterError("input shape", spec.shape, f"({self.in_features},)")
        self._relu = self._gated = False
        self._needs_dx = spec.needs_gradient
        return Spec((self.out_features,), needs_gradient=True)

    def absorb_relu(self) -> bool:
        """Apply a ReLU while storing y.

        Returns
        -------
        bool
            True.
        """
        self._relu = True
        return True

    def gate_by_input(self) -> bool:
        """Zero dx where x is not positive, while storing it.

        Returns
        -------
        bool
            True.
        """
        self._gated = True
        return True

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Compute ``y = W x + b``; see ``Layer.forward``.

        Parameters
        ----------
        x : ndarray, shape (tiles, in_features, lanes)
            The input.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        y : ndarray, shape (tiles, out_features, lanes)
            The output.
        saved : tuple of ndarray
            ``x``, and what was read of it: itself or its copy in 16 bits.
        """
        from sparsecpu.kernels.linear import PLAIN, RELU, matmul_kernel

        tiles, _, lanes = x.shape
        weight, pattern = self.weight, self.weight.pattern
        shape = tiles, self.out_features, lanes
        if ctx.in_turn and ctx.predicts:
            y = ctx.workspace.other(x, shape, x.dtype)
        else:
            y = ctx.workspace.array(self, "y", shape, x.dtype)
        if pattern.suits_blas or self.form == "dense":
            np.matmul(self._full.matrix(ctx), x, out=y)
            if self.bias is not None:
                np.add(y, self.bias.data[:, None], out=y)
            if self._relu:
                np.maximum(y, 0, out=y)
            return y, (x, x)
        bias = weight.data[:0] if self.bias is None else self.bias.data
        if lanes == 1:
            from sparsecpu.kernels.linear.row_dots import row_dots

            row_dots(
                pattern.indptr, pattern.indices, weight.data, x[..., 0], bias, y[..., 0],
                self._relu, pattern.chunks,
            )  # fmt: skip
            return y, (x, x)
        finish = RELU if self._relu else PLAIN
        read = self._read(x, "x", ctx.precision, ctx)
        matmul_kernel(lanes)(
            *pattern.blocks(row_bytes(read)), pattern.indices, weight.data, read, bias, y, y,
            finish, pattern.spans(row_bytes(read)),
        )  # fmt: skip
        return y, (x, read)

    def _read(self, x: np.ndarray, name: str, precision: str, ctx: Context) -> np.ndarray:
        """Return ``x`` as the kernels are to read it: in 16 bits where that pays."""
        often = self.weight.nnz >= _NARROW_READS * x.shape[1]
        if ctx.precision == "fp32" or x.shape[2] < _NARROW_LANES or not often:
            return x
        return ctx.narrow((self, name), x, precision)

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray:
        """Compute ``dW``, ``db`` and ``dx``; see ``Layer.backward``.

        Parameters
        ----------
        dy : ndarray, shape (tiles, out_features, lanes)
            Gradient of the output.
        saved : tuple of ndarray
            The input, and what was read of it.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        ndarray, shape (tiles, in_features, lanes)
            Gradient of the input.
        """
        from sparsecpu.kernels.linear import BACK, GATED, gradient_kernel, matmul_kernel

        (x, read), lanes = saved, dy.shape[2]
        weight, pattern = self.weight, self.weight.pattern
        if ctx.observe is not None and not self.weight.fixed:
            ctx.observe(weight, LinearView(x, dy))
        if pattern.suits_blas or self.form == "dense":
            return self._backward_full(dy, x, ctx)
        if ctx.lean:
            return self._backward_lean(dy, saved, ctx)
        nothing = weight.data[:0]
        dbias = nothing if self.bias is None else self.bias.grad
        gradient_kernel(lanes)(
            *pattern.blocks(row_bytes(read)), pattern.indices, read, dy, weight.grad, dbias,
            pattern.spans(row_bytes(read)),
        )  # fmt: skip
        if not self._needs_dx:
            return dy
        dx = self._place_of_dx(x, dy, ctx)
        finish = GATED if self._gated else BACK
        turned, values = pattern.transposed, weight.transposed_data
        dy = self._read(dy, "dy", "bf16", ctx)
        matmul_kernel(lanes)(
            *turned.blocks(row_bytes(dy)), turned.indices, values, dy, nothing, x, dx, finish,
            turned.spans(row_bytes(dy)),
        )  # fmt: skip
        return dx

    def _place_of_dx(self, x: np.ndarray, dy: np.ndarray, ctx: Context) -> np.ndarray:
        if ctx.in_turn:
            return ctx.workspace.other(dy, x.shape, x.dtype)
        return like(x, self, "dx", ctx)

    def _backward_lean(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray:
        """Compute dx, then hand out the gradients of one run of rows after the other."""
        from sparsecpu.kernels.linear import gradient_kernel
        from sparsecpu.kernels.linear.scatter import scatter_kernel
        from sparsecpu.kernels.machine.threads import current_threads

        (x, read), lanes, dx = saved, dy.shape[2], dy
        weight, pattern = self.weight, self.weight.pattern
        if self._needs_dx:  # before the weights change
            dx = self._place_of_dx(x, dy, ctx)
            parts = -(-current_threads() // len(dy))
            scatter_kernel(lanes)(
                pattern.indptr, pattern.indices, weight.data, dy, x, dx, self._gated, parts
            )
        if ctx.apply is None:
            return dx
        for rows, places in pattern.slabs():
            bounds = pattern.indptr[rows.start : rows.stop + 1] - places.start
            bounds.setflags(write=False)  # as all index arrays are, so that kernels compile once
            dbias = weight.data[:0] if self.bias is None else self.bias.grad[rows]
            found = _run_gradient(
                gradient_kernel(lanes), bounds, pattern.indices[places], read, dy[:, rows], dbias,
                ctx,
            )  # fmt: skip
            ctx.apply(weight, places, found)
        return dx

    def _backward_full(self, dy: np.ndarray, x: np.ndarray, ctx: Context) -> np.ndarray:
        """Compute the same with BLAS, for a full pattern or in dense form."""
        matrix, dw = self._full.matrix(ctx, renew=False), self._full.gradient(ctx)
        np.matmul(dy[0], x[0].T, out=dw)
        for tile in range(1, len(x)):
            part = ctx.workspace.array(self, "dw", dw.shape, dw.dtype)
            np.matmul(dy[tile], x[tile].T, out=part)
            np.add(dw, part, out=dw)
        self._full.keep(dw)
        if self.bias is not None:
            np.sum(dy, axis=(0, 2), out=self.bias.grad)
        if not self._needs_dx:
            return dy
        dx = self._place_of_dx(x, dy, ctx)
        np.matmul(matrix.T, dy, out=dx)
        if self._gated:
            gate = ctx.workspace.array(self, "gate", x.shape, bool)
            np.greater(x, 0, out=gate)
            with np.errstate(invalid="ignore"):  # infinity times 0: the trainer says what happened
                np.multiply(dx, gate, out=dx)  # many times faster than a masked copy
        return dx

    def parameters(self) -> dict[str, Parameter]:
        """Return ``weight`` and, where there is one, ``bias``."""
        found: dict[str, Parameter] = {"weight": self.weight}
        if self.bias is not None:
            found["bias"] = self.bias
        return found

    def describe(self) -> str:
        """Return the sizes."""
        return f"linear {self.in_features} -> {self.out_features}"


def _run_gradient(gradient, bounds, indices, x, dy, dbias, ctx) -> np.ndarray:
    """Return the gradient of a run of rows in the workspace, and write that of its biases.

    Tile by tile, for a run of rows of one tile is contiguous; sums are the same as of all at once.
    """
    chunks, kind = cut_rows(bounds), dbias.dtype
    total = ctx.workspace.array("lean", "total", (len(indices),), kind)
    gradient(bounds[None, :-1], bounds[None, 1:], indices, x[:1], dy[:1], total, dbias, chunks)
    for tile in range(1, len(x)):
        part = ctx.workspace.array("lean", "part", (len(indices),), kind)
        more = ctx.workspace.array("lean", "bias", dbias.shape, kind)
        here = slice(tile, tile + 1)
        gradient(
            bounds[None, :-1], bounds[None, 1:], indices, x[here], dy[here], part, more, chunks
        )
        np.add(total, part, out=total)
        np.add(dbias, more, out=dbias)
    return total
