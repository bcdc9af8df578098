"""Residual connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import KINDS, Layer, Shape, Spec, require_images
from sparsecpu.layers.chain import Chain, build_layers, trace_layers
from sparsecpu.layers.images.planes import as_planes, blend, solid
from sparsecpu.step.context import Context


class Residual(Layer):
    """The sum of a branch and a shortcut: ``y = branch(x) + shortcut(x)``.

    Post-activation blocks have their ReLU behind it; pre-activation ones begin their branch with
    normalisation and ReLU, or stand behind them where the shortcut is to see these too.

    Parameters
    ----------
    branch : iterable of Layer
        In order.
    shortcut : iterable of Layer
        In order; none for the identity.

    Notes
    -----
    He et al., Deep residual learning (2016); Identity mappings in deep residual networks (2016).
    """

    kind = "residual"

    def __init__(self, branch: Iterable[Layer], shortcut: Iterable[Layer] = ()) -> None:
        self.branch, self.shortcut = Chain(branch), Chain(shortcut)
        self._relu = self._moments = self._gated = False

    @classmethod
    def build(cls, shape: Shape, options: dict[str, Any], **context: Any) -> Layer:
        """Make the layer of a description.

        Parameters
        ----------
        shape : tuple of ints
            Of one sample of its input.
        options : dict
            ``branch`` and ``shortcut``, each a list of layers: ``kind`` and options.
        **context : object
            ``rng``, ``dtype``, ``parameters``.

        Returns
        -------
        Layer
            The layer.
        """
        given = context.pop("parameters", None)
        return cls(**{
            name: build_layers(options.get(name, ()), shape, name, given, **context)
            for name in ("branch", "shortcut")
        })  # fmt: skip

    @classmethod
    def trace(cls, shape, options) -> tuple:
        long, short = (
            trace_layers(options.get(name, ()), shape) for name in ("branch", "shortcut")
        )
        _check(long[0], short[0])
        return long[0], long[1] + short[1]

    @classmethod
    def allot(cls, options: dict[str, Any], counts: Iterator[int]) -> dict[str, Any]:
        return {
            name: [KINDS[entry["kind"]].allot(entry, counts) for entry in options.get(name, ())]
            for name in ("branch", "shortcut")
        }

    def plan(self, spec: Spec) -> Spec:
        """Plan both ways; see ``Layer.plan``.

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
            If the shapes of branch and shortcut differ.
        """
        self._relu = self._moments = self._gated = False
        out, short = self.branch.plan(spec), self.shortcut.plan(spec)
        _check(out.shape, short.shape)
        return Spec(out.shape, spec.needs_gradient or out.needs_gradient)

    @property
    def reads_moments(self) -> bool:
        """Whether one of the ways does."""
        return self.branch.reads_moments or self.shortcut.reads_moments

    def absorb_relu(self) -> bool:
        """Apply a ReLU while storing the sum of images.

        Returns
        -------
        bool
            True.
        """
        self._relu = True
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

    def gate_by_input(self) -> bool:
        """Zero dx where x is not positive, while adding both ways' gradients.

        Returns
        -------
        bool
            True.
        """
        self._gated = True
        return True

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        """Add both ways; see ``Layer.forward``.

        Parameters
        ----------
        x : Planes or ndarray, shape (tiles, height, channels, width, lanes)
            The input.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        y : Planes
            The output.
        saved : tuple
            The input, and what both ways saved.
        """
        x = as_planes(x)
        long, kept_long = self.branch.forward(x, ctx)
        short, kept_short = self.shortcut.forward(x, ctx)
        sums = 1 if self._moments and ctx.train else 0
        y = blend(long, short, self, "y", ctx, relu=self._relu, sums=sums)
        return y, (x, kept_long, kept_short)

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        """Add the gradients of both ways; see ``Layer.backward``.

        Parameters
        ----------
        dy : Planes or ndarray
            Gradient of the output.
        saved : tuple
            From ``forward``.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        Planes
            Gradient of the input.
        """
        x, kept_long, kept_short = saved
        long = self.branch.backward(dy, kept_long, ctx)
        short = self.shortcut.backward(dy, kept_short, ctx)
        gate = x.gate() if self._gated else None
        sums = 2 if self._gated and x.a is not None else 0
        return blend(long, short, self, "dx", ctx, gate=gate, sums=sums, lend=True)

    def children(self) -> dict[str, Layer]:
        return {"branch": self.branch, "shortcut": self.shortcut}

    def describe(self) -> str:
        """Return how long the ways are."""
        long, short = len(self.branch.layers), len(self.shortcut.layers)
        return f"residual, {long} layers" + (f" + {short}" if short else "")


class Subsample(Layer):
    """Every ``stride``-th pixel, with channels of zeros added: a shortcut without weights.

    Parameters
    ----------
    channels : int
        Of the output; at least as many as come in.
    stride : int
        Of rows and columns.

    Notes
    -----
    Option A of He et al. (2016), section 3.3.
    """

    kind = "subsample"

    def __init__(self, channels: int, stride: int = 2) -> None:
        self.channels, self.stride = int(channels), int(stride)

    @classmethod
    def trace(cls, shape, options) -> tuple:
        stride = int(options.get("stride", 2))
        return (int(options["channels"]), *(-(-n // stride) for n in shape[1:])), []

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
            If more channels come in than go out.
        """
        if require_images(spec, self)[0] > self.channels:
            raise ParameterError("channels", self.channels, f"at least {spec.shape[0]}")
        options = {"channels": self.channels, "stride": self.stride}
        return Spec(self.trace(spec.shape, options)[0], spec.needs_gradient)

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        """Pick the pixels; see ``Layer.forward``.

        Parameters
        ----------
        x : Planes or ndarray
            The input.
        ctx : Context
            Memory.

        Returns
        -------
        y : ndarray
            The output.
        saved : tuple
            The shape of ``x``.
        """
        x = solid(x, self, ctx)
        picked = x[:, :: self.stride, :, :: self.stride]
        shape = (*picked.shape[:2], self.channels, *picked.shape[3:])
        y = ctx.workspace.array(self, "y", shape, x.dtype)
        y[:, :, : x.shape[2]], y[:, :, x.shape[2] :] = picked, 0
        return y, x.shape

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        """Put the gradients where the pixels were; see ``Layer.backward``.

        Parameters
        ----------
        dy : Planes or ndarray
            Gradient of the output.
        saved : tuple
            The shape of the input.
        ctx : Context
            Memory.

        Returns
        -------
        ndarray
            Gradient of the input.
        """
        dy = solid(dy, self, ctx, "dy")
        dx = ctx.workspace.lend(saved, dy.dtype)
        dx[...] = 0
        dx[:, :: self.stride, :, :: self.stride] = dy[:, :, : saved[2]]
        return dx

    def describe(self) -> str:
        """Return the sizes."""
        return f"subsample {self.stride}, {self.channels} channels"


def _check(out: Shape, short: Shape) -> None:
    if out != short or len(out) != 3:
        expected = f"images as from its shortcut, {short}"
        raise ParameterError("output of a residual branch", out, expected)
