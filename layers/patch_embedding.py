"""Images as sequences: each patch of pixels becomes a token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Shape, Spec
from sparsecpu.layers.composite import Composite, Entries
from sparsecpu.layers.flatten import Flatten
from sparsecpu.layers.images.geometry import pair
from sparsecpu.layers.inner_linear import linear_chains, linear_entries
from sparsecpu.layers.network.entry import layout
from sparsecpu.layers.required import require_images
from sparsecpu.registries.numbers import float_type, generator, truth_value, whole
from sparsecpu.sparse.dense_parameter import Parameter, Table
from sparsecpu.step.context import Context

#: Standard deviation of the first values, as the paper's code has it.
_DEVIATION = 0.02


class PatchEmbedding(Composite):
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
    group : {1, 2, 4, 8}
        So many neighbouring features share their pixels; see ``SparseLinear``.
    gain : float
        Scale of the first values; see ``sparse.first_values.scaled_uniform``.
    projection : iterable of Layer, optional
        Layers to use in place of a linear layer.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
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
        group: int = 1,
        gain: float = 1.0,
        projection: Iterable[Layer] | None = None,
        dtype: Any = np.float32,
    ) -> None:
        rng, dtype = generator(rng), float_type(dtype)
        self.sizes = _Sizes(in_channels, patch_size, image_size)
        self.features = whole("features", features, 1, 2**31 - 1)
        super().__init__(linear_chains(
            {"projection": (self.sizes.pixels, self.features)}, {"projection": projection},
            density=density, bias=bias, group=group, gain=gain, rng=rng, dtype=dtype,
        ))  # fmt: skip
        self._flat = Flatten()
        self.class_token: Parameter | None = None
        self.positions: Table | None = None
        ahead = int(truth_value("class_token", class_token))
        self.length = ahead + self.sizes.patches
        if ahead:
            self.class_token = Parameter(rng.normal(0.0, _DEVIATION, self.features), dtype)
        if truth_value("positions", positions):
            shape = self.length, self.features
            self.positions = Table(rng.normal(0.0, _DEVIATION, shape), dtype)

    @classmethod
    def build(cls, shape: tuple[int, ...], options: dict[str, Any], **context: Any) -> Layer:
        sizes, given = _sizes_for(shape, options), context.get("parameters")
        more = {"in_channels": sizes.channels, "image_size": sizes.image}
        more |= {"rng": context.get("rng"), "dtype": context["dtype"]}
        layer = super().build(shape, {**options, **more}, **context)
        if given is None:
            return layer
        for name in ("class_token", "positions"):
            own, new = getattr(layer, name), given.get(name)
            shapes = [None if p is None else p.data.shape for p in (new, own)]
            if shapes[0] != shapes[1]:
                raise ParameterError(name, shapes[0], f"shape {shapes[1]}")
            if own is not None:
                own.data = new.data
        return layer

    @classmethod
    def entries(cls, options) -> dict[str, Entries]:
        return linear_entries({"projection": int(options["features"])}, options)

    @classmethod
    def inputs(cls, shape, options) -> dict[str, Shape]:
        return {"projection": (_sizes_for(shape, options).pixels,)}

    @classmethod
    def numbers(cls, shape, options) -> tuple[int, int]:
        features = int(options["features"])
        return _sizes_for(shape, options).pixels + features, features

    @classmethod
    def trace(cls, shape, options) -> tuple:
        ends, weights = cls.trace_chains(shape, options)
        _check_projection(ends["projection"], int(options["features"]))
        return ends["projection"], weights

    @classmethod
    def patch_of(cls, options: dict[str, Any]) -> tuple[int, int]:
        """Return height and width of a described layer's patches."""
        return pair("patch_size", options["patch_size"], 1)

    @classmethod
    def trace_length(cls, shape, options, length) -> int:
        return int(options.get("class_token", True)) + _sizes_for(shape, options).patches

    def plan(self, spec: Spec) -> Spec:
        shape = self.sizes.channels, *self.sizes.image
        if require_images(spec, self) != shape:
            raise ParameterError("input shape", spec.shape, str(shape))
        self._needs_dx = spec.needs_gradient
        patches = Spec((self.sizes.pixels,), spec.needs_gradient, self.length)
        _check_projection(self.by_name["projection"].plan(patches).shape, self.features)
        return Spec((self.features,), length=self.length)

    def forward(self, x: Any, ctx: Context) -> tuple[np.ndarray, Any]:
        from sparsecpu.kernels.embedding import add_rows
        from sparsecpu.kernels.patches import take_patches

        x, shape = self._flat.forward(x, ctx)
        lanes = x.shape[2]
        places = layout(np.full(ctx.n_valid, self.length), lanes, x.itemsize, ctx.workspace)
        at = self._corners(places, lanes, ctx)
        tiles = len(places.owner) // lanes
        patches = ctx.workspace.array(self, "patches", (tiles, self.sizes.pixels, lanes), x.dtype)
        take_patches(x.reshape(-1), *at, patches)
        projected, kept = self.by_name["projection"].forward(patches, ctx)
        y = ctx.workspace.array(self, "y", projected.shape, projected.dtype)
        y[...] = projected
        if self.class_token is not None:
            y[_first_lanes(places, lanes)] = self.class_token.data
        if self.positions is not None:
            add_rows(places.position, self.positions.values, y, True)
        return y, (places, x.shape, shape, kept, at)

    def _corners(self, places: Any, lanes: int, ctx: Context) -> tuple[np.ndarray, np.ndarray]:
        """Return what ``_Sizes.corners`` does, for the places of a batch."""
        key = self, "corners", id(places)
        found = ctx.workspace.prepared.get(key)
        if found is None:
            number = places.position.astype(np.int64) - (self.length - self.sizes.patches)
            corners = self.sizes.corners(places.owner.astype(np.int64), number, lanes)
            found = ctx.workspace.keep(key, (places, corners))
        return found[1]

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> Any:
        from sparsecpu.kernels.embedding import sum_rows
        from sparsecpu.kernels.patches import put_patches

        places, flat, shape, kept, at = saved
        if self.positions is not None:
            sum_rows(places.position, dy, self.positions.grad.reshape(self.positions.shape))
        if self.class_token is not None:
            ahead, given = _first_lanes(places, dy.shape[2]), dy
            self.class_token.grad = given[ahead].sum(axis=0)
            dy = ctx.workspace.array(self, "dy", given.shape, given.dtype)
            dy[...] = given
            dy[ahead] = 0  # the projection has no part in it
        dpatches = self.by_name["projection"].backward(dy, kept, ctx)
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

    def own_options(self) -> dict[str, Any]:
        found = {"features": self.features, "patch_size": list(self.sizes.patch)}
        learnt = {name: getattr(self, name) is not None for name in ("class_token", "positions")}
        return {**found, **learnt}

    def describe(self) -> str:
        return f"patches of {'x'.join(map(str, self.sizes.patch))} in {self.features}"


class _Sizes:
    """Sizes of images and of the patches they are cut into; each is a pair, height and width."""

    def __init__(self, channels: Any, patch: Any, image: Any) -> None:
        self.channels = whole("in_channels", channels, 1, 2**31 - 1)
        self.patch, self.image = pair("patch_size", patch, 1), pair("image_size", image, 1)
        if any(side % part for side, part in zip(self.image, self.patch, strict=True)):
            expected = f"multiples of the patch, {self.patch[0]} x {self.patch[1]}"
            raise ParameterError("image_size", self.image, expected)
        self.across = self.image[1] // self.patch[1]
        self.patches = self.image[0] // self.patch[0] * self.across
        self.pixels = self.channels * self.patch[0] * self.patch[1]

    def corners(
        self, sample: np.ndarray, number: np.ndarray, lanes: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return where each token's patch begins in tiles of samples, and the way to its pixels.

        Of each lane, ``sample`` and ``number`` of the patch are given; one of them is -1, as what
        is returned is, where there is no patch.
        """
        (height, width), (down, right) = self.image, self.patch
        row, column = np.divmod(number, self.across)
        tile, lane = np.divmod(sample, lanes)
        pixel = row * down * width + column * right
        corner = (tile * self.channels * height * width + pixel) * lanes + lane
        channel, y, x = np.indices((self.channels, down, right), np.int64).reshape(3, -1)
        steps = ((channel * height + y) * width + x) * lanes
        return np.where((sample < 0) | (number < 0), -1, corner), steps


def _sizes_for(shape: Shape, options: dict[str, Any]) -> _Sizes:
    if len(shape) != 3:
        raise ParameterError("input shape", shape, "(channels, height, width)")
    return _Sizes(shape[0], options["patch_size"], shape[1:])


def _check_projection(shape: Shape, features: int) -> None:
    if shape != (features,):
        raise ParameterError("output of projection", shape, f"({features},)")


def _first_lanes(places: Any, lanes: int) -> tuple[np.ndarray, slice, np.ndarray]:
    """Return where the first token of each sequence stands, as an index of tiles."""
    tile, lane = np.divmod(places.place[:, :1].reshape(-1), lanes)
    return tile, slice(None), lane
