"""A sparse convolution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Spec
from sparsecpu.layers.described import options_of_weight
from sparsecpu.layers.images.dense_convolution import DenseConvolution
from sparsecpu.layers.images.geometry import Geometry, described_sizes, filter_sizes
from sparsecpu.layers.images.gradient_view import FilterView
from sparsecpu.layers.images.planes import Planes, as_planes
from sparsecpu.layers.images.strided_points import sparse_products
from sparsecpu.layers.required import require_bias, require_images
from sparsecpu.registries.numbers import float_type, generator, truth_value, whole
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.sparse.densities import allocate
from sparsecpu.sparse.first_patterns import first_pattern
from sparsecpu.sparse.first_values import scaled_uniform
from sparsecpu.sparse.groups import checked_group, with_group
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context


class SparseConv2d(Layer):
    r"""A convolution whose weights exist only at their nonzeros.

    Forward :math:`y_{o} = b_o + \sum_{(c,p,q)} W_{o,cpq}\, x_c[s i + p - P, s j + q - P]`; backward
    the transposed convolution of dy, and dW at the nonzeros. No im2col: each nonzero reads its
    pixels where they are. A normalisation and a ReLU that are pending on the input are applied
    while rows are read; see ``sparsecpu.layers.images.planes``.

    Where the context's precision is bf16 or fp16, and where it pays, rows are held in 16 bits while
    they are read, those of dy as bf16 in either case; weights, sums and all that is written stay
    float32.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels; both multiples of ``groups``.
    kernel_size : int or pair of ints
        Height and width of the filters.
    stride, padding : int or pair of ints
        Step between outputs, and zeros around the images, by rows and columns.
    groups : int
        Groups of channels that do not mix; ``in_channels`` of them for depthwise.
    density : float
        Fraction of the weights to keep, in (0, 1].
    bias : bool
        True to add a bias.
    rng : numpy.random.Generator, optional
        Draws pattern and values; ``numpy.random.default_rng(0)`` by default.
    nnz : int, optional
        Weights to keep, instead of ``density``.
    pattern : str or Pattern
        How it is drawn, a name in ``sparse.first_patterns.PATTERNS``; or the pattern itself.
    group : {1, 2, 4, 8}
        So many neighbouring filters share their columns, which makes all products faster; see
        ``Pattern``. Not to be confused with ``groups``, which are of channels.
    gain : float
        Scale of the first values; see ``sparse.first_values.scaled_uniform``.
    fan : {"sparse", "dense"}
        Which fan-in scales the first values.
    fixed : bool
        True if topology leaves the pattern alone.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    weight : SparseParameter
        Rows are output channels; columns (input channel of the group, ky, kx), flattened.
    bias : Parameter or None
        The bias, shape (out_channels,).
    sparse : SparseConvolution
        The three products at the nonzeros.
    form : {"sparse", "dense"}
        ``"dense"``, without groups, makes full filters at every step and leaves the rest to BLAS;
        see ``Sequential.autotune``.

    Raises
    ------
    ParameterError
        If a size, the density or nnz is out of range.

    Notes
    -----
    Nikdan et al., SparseProp (2023), section 3.2, gives the three products at the nonzeros.
    """

    kind = "conv2d"
    keeps_size = ("weight", "bias")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        *,
        stride: Any = 1,
        padding: Any = 0,
        groups: int = 1,
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
        self._set_sizes(
            filter_sizes(in_channels, out_channels, kernel_size, stride, padding, groups)
        )
        rng, dtype = generator(rng), float_type(dtype)
        shape = self._weight_shape
        whole("weights per filter", shape[1], 1, 2**31 - 1)
        if nnz is None:
            nnz = allocate([shape], density, "uniform")[0]
        pattern = first_pattern(shape, nnz, rng, pattern, group)
        values = scaled_uniform(pattern, rng, gain=gain, fan=fan, dtype=dtype)
        weight = SparseParameter(pattern, values, dtype)
        self._set(weight, np.zeros(shape[0]) if truth_value("bias", bias) else None)
        self.weight.fixed = fixed

    def _set_sizes(self, sizes: dict[str, Any]) -> None:
        self._sizes = sizes
        self.in_channels, self.out_channels = sizes["channels"], sizes["filters"]
        self.kernel, self.stride = sizes["kernel"], sizes["stride"]
        self.padding, self.groups = sizes["padding"], sizes["groups"]
        self._geometry: Geometry | None = None

    @property
    def _weight_shape(self) -> tuple[int, int]:
        return self.out_channels, self.in_channels // self.groups * math.prod(self.kernel)

    def _set(self, weight: SparseParameter, bias: Any) -> None:
        self.weight = weight
        self.weight.spatial = True
        self.bias = None if bias is None else Parameter(bias, weight.data.dtype)
        self.sparse, self._dense = sparse_products(self), DenseConvolution(self)
        self.form = "sparse"
        self._stand_alone()
        self.needs_dx = True

    def _stand_alone(self) -> None:
        """Do nothing for the neighbours until the chain says so."""
        self.applies_relu = self.gates_dx = self.sums_output = self.lends_output = False

    @classmethod
    def build(cls, shape: tuple[int, ...], options: dict[str, Any], **context: Any) -> Layer:
        if len(shape) != 3:
            raise ParameterError("input shape", shape, "(channels, height, width)")
        given = context.get("parameters")
        if given is not None:
            return cls._with(given, shape[0], options)
        options = dict(options)
        nnz = options.pop("nnz", None)
        options["density" if nnz is None else "nnz"] = 1.0 if nnz is None else nnz
        pattern = context.get("pattern") or "random"
        return cls(
            shape[0], **options, rng=context.get("rng"), pattern=pattern, dtype=context["dtype"]
        )

    @classmethod
    def _with(cls, given: Any, in_channels: int, options: dict[str, Any]) -> SparseConv2d:
        """Return the layer with parameters that a file gives, if they fit."""
        layer = cls.__new__(cls)
        layer._set_sizes(described_sizes(in_channels, options))
        weight, bias = given["weight"], require_bias(given, options)
        wanted = layer._weight_shape
        if weight.shape != wanted or (bias is not None and bias.data.shape != wanted[:1]):
            raise ParameterError("weight", weight.shape, f"shape {wanted}, and a bias that fits")
        layer._set(weight, None if bias is None else bias.data)
        layer.weight.fixed = bool(options.get("fixed", False))
        return layer

    @classmethod
    def trace(cls, shape, options) -> tuple:
        sizes = described_sizes(shape[0], options)
        checked_group(options.get("group", 1))
        geometry = Geometry(**sizes, size=shape[1:])
        weights = (geometry.filters, geometry.channels // geometry.groups, *geometry.kernel)
        return (geometry.filters, *geometry.out_size), [weights]

    @classmethod
    def allot(cls, options, counts) -> dict[str, Any]:
        return {**options, "nnz": next(counts)}

    @classmethod
    def regroup(cls, options, sizes) -> dict[str, Any]:
        size = next(sizes)  # filters that see other channels have nothing to share
        return with_group(options, 1 if options.get("groups", 1) > 1 else size)

    def plan(self, spec: Spec) -> Spec:
        channels, rows, columns = require_images(spec, self)
        if channels != self.in_channels:
            expected = f"({self.in_channels}, height, width)"
            raise ParameterError("input shape", spec.shape, expected)
        self._geometry = Geometry(**self._sizes, size=(rows, columns))
        self._stand_alone()
        self.needs_dx = spec.needs_gradient
        self.sparse.plan()
        height, width = self._geometry.out_size
        self.weight.uses = height * width
        return Spec((self.out_channels, height, width))

    def geometry(self) -> Geometry:
        """Return the sizes, for the images that were planned."""
        if self._geometry is None:
            raise ParameterError("image size", None, "a size from ``plan``, called first")
        return self._geometry

    @property
    def has_two_forms(self) -> bool:
        return self.groups == 1

    @property
    def filter_group(self) -> int:
        return self.weight.pattern.group

    @property
    def tile_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of a tile of inputs and of one of outputs, without the lanes."""
        (height, width), (out_height, out_width) = self.geometry().size, self.geometry().out_size
        return (height, self.in_channels, width), (out_height, self.out_channels, out_width)

    @property
    def form(self) -> str:
        """``"sparse"``, or ``"dense"`` to compute with the full matrix."""
        return self._form

    @form.setter
    def form(self, form: str) -> None:
        self._form = form
        self._products = self._dense if form == "dense" else self.sparse

    def absorb_relu(self) -> bool:
        self.applies_relu = True
        return True

    def gate_by_input(self) -> bool:
        self.gates_dx = True
        return True

    def sum_moments(self) -> bool:
        self.sums_output = True
        return True

    def lend_output(self) -> None:
        self.lends_output = True

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        x = as_planes(x)
        return self._products.forward(x, ctx), x

    def forward_plus(self, x, ctx, other):
        x = as_planes(x)
        return self._products.forward(x, ctx, as_planes(other)), x

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        return self._backward(dy, saved, ctx, None)

    def backward_plus(self, dy, saved, ctx, other):
        return self._backward(dy, saved, ctx, as_planes(other))

    def _backward(self, dy: Any, x: Planes, ctx: Context, plus: Planes | None) -> Planes | None:
        dy = as_planes(dy)
        if ctx.observe is not None and not self.weight.fixed:
            ctx.observe(self.weight, FilterView(self, x, dy, ctx))
        return self._products.backward(x, dy, ctx, plus)

    def parameters(self) -> dict[str, Parameter]:
        found: dict[str, Parameter] = {"weight": self.weight}
        if self.bias is not None:
            found["bias"] = self.bias
        return found

    def options(self) -> dict[str, Any]:
        return {
            "out_channels": self.out_channels, "kernel_size": list(self.kernel),
            "stride": list(self.stride), "padding": list(self.padding), "groups": self.groups,
            **options_of_weight(self.weight, self.bias),
        }  # fmt: skip

    def describe(self) -> str:
        kernel, stride = "x".join(map(str, self.kernel)), "x".join(map(str, self.stride))
        words = f"conv {self.in_channels} -> {self.out_channels}, {kernel}"
        words += f", stride {stride}" if max(self.stride) > 1 else ""
        return words + (f", {self.groups} groups" if self.groups > 1 else "")
