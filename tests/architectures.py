"""Random architectures: every kind of layer in every position, branches within branches.

``KINDS`` has a line for each kind of layer: how one is drawn for inputs of a shape, and what it
makes of them in PyTorch (``torch_twin.py`` runs that, and is passed as ``t``). A new kind of layer
joins by its line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsecpu import layers as ours
from sparsecpu.errors import ParameterError
from sparsecpu.layers import Layer, Sequential, Spec
from sparsecpu.layers.base import inner_layers
from sparsecpu.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError

#: Samples of a batch: tiles that are not full, full ones, and several.
BATCHES = (1, 2, 3, 7, 15, 16, 17, 20, 33, 48, 130)
#: What networks may begin with: shapes of a sample.
FEATURES, CHANNELS, SIDES = (
    (1, 2, 5, 7, 16, 30, 70),
    (1, 2, 3, 4, 6, 9),
    (1, 2, 3, 4, 5, 7, 8, 9, 13, 18),
)
#: The largest layers; inner branches are drawn so deep.
_MOST, _DEEPEST = 800, 2
_LEARNING = ("linear", "conv2d")


class Kind(NamedTuple):
    """How to draw a layer, or None where none can stand, and its twin, ``(t, layer, name, x)``."""

    draw: Callable[["Draw", tuple], Layer | None]
    twin: Callable[[Any, Any, str, Any], Any]


@dataclass
class Draw:
    """Draws layers; ``stay`` while images must stay images."""

    rng: np.random.Generator
    dtype: Any
    depth: int = 0
    stay: bool = False

    def one_of(self, *values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def new_rng(self) -> np.random.Generator:
        """Return a stream for a layer's weights, which takes one number of this one, always."""
        return np.random.default_rng(int(self.rng.integers(2**32)))

    def chain(self, shape: tuple, most: int) -> tuple[list[Layer], tuple]:
        """Draw up to so many layers; return them, and the shape that comes out."""
        found: list[Layer] = []
        for _ in range(int(self.rng.integers(most + 1))):
            layer, shape = self.layer(shape)
            found.append(layer)
        return found, shape

    def layer(self, shape: tuple) -> tuple[Layer, tuple]:
        while True:
            kinds = _LEARNING if self.rng.random() < 0.35 else KINDS
            layer = KINDS[self.one_of(*kinds)].draw(self, shape)
            out = None if layer is None else _out_shape(layer, shape)
            if out is not None and not (self.stay and len(out) < len(shape)):
                return layer, out

    def weights(self) -> dict[str, Any]:
        """Draw how many weights a layer has, and its bias."""
        full = self.rng.random() < 0.2
        density = 1.0 if full else float(self.rng.uniform(0.05, 0.95))
        return {"density": density, "bias": bool(self.rng.random() < 0.7), "dtype": self.dtype,
                "rng": self.new_rng(), "fixed": bool(self.rng.random() < 0.1)}  # fmt: skip

    def form(self, layer: Any) -> Any:
        layer.form = self.one_of("sparse", "sparse", "dense") if layer.has_two_forms else "sparse"
        return layer

    def conv(self, shape: tuple, filters: int, kernel: Any, **options: Any) -> Layer:
        return self.form(ours.SparseConv2d(shape[0], filters, kernel, **options, **self.weights()))

    def branches(self, shape: tuple, count: int, images: bool) -> list[list[Layer]]:
        """Draw branches whose outputs have one shape, perhaps without a layer."""
        inner = Draw(self.rng, self.dtype, self.depth + 1, stay=images)
        first, out = inner.chain(shape, 3)
        if len(out) == 3 and not images:
            first, out = [*first, ours.Flatten()], (int(np.prod(out)),)
        found = [first]
        for _ in range(count - 1):
            layers, end = inner.chain(shape, 3)
            found.append(layers if end == out else [*layers, *inner.fitting(end, out)])
        return [found[i] for i in self.rng.permutation(count)]

    def fitting(self, shape: tuple, wanted: tuple) -> list[Layer]:
        """Return layers that make one shape of another."""
        if len(wanted) == 3:
            pads = [max(0, -(-(b - a) // 2)) for a, b in zip(shape[1:], wanted[1:], strict=True)]
            kernel = [
                a + 2 * p - b + 1 for a, b, p in zip(shape[1:], wanted[1:], pads, strict=True)
            ]
            return [self.conv(shape, wanted[0], kernel, padding=pads)]
        before = [] if len(shape) == 1 else [self.one_of(ours.Flatten(), ours.GlobalAvgPool2d())]
        size = int(np.prod(shape)) if before and before[0].kind == "flatten" else shape[0]
        return [*before, self.form(ours.SparseLinear(size, wanted[0], **self.weights()))]


def _out_shape(layer: Layer, shape: tuple) -> tuple | None:
    """Return what comes out; None where the layer does not fit or makes too much of it."""
    try:
        out = layer.plan(Spec(shape)).shape
    except ParameterError:
        return None
    return out if np.prod(out) <= _MOST else None


def _linear(draw: Draw, shape: tuple) -> Layer | None:
    if len(shape) != 1:
        return None
    size = draw.one_of(1, 2, 3, 5, 8, 17, 30, 64)
    return draw.form(ours.SparseLinear(shape[0], size, **draw.weights()))


def _sizes(draw: Draw) -> dict[str, Any]:
    """Draw stride and padding."""
    stride = draw.one_of(1, 1, 1, 2, 3, (1, 2), (2, 1))
    return {"stride": stride, "padding": draw.one_of(0, 0, 1, 1, 2, (0, 1), (2, 0))}


def _conv(draw: Draw, shape: tuple) -> Layer | None:
    if len(shape) != 3:
        return None
    groups = draw.one_of(1, 1, 1, 2, 3, shape[0])
    kernel = draw.one_of(1, 2, 3, 3, 4, 5, (1, 3), (3, 2), (2, 5))
    sizes, filters = _sizes(draw), groups * draw.one_of(1, 2, 3, 5, 24)
    return None if shape[0] % groups else draw.conv(shape, filters, kernel, groups=groups, **sizes)


def _norm(draw: Draw, shape: tuple) -> Layer:
    return ours.BatchNorm(shape[0], momentum=draw.one_of(0.1, 0.3, 1.0),
                          epsilon=draw.one_of(1e-5, 1e-3, 0.1), dtype=draw.dtype)  # fmt: skip


def _norm_of_samples(kind: type) -> Callable[[Draw, tuple], Layer | None]:
    def make(draw: Draw, shape: tuple) -> Layer | None:
        epsilon = draw.one_of(1e-5, 1e-3, 0.1)
        return kind(*shape, epsilon=epsilon, dtype=draw.dtype) if len(shape) == 1 else None

    return make


def _pool(kind: type) -> Callable[[Draw, tuple], Layer | None]:
    def make(draw: Draw, shape: tuple) -> Layer | None:
        kernel = draw.one_of(1, 2, 2, 3, (1, 2), (3, 2))
        sizes = _sizes(draw)
        sizes["stride"] = draw.one_of(None, sizes["stride"])
        least = min(kernel) if isinstance(kernel, tuple) else kernel
        if 2 * np.max(sizes["padding"]) > least:
            sizes["padding"] = 0
        return kind(kernel, **sizes) if len(shape) == 3 else None

    return make


def _subsample(draw: Draw, shape: tuple) -> Layer | None:
    more, stride = draw.one_of(0, 1, 3), draw.one_of(1, 2, 2, 3)
    return ours.Subsample(shape[0] + more, stride) if len(shape) == 3 else None


def _residual(draw: Draw, shape: tuple) -> Layer | None:
    if len(shape) != 3 or draw.depth == _DEEPEST:
        return None
    return ours.Residual(*draw.branches(shape, 2, images=True))


def _parallel(draw: Draw, shape: tuple) -> Layer | None:
    if draw.depth == _DEEPEST:
        return None
    images = len(shape) == 3 and (draw.stay or bool(draw.rng.random() < 0.5))
    return ours.Parallel(draw.branches(shape, draw.one_of(1, 2, 2, 3), images))


def _sequential(draw: Draw, shape: tuple) -> Layer | None:
    if draw.depth == _DEEPEST:
        return None
    return Sequential(Draw(draw.rng, draw.dtype, draw.depth + 1, draw.stay).chain(shape, 3)[0],
                      shape)  # fmt: skip


def _plain(make: Callable[[], Layer]) -> Callable[[Draw, tuple], Layer]:
    return lambda draw, shape: make()


KINDS: dict[str, Kind] = {
    "linear": Kind(_linear, lambda t, layer, name, x: t.linear(layer, name, x)),
    "conv2d": Kind(_conv, lambda t, layer, name, x: t.conv(layer, name, x)),
    "batch_norm": Kind(_norm, lambda t, layer, name, x: t.norm(layer, name, x)),
    "layer_norm": Kind(
        _norm_of_samples(ours.LayerNorm),
        lambda t, layer, name, x: t.functional.layer_norm(
            x, x.shape[1:], t.leaves[f"{name}gamma"], t.leaves[f"{name}beta"], layer.epsilon
        ),
    ),
    "rms_norm": Kind(
        _norm_of_samples(ours.RMSNorm),
        lambda t, layer, name, x: t.functional.rms_norm(
            x, x.shape[1:], t.leaves[f"{name}gamma"], layer.epsilon
        ),
    ),
    "relu": Kind(_plain(ours.ReLU), lambda t, layer, name, x: x.relu()),
    "leaky_relu": Kind(
        lambda draw, shape: ours.LeakyReLU(draw.one_of(0.01, 0.3, -0.2)),
        lambda t, layer, name, x: t.functional.leaky_relu(x, layer.alpha),
    ),
    "all_relu": Kind(
        lambda draw, shape: ours.AllReLU(0.6, draw.one_of(1, 2)),
        lambda t, layer, name, x: t.functional.leaky_relu(x, layer.alpha),
    ),
    "tanh": Kind(_plain(ours.Tanh), lambda t, layer, name, x: x.tanh()),
    "sigmoid": Kind(_plain(ours.Sigmoid), lambda t, layer, name, x: x.sigmoid()),
    "gelu": Kind(
        lambda draw, shape: ours.GELU(draw.one_of("none", "tanh")),
        lambda t, layer, name, x: t.functional.gelu(x, approximate=layer.approximate),
    ),
    "silu": Kind(_plain(ours.SiLU), lambda t, layer, name, x: t.functional.silu(x)),
    "identity": Kind(_plain(ours.Identity), lambda t, layer, name, x: x),
    "dropout": Kind(
        lambda draw, shape: ours.Dropout(draw.one_of(0.0, 0.2, 0.5)),
        lambda t, layer, name, x: t.dropout(layer, x),
    ),
    "flatten": Kind(_plain(ours.Flatten), lambda t, layer, name, x: x.flatten(1)),
    "max_pool2d": Kind(
        _pool(ours.MaxPool2d),
        lambda t, layer, name, x: t.functional.max_pool2d(
            x, layer.kernel, layer.stride, layer.padding
        ),
    ),
    "avg_pool2d": Kind(
        _pool(ours.AvgPool2d),
        lambda t, layer, name, x: t.functional.avg_pool2d(
            x, layer.kernel, layer.stride, layer.padding
        ),
    ),
    "global_avg_pool2d": Kind(
        lambda draw, shape: ours.GlobalAvgPool2d() if len(shape) == 3 else None,
        lambda t, layer, name, x: x.mean(dim=(2, 3)),
    ),
    "subsample": Kind(_subsample, lambda t, layer, name, x: t.subsample(layer, x)),
    "residual": Kind(_residual, lambda t, layer, name, x: t.branches(layer, name, x)),
    "parallel": Kind(_parallel, lambda t, layer, name, x: t.branches(layer, name, x)),
    "sequential": Kind(_sequential, lambda t, layer, name, x: t.chain(layer, name, x)),
}


@dataclass
class Case:
    """A network, a batch, and the loss."""

    network: Sequential
    x: np.ndarray
    y: np.ndarray
    loss: Loss
    kinds: set[str]

    def has(self, *kinds: str) -> bool:
        """Return True if a layer of one of these kinds is somewhere in it."""
        return bool(self.kinds & set(kinds))


def random_case(seed: int, dtype: Any = np.float64, *, again: int = 0) -> Case:
    """Draw a network and a batch: both types have the same; ``again`` draws another batch."""
    draw = Draw(np.random.default_rng(seed), dtype)
    shape: tuple = (draw.one_of(*FEATURES),)
    if draw.rng.random() < 0.7:
        shape = draw.one_of(*CHANNELS), draw.one_of(*SIDES), draw.one_of(*SIDES)
    first, out = draw.layer(shape)
    layers, _ = draw.chain(out, 6)
    network = Sequential([first, *layers], shape)
    batch, loss = draw.one_of(*BATCHES), draw.one_of(*_LOSSES)
    rng = np.random.default_rng((seed, again))
    _move(network, np.random.default_rng(seed))
    x = rng.standard_normal((batch, network.widths[0]))
    x = (np.round(x, 1) if draw.rng.random() < 0.3 else x).astype(np.float32)  # ties, and zeros
    y = rng.integers(0, network.n_outputs, batch)
    if not isinstance(loss, SoftmaxCrossEntropy):
        y = rng.integers(0, 2, (batch, network.n_outputs)).astype(float)
    inside = {layer.kind for top in network.layers for _, layer in inner_layers(top)}
    return Case(network, x, y, loss, inside & KINDS.keys())


_LOSSES = (SoftmaxCrossEntropy(), SoftmaxCrossEntropy(0.1), SquaredError(), SigmoidCrossEntropy())


def _move(network: Sequential, rng: np.random.Generator) -> None:
    """Move everything away from where networks begin, to values that float32 has."""

    def drawn(low: float, high: float, size: int) -> np.ndarray:
        signs = np.where(rng.random(size) < 0.3, -1, 1)
        return (rng.uniform(low, high, size) * signs).astype(np.float32)

    for name, parameter in network.parameters().items():
        if name.endswith("weight"):
            fan_in = max(1, parameter.nnz / parameter.shape[0])
            parameter.data[:] = drawn(0.4, 2.5, parameter.nnz) / np.float32(np.sqrt(fan_in))
            parameter.touch()
        else:
            parameter.data[:] = drawn(0.05, 1.2, parameter.nnz)
    for buffer in network.buffers().values():
        buffer[:] = np.abs(drawn(0.3, 2, len(buffer)))
