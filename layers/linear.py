"""A sparse linear layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Spec
from sparsecpu.layers.checked import vector
from sparsecpu.layers.described import options_of_weight
from sparsecpu.layers.full_form import FullForm
from sparsecpu.layers.linear_passes import LinearPasses
from sparsecpu.layers.required import require_bias, require_vector
from sparsecpu.registries.numbers import float_type, generator, truth_value, whole
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.sparse.densities import allocate
from sparsecpu.sparse.first_patterns import first_pattern
from sparsecpu.sparse.first_values import scaled_uniform
from sparsecpu.sparse.groups import checked_group, with_group
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern

#: How a layer computes: at its nonzeros, or as a full matrix that is written at every step.
FORMS = ("sparse", "dense")


class SparseLinear(LinearPasses):
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
        Add a bias.
    rng : numpy.random.Generator, optional
        Draws pattern and values; ``numpy.random.default_rng(0)`` by default.
    nnz : int, optional
        Weights to keep, instead of ``density``.
    pattern : str or Pattern
        How it is drawn, a name in ``sparse.first_patterns.PATTERNS``; or the pattern itself.
    group : {1, 2, 4, 8}
        So many neighbouring outputs share their inputs, which makes all products faster; see
        ``Pattern``. The number of weights is as near to the wanted one as whole groups come.
    gain : float
        Scale of the first values; see ``sparse.first_values.scaled_uniform``.
    fan : {"sparse", "dense"}
        Which fan-in scales the first values.
    fixed : bool
        Keep topology from changing the pattern.
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
    keeps_size = ("weight", "bias")

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
        group: int = 1,
        gain: float = math.sqrt(2.0),
        fan: str = "sparse",
        fixed: bool = False,
        dtype: Any = np.float32,
    ) -> None:
        for name, value in (("in_features", in_features), ("out_features", out_features)):
            whole(name, value, 1, 2**31 - 1)
        rng, dtype = generator(rng), float_type(dtype)
        shape = (int(out_features), int(in_features))
        if nnz is None:
            nnz = allocate([shape], density, "uniform")[0]
        pattern = first_pattern(shape, nnz, rng, pattern, group)
        values = scaled_uniform(pattern, rng, gain=gain, fan=fan, dtype=dtype)
        weight = SparseParameter(pattern, values, dtype)
        self._set(weight, np.zeros(shape[0]) if truth_value("bias", bias) else None)
        self.weight.fixed = fixed

    def _set(self, weight: SparseParameter, bias: Any) -> None:
        self.weight = weight
        self.bias = None if bias is None else Parameter(bias, weight.data.dtype)
        self.form, self.full = "sparse", FullForm(self)
        self.relu = self.gated = False  # ReLUs around it that it takes over
        self.needs_dx, self.of_tokens = True, False

    @classmethod
    def from_scipy(
        cls, matrix: Any, bias: Any = None, dtype: Any = np.float32, *, group: int = 1
    ) -> SparseLinear:
        """Return the layer with the weights of a SciPy sparse matrix.

        Parameters
        ----------
        matrix : scipy.sparse matrix or array, shape (out_features, in_features)
            The weights; stored zeros stay in the pattern.
        bias : array_like, shape (out_features,), optional
            The bias.
        dtype : dtype
            float32 or float64.
        group : {1, 2, 4, 8}
            So many neighbouring outputs share their inputs; those of a matrix in BSR with blocks of
            (group, 1) do so without being asked.

        Returns
        -------
        SparseLinear
            With copies of the arrays.

        Raises
        ------
        ParameterError
            If the bias does not fit.
        PatternError
            If rows do not share their columns.
        """
        return cls.from_parameters(SparseParameter.from_scipy(matrix, dtype, group=group), bias)

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
        if not isinstance(weight, SparseParameter):
            raise ParameterError("weight", weight, "a SparseParameter")
        if bias is not None:
            bias = vector("bias", bias, weight.shape[:1])
        layer = cls.__new__(cls)
        layer._set(weight, bias)
        return layer

    @classmethod
    def build(cls, shape: tuple[int, ...], options: dict[str, Any], **context: Any) -> Layer:
        given = context.get("parameters")
        if given is not None:
            bias = require_bias(given, options)
            layer = cls.from_parameters(given["weight"], None if bias is None else bias.data)
            layer.weight.fixed = bool(options.get("fixed", False))
            return layer
        options = dict(options)
        options["nnz"] = options.pop("nnz", None) or options["out_features"] * shape[0]
        pattern = context.get("pattern") or "random"
        return cls(
            shape[0], **options, rng=context.get("rng"), pattern=pattern, dtype=context["dtype"]
        )

    @classmethod
    def trace(cls, shape, options) -> tuple:
        out = int(options["out_features"])
        checked_group(options.get("group", 1))
        return (out,), [(out, shape[0])]

    @classmethod
    def allot(cls, options, counts) -> dict[str, Any]:
        return {**options, "nnz": next(counts)}

    @classmethod
    def regroup(cls, options, sizes) -> dict[str, Any]:
        return with_group(options, next(sizes))

    @property
    def in_features(self) -> int:
        """Number of inputs."""
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self.weight.shape[0]

    @property
    def has_two_forms(self) -> bool:
        return True

    @property
    def tile_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of a tile of inputs and of one of outputs, without the lanes."""
        return (self.in_features,), (self.out_features,)

    def plan(self, spec: Spec) -> Spec:
        if require_vector(spec, self) != self.in_features:
            raise ParameterError("input shape", spec.shape, f"({self.in_features},)")
        self.relu = self.gated = False
        self.needs_dx = spec.needs_gradient
        self.weight.uses, self.of_tokens = spec.length or 1, spec.length is not None
        return Spec((self.out_features,))

    def absorb_relu(self) -> bool:
        self.relu = True
        return True

    def gate_by_input(self) -> bool:
        self.gated = True
        return True

    def parameters(self) -> dict[str, Parameter]:
        found: dict[str, Parameter] = {"weight": self.weight}
        if self.bias is not None:
            found["bias"] = self.bias
        return found

    def options(self) -> dict[str, Any]:
        return {"out_features": self.out_features, **options_of_weight(self.weight, self.bias)}

    def describe(self) -> str:
        group = self.weight.pattern.group
        words = f"linear {self.in_features} -> {self.out_features}"
        return words + (f", group {group}" if group > 1 else "")
