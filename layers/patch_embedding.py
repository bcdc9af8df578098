"""Images as sequences: each patch of pixels becomes a token."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Spec
from sparsecpu.layers.flatten import Flatten
from sparsecpu.layers.images.geometry import pair
from sparsecpu.layers.linear import SparseLinear
from sparsecpu.layers.network.entry import layout
from sparsecpu.layers.required import require_images
from sparsecpu.registries.numbers import float_type, generator, truth_value, whole
from sparsecpu.sparse.dense_parameter import Parameter, Table
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context

#: Standard deviation of the first values, as the paper's code has it.
_DEVIATION = 0.02


class PatchEmbedding(Layer):
    r"""Cut images into patches and make a token of each.

    :math:`y_t = W p_t + b + P_t` for the pixels :math:`p_t` of patch t, in the order (channel, row,
    column); patches go row by row. A class token, a learnt vector in place of :math:`W p + b`,
    stands before them.

    Parameters
    ----------
    in_channels : int
        Channels of the images.
    features : int
        Numbers per token.
    patch_size : int or pair of ints
        Height and width of a patch.
    image_size : int or pair of ints
        Height and width of the images, multiples of those of a patch.
    class_token : bool
        Put a class token in front.
    positions : bool
        Learn a row of numbers for each place, which is added to the token there.
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
        So many neighbouring features share their pixels; see ``SparseLinear``.
    gain : float
        Scale of the first values; see ``sparse.first_values.scaled_uniform``.
    fixed : bool
        Keep topology from changing the pattern.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    projection : SparseLinear
        What makes a token of a patch.
    class_token : Parameter or None
        The class token. Weight decay leaves it alone.
    positions : Table or None
        A row for each place, that of the class token first.

    Raises
    ------
    ParameterError
        If an argument is out of range, or a side of the images is no multiple of the patch's.

    Notes
    -----
    Dosovitskiy et al., An image is worth 16x16 words (2021), section 3.1.
    """

    kind = "patch_embedding"
    keeps_size = ("class_token", "positions")
    reads_flat = True
    sets_length = True

    def __init__(
        self,
        in_channels: int,
        features: int,
        patch_size: Any,
        *,
        image_size: Any,
        class_token: bool = True,
        positions: bool = True,
        density: float = 0.1,
        bias: bool = True,
        rng: np.random.Generator | None = None,
        nnz: int | None = None,
        pattern: str | Pattern = "random",
        group: int = 1,
        gain: float = 1.0,
        fixed: bool = False,
        dtype: Any = np.float32,
    ) -> None:
        rng, dtype = generator(rng), float_type(dtype)
        self._set_sizes(in_channels, patch_size, image_size)
        self.projection = SparseLinear(
            self._pixels, features, density=density, bias=bias, rng=rng, nnz=nnz, pattern=pattern,
            group=group, gain=gain, fixed=fixed, dtype=dtype,
        )  # fmt: skip
        self._draw(class_token, positions, rng, dtype)

    def _set_sizes(self, in_channels: int, patch_size: Any, image_size: Any) -> None:
        self.in_channels = whole("in_channels", in_channels, 1, 2**31 - 1)
        self.patch_size, self.image_size = pair("patch_size", patch_size, 1), image_size
        self.image_size = height, width = pair("image_size", image_size, 1)
        down, right = self.patch_size
        if height % down or width % right:
            expected = f"multiples of the patch, {down} x {right}"
            raise ParameterError("image_size", self.image_size, expected)
        self.grid = height // down, width // right
        self._pixels = self.in_channels * down * right
        self._flat = Flatten()

    def _draw(self, class_token: bool, positions: bool, rng: np.random.Generator, dtype: Any):
        self.class_token: Parameter | None = None
        self.positions: Table | None = None
        features, ahead = self.features, int(truth_value("class_token", class_token))
        self.length = ahead + self.grid[0] * self.grid[1]
        if ahead:
            self.class_token = Parameter(rng.normal(0.0, _DEVIATION, features), dtype)
        if truth_value("positions", positions):
            self.positions = Table(rng.normal(0.0, _DEVIATION, (self.length, features)), dtype)

    @classmethod
    def build(cls, shape: tuple[int, ...], options: dict[str, Any], **context: Any) -> Layer:
        options = dict(options)
        channels, *size = _checked(shape)
        token = options.pop("class_token", True), options.pop("positions", True)
        layer = cls.__new__(cls)
        layer._set_sizes(channels, options.pop("patch_size"), size)
        inner = {"gain": 1.0, **options, "out_features": options["features"]}
        del inner["features"]
        given = context.pop("parameters", None)
        own = None if given is None else _inside(given, "projection.")
        built = SparseLinear.build((layer._pixels,), inner, parameters=own, **context)
        layer.projection = built
        rng = context.get("rng") if given is None else np.random.default_rng(0)
        layer._draw(*token, generator(rng), context["dtype"])
        for name in ("class_token", "positions") if given is not None else ():
            layer._take(name, given.get(name))
        return layer

    def _take(self, name: str, given: Parameter | None) -> None:
        """Take over the values that a file gives, if it gives any just where there are to be."""
        own = getattr(self, name)
        shapes = [None if p is None else p.data.shape for p in (given, own)]
        if shapes[0] != shapes[1]:
            raise ParameterError(name, shapes[0], f"shape {shapes[1]}")
        if own is not None:
            own.data = given.data

    @classmethod
    def trace(cls, shape, options) -> tuple:
        made, features = cls.__new__(cls), int(options["features"])
        channels, *size = _checked(shape)
        made._set_sizes(channels, options["patch_size"], size)
        SparseLinear.trace((made._pixels,), {**options, "out_features": features})
        return (features,), [(features, made._pixels)]

    @classmethod
    def trace_length(cls, shape, length, options) -> int:
        down, right = pair("patch_size", options["patch_size"], 1)
        return int(options.get("class_token", True)) + shape[1] // down * (shape[2] // right)

    @classmethod
    def allot(cls, options, counts) -> dict[str, Any]:
        return SparseLinear.allot(options, counts)

    @classmethod
    def regroup(cls, options, sizes) -> dict[str, Any]:
        return SparseLinear.regroup(options, sizes)

    @property
    def features(self) -> int:
        """Numbers per token."""
        return self.projection.out_features

    def children(self) -> dict[str, Layer]:
        return {"projection": self.projection}

    def plan(self, spec: Spec) -> Spec:
        shape = self.in_channels, *self.image_size
        if require_images(spec, self) != shape:
            raise ParameterError("input shape", spec.shape, str(shape))
        self._needs_dx = spec.needs_gradient
        self.projection.plan(Spec((self._pixels,), spec.needs_gradient, self.length))
        return Spec((self.features,), length=self.length)

    def forward(self, x: Any, ctx: Context) -> tuple[np.ndarray, Any]:
        from sparsecpu.kernels.embedding import add_rows
        from sparsecpu.kernels.patches import take_patches

        x, shape = self._flat.forward(x, ctx)
        lanes = x.shape[2]
        places = layout(np.full(ctx.n_valid, self.length), lanes, x.itemsize, ctx.workspace)
        at = self._corners(places, lanes, ctx)
        patches = ctx.workspace.array(
            self, "patches", (len(places.owner) // lanes, self._pixels, lanes), x.dtype
        )
        take_patches(x.reshape(-1), *at, patches)
        y, kept = self.projection.forward(patches, ctx)
        if self.class_token is not None:
            y[_lanes_of(places, lanes)] = self.class_token.data
        if self.positions is not None:
            add_rows(places.position, self.positions.values, y, True)
        return y, (places, x.shape, shape, kept, at)

    def _corners(self, places: Any, lanes: int, ctx: Context) -> tuple[np.ndarray, np.ndarray]:
        """Return where each token's patch begins in flat samples, and the way to its pixels."""
        key = self, "corners", id(places)
        found = ctx.workspace.prepared.get(key)
        if found is None:
            found = ctx.workspace.keep(key, (places, self._find_corners(places, lanes)))
        return found[1]

    def _find_corners(self, places: Any, lanes: int) -> tuple[np.ndarray, np.ndarray]:
        (height, width), (down, right) = self.image_size, self.patch_size
        sample, number = places.owner.astype(np.int64), places.position - self.length
        number = number + self.grid[0] * self.grid[1]  # of the patch; -1 for the class token
        row, column = np.divmod(number, self.grid[1])
        tile, lane = np.divmod(sample, lanes)
        pixel = row * down * width + column * right
        corner = (tile * self.in_channels * height * width + pixel) * lanes + lane
        channel, y, x = np.indices((self.in_channels, down, right), np.int64).reshape(3, -1)
        steps = ((channel * height + y) * width + x) * lanes
        return np.where((sample < 0) | (number < 0), -1, corner), steps

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> Any:
        from sparsecpu.kernels.embedding import sum_rows
        from sparsecpu.kernels.patches import put_patches

        places, flat, shape, kept, at = saved
        if self.positions is not None:
            sum_rows(places.position, dy, self.positions.grad.reshape(self.positions.shape))
        if self.class_token is not None:
            ahead, given = _lanes_of(places, dy.shape[2]), dy
            self.class_token.grad = given[ahead].sum(axis=0)
            dy = ctx.workspace.array(self, "dy", given.shape, given.dtype)
            dy[...] = given
            dy[ahead] = 0  # the projection has no part in it
        dpatches = self.projection.backward(dy, kept, ctx)
        if not self._needs_dx:
            return None
        dx = ctx.workspace.array(self, "dx", flat, dy.dtype)
        dx[...] = 0
        put_patches(dpatches, *at, dx.reshape(-1))
        return self._flat.backward(dx, shape, ctx)

    def parameters(self) -> dict[str, Parameter]:
        found = super().parameters()
        if self.class_token is not None:
            found["class_token"] = self.class_token
        if self.positions is not None:
            found["positions"] = self.positions
        return found

    def describe(self) -> str:
        words = "x".join(map(str, self.patch_size))
        return f"patches of {words} in {self.features}"


def _checked(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3:
        raise ParameterError("input shape", shape, "(channels, height, width)")
    return shape


def _inside(given: Any, prefix: str) -> dict[str, Parameter]:
    """Return the parameters of a child by their names there."""
    return {n.removeprefix(prefix): p for n, p in given.items() if n.startswith(prefix)}


def _lanes_of(places: Any, lanes: int) -> tuple[np.ndarray, slice, np.ndarray]:
    """Return where the first token of each sequence stands, as an index of tiles."""
    tile, lane = np.divmod(places.place[:, :1].reshape(-1), lanes)
    return tile, slice(None), lane
