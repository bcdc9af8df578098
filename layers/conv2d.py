"""A sparse convolution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Spec, require_images
from sparsecpu.layers.images.dense_convolution import DenseConvolution
from sparsecpu.layers.images.gradient_view import FilterView
from sparsecpu.layers.images.planes import Planes, as_planes
from sparsecpu.layers.images.sparse_convolution import SparseConvolution
from sparsecpu.layers.images.taps import Geometry
from sparsecpu.sparse.densities import allocate
from sparsecpu.sparse.first_patterns import first_pattern
from sparsecpu.sparse.first_values import scaled_uniform
from sparsecpu.sparse.parameter import Parameter, SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context


def pair(name: str, value: Any, least: int) -> tuple[int, int]:
    """Return a size as height and width.

    Parameters
    ----------
    name : str
        What the user calls it.
    value : int or pair of ints
        The size.
    least : int
        The least that is allowed.

    Returns
    -------
    tuple of two ints
        Height and width.

    Raises
    ------
    ParameterError
        If it is not one.
    """
    try:
        sizes = (value, value) if np.ndim(value) == 0 else tuple(value)
        height, width = (int(n) for n in sizes)
        good = (height, width) == tuple(sizes) and min(height, width) >= least
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ParameterError(name, value, f"an integer of at least {least}, or a pair of them")
    return height, width


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
        Of rows and columns.
    groups : int
        Groups of channels that do not mix; ``in_channels`` of them for depthwise.
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
        Rows are output channels; columns (input channel of the group, ky, kx), flattened.
    bias : Parameter or None
        The bias, shape (out_channels,).
    sparse : SparseConvolution
        The three products at the nonzeros.
    form : {"sparse", "dense"}
        ``"dense"``, without groups, makes full filters at every step and lets BLAS do the rest; see
        ``Sequential.autotune``.

    Raises
    ------
    ParameterError
        If a size, the density or nnz is out of range.

    Notes
    -----
    Nikdan et al., SparseProp (2023), section 3.2, gives the three products at the nonzeros.
    """

    kind = "conv2d"

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
        gain: float = math.sqrt(2.0),
        fan: str = "sparse",
        fixed: bool = False,
        dtype: Any = np.float32,
    ) -> None:
        self._set_sizes(in_channels, out_channels, kernel_size, stride, padding, groups)
        rng = np.random.default_rng(0) if rng is None else rng
        shape = (self.out_channels, self.in_channels // self.groups * math.prod(self.kernel))
        if nnz is None:
            nnz = allocate([shape], density, "uniform")[0]
        pattern = first_pattern(shape, nnz, rng, pattern)
        values = scaled_uniform(pattern, rng, gain=gain, fan=fan, dtype=dtype)
        self._set(SparseParameter(pattern, values, dtype), np.zeros(shape[0]) if bias else None)
        self.weight.fixed = fixed

    def _set_sizes(self, in_channels, out_channels, kernel_size, stride, padding, groups) -> None:
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels)):
            if isinstance(value, bool) or int(value) != value or value < 1:
                raise ParameterError(name, value, "an integer of at least 1")
        if int(groups) != groups or groups < 1 or in_channels % groups or out_channels % groups:
            expected = f"a divisor of {in_channels} and of {out_channels} channels"
            raise ParameterError("groups", groups, expected)
        self.in_channels, self.out_channels = int(in_channels), int(out_channels)
        self.kernel = pair("kernel_size", kernel_size, 1)
        self.stride, self.padding = pair("stride", stride, 1), pair("padding", padding, 0)
        self.groups = int(groups)

    def _set(self, weight: SparseParameter, bias: Any) -> None:
        self.weight = weight
        self.weight.spatial = True
        self.bias = None if bias is None else Parameter(bias, weight.data.dtype)
        self._relu = self._gated = self._moments = False
        self._needs_dx = True
        self._size: tuple[int, ...] = (0, 0)
        self.form = "sparse"
        self.sparse, self._dense = SparseConvolution(self), DenseConvolution(self)

    @classmethod
    def build(cls, shape: tuple[int, ...], options: dict[str, Any], **context: Any) -> Layer:
        """Make the layer of a description, or with the parameters that ``context`` gives.

        Parameters
        ----------
        shape : tuple of ints
            Of one sample of its input.
        options : dict
            ``out_channels``, ``kernel_size``, ``stride``, ``padding``, ``groups``, ``nnz`` (None
            for all), ``bias``, ``gain``, ``fan``, ``fixed``.
        **context : object
            ``rng``, ``dtype``, ``parameters``, ``pattern``.

        Returns
        -------
        Layer
            The layer.

        Raises
        ------
        ParameterError
            If parameters that are given do not fit.
        """
        if len(shape) != 3:
            raise ParameterError("input shape", shape, "(channels, height, width)")
        options = dict(options)
        nnz, given = options.pop("nnz", None), context.get("parameters")
        if given is None:
            options["density" if nnz is None else "nnz"] = 1.0 if nnz is None else nnz
            drawn = {"rng": context.get("rng"), "pattern": context.get("pattern") or "random"}
            return cls(shape[0], **options, **drawn, dtype=context["dtype"])
        layer = cls.__new__(cls)
        layer._set_sizes(
            shape[0], options["out_channels"], options["kernel_size"], options.get("stride", 1),
            options.get("padding", 0), options.get("groups", 1),
        )  # fmt: skip
        weight, bias = given["weight"], given.get("bias")
        wanted = layer.out_channels, shape[0] // layer.groups * math.prod(layer.kernel)
        if weight.shape != wanted or (bias is not None and bias.data.shape != wanted[:1]):
            raise ParameterError("weight", weight.shape, f"shape {wanted}, and a bias that fits")
        layer._set(weight, None if bias is None else bias.data)
        layer.weight.fixed = bool(options.get("fixed", False))
        return layer

    @classmethod
    def trace(cls, shape, options) -> tuple:
        kernel, groups = pair("kernel_size", options["kernel_size"], 1), options.get("groups", 1)
        stride = pair("stride", options.get("stride", 1), 1)
        padding = pair("padding", options.get("padding", 0), 0)
        out = int(options["out_channels"])
        size = Geometry(shape[0], out, kernel, stride, padding, groups, shape[1:]).out_size
        return (out, *size), [(out, shape[0] // groups, *kernel)]

    @classmethod
    def allot(cls, options, counts) -> dict[str, Any]:
        return {**options, "nnz": next(counts)}

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
            If it is not images of ``in_channels``, or they are smaller than the filters.
        """
        if require_images(spec, self)[0] != self.in_channels:
            expected = f"({self.in_channels}, height, width)"
            raise ParameterError("input shape", spec.shape, expected)
        self._relu = self._gated = self._moments = False
        self._needs_dx = spec.needs_gradient
        self._size = spec.shape[1:]
        self.sparse.forget()
        height, width = self.geometry().out_size
        self.weight.uses = height * width
        return Spec((self.out_channels, height, width), needs_gradient=True)

    def geometry(self) -> Geometry:
        """Return the sizes, for the images that were planned."""
        return Geometry(
            self.in_channels, self.out_channels, self.kernel, self.stride, self.padding,
            self.groups, self._size,
        )  # fmt: skip

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

    def sum_moments(self) -> bool:
        """Sum y and its square in passing, for the normalisation behind.

        Returns
        -------
        bool
            True.
        """
        self._moments = True
        return True

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        """Compute ``y = W * x + b``; see ``Layer.forward``.

        Parameters
        ----------
        x : Planes or ndarray, shape (tiles, height, in_channels, width, lanes)
            The input.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        y : Planes
            The output.
        saved : Planes
            ``x``.
        """
        x = as_planes(x)
        return self._computed.forward(x, ctx), x

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        """Compute ``dW``, ``db`` and ``dx``; see ``Layer.backward``.

        Parameters
        ----------
        dy : Planes or ndarray
            Gradient of the output.
        saved : Planes
            The input.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        Planes
            Gradient of the input.
        """
        x, dy = saved, as_planes(dy)
        if ctx.observe is not None and not self.weight.fixed:
            ctx.observe(self.weight, FilterView(self, x, dy, ctx))
        if self.form == "sparse":
            return self.sparse.backward(x, dy, ctx)
        self.filter_gradient(x, dy, ctx)
        return self.input_gradient(x, dy, ctx) if self._needs_dx else dy

    def filter_gradient(self, x: Planes, dy: Planes, ctx: Context) -> None:
        """Compute ``dW`` and ``db``.

        Parameters
        ----------
        x, dy : Planes
            The input and the gradient of the output.
        ctx : Context
            Memory.
        """
        self._computed.filter_gradient(x, dy, ctx)

    def input_gradient(self, x: Planes, dy: Planes, ctx: Context) -> Planes:
        """Compute ``dx``.

        Parameters
        ----------
        x, dy : Planes
            The input and the gradient of the output.
        ctx : Context
            Memory.

        Returns
        -------
        Planes
            ``dx``, with the sums that a normalisation before it asks for.
        """
        return self._computed.input_gradient(x, dy, ctx)

    @property
    def _computed(self) -> SparseConvolution | DenseConvolution:
        return self._dense if self.form == "dense" else self.sparse

    def parameters(self) -> dict[str, Parameter]:
        """Return ``weight`` and, where there is one, ``bias``."""
        found: dict[str, Parameter] = {"weight": self.weight}
        if self.bias is not None:
            found["bias"] = self.bias
        return found

    def describe(self) -> str:
        """Return the sizes."""
        kernel, stride = "x".join(map(str, self.kernel)), "x".join(map(str, self.stride))
        words = f"conv {self.in_channels} -> {self.out_channels}, {kernel}"
        words += f", stride {stride}" if max(self.stride) > 1 else ""
        return words + (f", {self.groups} groups" if self.groups > 1 else "")
