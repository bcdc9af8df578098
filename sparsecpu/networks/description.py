"""The network description: frozen, printable, serialisable; networks are built from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.layers import ACTIVATIONS, KINDS, Layer, Sequential
from sparsecpu.layers.chain import plan_layer
from sparsecpu.layers.described import described
from sparsecpu.layers.network.sizes import spec_of_samples
from sparsecpu.networks.described_layers import described_layer
from sparsecpu.registries.numbers import is_number
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.sparse.densities import allocate
from sparsecpu.sparse.first_values import GAINS
from sparsecpu.sparse.groups import checked_group
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.plain_values import brief, listed, table, text, whole

#: Numbers per sample, and pixels along a side, that a layer may put out.
_MOST, _LONGEST_SIDE = 2**31 - 1, 2**20

_DESCRIPTION = table(
    {"name": text, "input_shape": listed(whole(1, _MOST)), "layers": listed(described_layer)}
)


def _check_size(name: str, shape: tuple[int, ...]) -> None:
    """Refuse shapes of samples that are empty, or larger than any index could count."""
    good = len(shape) in (1, 2, 3) and min(shape) >= 1
    sides = shape[1:] if len(shape) == 3 else ()
    if not good or math.prod(shape) > _MOST or max(sides, default=0) > _LONGEST_SIDE:
        expected = (
            f"(features,), (length, features) or (channels, height, width) of at most {_MOST}"
        )
        raise ParameterError(name, shape, f"{expected} numbers, no side above {_LONGEST_SIDE}")


@dataclass(frozen=True)
class LayerSpec:
    """One layer of a description: a name in ``layers.KINDS``, and arguments of the layer.

    Sizes of inputs are left out; ``nnz`` of a layer with weights is None for all of them.
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", KINDS.name_of(self.kind))

    def __str__(self) -> str:
        inner = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.kind}({inner})"


@dataclass(frozen=True)
class Architecture:
    """A network: the shape of one sample, and layers in order.

    Samples are ``(features,)``, ``(channels, height, width)`` or ``(length, features)``; where the
    first layer is an embedding, ``(length,)`` numbers of tokens.
    """

    input_shape: tuple[int, ...]
    layers: tuple[LayerSpec, ...]
    name: str = "custom"

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the shape of a sample as it goes in and behind every layer."""
        return [self.input_shape, *(shape for shape, _ in self._traced())]

    def widths(self) -> list[int]:
        """Return how many numbers a sample is as it goes in and behind every layer."""
        return [math.prod(shape) for shape in self.shapes()]

    def lengths(self) -> list[int | None]:
        """Return the most tokens per sample as it goes in and behind every layer; None for none."""
        spec = spec_of_samples(self.input_shape)
        shapes, found = [spec.shape, *self.shapes()[1:]], [spec.length]
        for layer, shape in zip(self.layers, shapes, strict=False):
            length = KINDS[layer.kind].trace_length(shape, dict(layer.options), found[-1])
            found.append(length)
        return found

    @property
    def longest(self) -> int:
        """The most tokens per sample anywhere; 0 where samples are no sequences."""
        return max((length for length in self.lengths() if length), default=0)

    def weight_shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes of all sparse weights in order, as the layers' ``trace`` gives them."""
        return [shape for _, weights in self._traced() for shape in weights]

    def _traced(self) -> Iterator[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
        """Yield what each layer puts out and its weights; refuse a layer that does not fit."""
        _check_size("input_shape", self.input_shape)
        here = spec_of_samples(self.input_shape).shape
        for number, layer in enumerate(self.layers):
            try:
                here, weights = KINDS[layer.kind].trace(here, dict(layer.options))
            except ParameterError as error:
                where = f"layer {number} ({layer.kind}) of {self.name}: {error.name}"
                raise ParameterError(where, error.value, error.expected) from None
            _check_size(f"layer {number} ({layer.kind}) of {self.name}: its output", here)
            yield here, weights

    def sparsify(self, density: float, distribution: str = "erk") -> Architecture:
        """Return the same network with this overall fraction of its weights, in (0, 1].

        ``distribution`` is a name in ``densities.DISTRIBUTIONS``: how the layers share them.
        """
        return self.with_counts(iter(allocate(self.weight_shapes(), density, distribution)))

    def with_counts(self, counts: Iterator[int]) -> Architecture:
        """Return the same network with so many weights for each of ``weight_shapes``."""
        return self._changed(lambda kind, options: kind.allot(options, counts))

    def in_groups(self, group: int | Sequence[int]) -> Architecture:
        """Return the same network whose rows stand in groups, which share their columns.

        ``group`` is 1, 2, 4 or 8: one size for all layers, or one for each of ``weight_shapes``. A
        layer that keeps all its weights, and a convolution whose channels stand in ``groups`` of
        their own, is built as it is.
        """
        sizes: Iterator[int]
        if isinstance(group, (list, tuple)):
            count, sizes = len(self.weight_shapes()), map(checked_group, group)
            if len(group) != count:
                raise ParameterError("group", group, f"a size, or one for each of {count} layers")
        else:
            sizes = repeat(checked_group(group))
        return self._changed(lambda kind, options: kind.regroup(options, sizes))

    def _changed(
        self, change: Callable[[type[Layer], dict[str, Any]], dict[str, Any]]
    ) -> Architecture:
        """Return a copy in which the options of each layer are changed, in order."""
        layers = tuple(
            replace(layer, options=change(KINDS[layer.kind], dict(layer.options)))
            for layer in self.layers
        )
        return replace(self, layers=layers)

    def to_dict(self) -> dict[str, Any]:
        """Return the description as plain values, for JSON."""
        layers = [{"kind": layer.kind, **layer.options} for layer in self.layers]
        return {"name": self.name, "input_shape": list(self.input_shape), "layers": layers}

    @classmethod
    def from_dict(cls, values: Any) -> Architecture:
        """Return the description that ``to_dict`` wrote, from a file that may be damaged."""
        _DESCRIPTION(values, "the network's description")
        layers = []
        for entry in values["layers"]:
            options = {key: value for key, value in entry.items() if key != "kind"}
            layers.append(LayerSpec(entry["kind"], options))
        made = cls(tuple(values["input_shape"]), tuple(layers), values["name"])
        try:
            made.shapes()
        except Exception as error:  # layers of users may raise anything
            raise FileFormatError(f"not a network description: {brief(error)}") from error
        return made

    @classmethod
    def of(cls, network: Sequential) -> Architecture:
        """Return the description of a network, also of one that was put together by hand.

        Raises ``ParameterError`` for a layer that no description can have.
        """
        if network.architecture is not None:
            return network.architecture
        layers = []
        for entry in described(network.layers):
            options = {key: value for key, value in entry.items() if key != "kind"}
            layers.append(LayerSpec(entry["kind"], options))
        return cls(network.input_shape, tuple(layers), "by hand")

    def build(
        self,
        rng: np.random.Generator | None = None,
        *,
        dtype: Any = np.float32,
        parameters: Mapping[str, Parameter] | None = None,
        pattern: str | Mapping[str, Pattern] = "random",
    ) -> Sequential:
        """Return the network, with parameters drawn by ``rng`` or given (``"0.weight"`` …).

        ``pattern`` is a name in ``first_patterns.PATTERNS``, or patterns for layers by name
        (``"0.weight"`` …); layers that have none, and those inside of others, draw at random.
        """
        rng = np.random.default_rng(0) if rng is None else rng
        spec, layers = spec_of_samples(self.input_shape), []
        for i, entry in enumerate(self.layers):
            prefix, given = f"{i}.", None
            if parameters is not None:
                own = (name for name in parameters if name.startswith(prefix))
                given = {name.removeprefix(prefix): parameters[name] for name in own}
            drawn = pattern if isinstance(pattern, str) else pattern.get(f"{prefix}weight")
            layer = KINDS[entry.kind].build(
                spec.shape, dict(entry.options), rng=rng, dtype=dtype, parameters=given,
                pattern=drawn, length=spec.length,
            )  # fmt: skip
            spec = plan_layer(layer, spec)
            layers.append(layer)
        network = Sequential(layers, self.input_shape)
        network.architecture = self
        return network

    def __str__(self) -> str:
        inner = "\n".join(f"  {layer}" for layer in self.layers)
        return f"{self.name}, input {self.input_shape}\n{inner}"


def mlp(
    input_shape: tuple[int, ...] | int,
    hidden: tuple[int, ...],
    n_outputs: int,
    *,
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
    group: int = 1,
    name: str = "mlp",
) -> Architecture:
    """Describe a multilayer perceptron with all its weights; the last layer has no activation.

    ``hidden`` are sizes of the hidden layers, ``activation`` a name in ``layers.ACTIVATIONS``;
    ``dropout`` follows every hidden layer, ``batch_norm`` comes before every activation; once it is
    sparse, so many rows as ``group`` says share their columns.
    """
    shape = (input_shape,) if isinstance(input_shape, int) else tuple(input_shape)
    if len(shape) == 2:
        shape = (1, *shape)  # a grey image
    elif len(shape) > 3:
        shape = (math.prod(shape),)
    chosen = ACTIVATIONS.find(activation)
    if not all(is_number(size) and int(size) == size and size >= 1 for size in hidden):
        raise ParameterError("hidden_layer_sizes", hidden, "integers of at least 1")
    layers = [LayerSpec("flatten")] if len(shape) > 1 else []
    for number, size in enumerate(hidden, start=1):
        gain = GAINS.get(chosen.kind, 1.0)
        layers.append(LayerSpec("linear", {"out_features": int(size), "nnz": None, "gain": gain}))
        if batch_norm:
            layers.append(LayerSpec("batch_norm"))
        layers.append(LayerSpec(chosen.kind, chosen.options_in(number)))
        if dropout:
            layers.append(LayerSpec("dropout", {"rate": float(dropout)}))
    layers.append(LayerSpec("linear", {"out_features": int(n_outputs), "nnz": None, "gain": 1.0}))
    return Architecture(shape, tuple(layers), name).in_groups(group)
