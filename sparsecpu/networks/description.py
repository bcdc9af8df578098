"""The network description: frozen, printable, serialisable; networks are built from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.layers import ACTIVATIONS, KINDS, Sequential, Spec
from sparsecpu.sparse.densities import allocate
from sparsecpu.sparse.first_values import GAINS
from sparsecpu.sparse.parameter import Parameter
from sparsecpu.sparse.pattern import Pattern


@dataclass(frozen=True)
class LayerSpec:
    """One layer of a description.

    Parameters
    ----------
    kind : str
        A name in ``layers.KINDS``.
    options : mapping
        Arguments of the layer; sizes of inputs are left out. ``nnz`` of a layer with weights is
        None for all of them.
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        KINDS.find(self.kind)

    def __str__(self) -> str:
        inner = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.kind}({inner})"


@dataclass(frozen=True)
class Architecture:
    """A network: the shape of one sample, and layers in order.

    Parameters
    ----------
    input_shape : tuple of ints
        ``(features,)`` or ``(channels, height, width)``.
    layers : tuple of LayerSpec
        The layers.
    name : str
        What people call it.
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

    def weight_shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes of all sparse weights in order, as the layers' ``trace`` gives them."""
        return [shape for _, weights in self._traced() for shape in weights]

    def _traced(self) -> Iterator[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
        """Yield what each layer puts out and its weights; refuse a layer that does not fit."""
        here = self.input_shape
        for number, layer in enumerate(self.layers):
            try:
                here, weights = KINDS[layer.kind].trace(here, dict(layer.options))
            except ParameterError as error:
                where = f"layer {number} ({layer.kind}) of {self.name}: {error.name}"
                raise ParameterError(where, error.value, error.expected) from None
            yield here, weights

    def sparsify(self, density: float, distribution: str = "erk") -> Architecture:
        """Return the same network with fewer weights.

        Parameters
        ----------
        density : float
            Overall fraction to keep, in (0, 1].
        distribution : {"erk", "er", "uniform"}
            How the layers share them.

        Returns
        -------
        Architecture
            With ``nnz`` set in every layer that has weights.
        """
        return self.with_counts(iter(allocate(self.weight_shapes(), density, distribution)))

    def with_counts(self, counts: Iterator[int]) -> Architecture:
        """Return the same network with so many weights in each layer.

        Parameters
        ----------
        counts : iterator of int
            One for each of ``weight_shapes``.

        Returns
        -------
        Architecture
            With ``nnz`` set.
        """
        layers = tuple(
            replace(layer, options=KINDS[layer.kind].allot(dict(layer.options), counts))
            for layer in self.layers
        )
        return replace(self, layers=layers)

    def to_dict(self) -> dict[str, Any]:
        """Return the description as plain values, for JSON."""
        layers = [{"kind": layer.kind, **layer.options} for layer in self.layers]
        return {"name": self.name, "input_shape": list(self.input_shape), "layers": layers}

    @classmethod
    def from_dict(cls, values: Any) -> Architecture:
        """Return the description that ``to_dict`` wrote.

        Parameters
        ----------
        values : dict
            Plain values, perhaps from a damaged file.

        Returns
        -------
        Architecture
            The description.

        Raises
        ------
        FileFormatError
            If it is not such a description.
        """
        try:
            layers = []
            for entry in values["layers"]:
                options = {key: value for key, value in entry.items() if key != "kind"}
                layers.append(LayerSpec(entry["kind"], options))
            shape = tuple(int(n) for n in values["input_shape"])
            if not shape or min(shape) < 1:
                raise ValueError(f"input_shape {shape}")
            return cls(shape, tuple(layers), str(values["name"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FileFormatError(f"not a network description: {error}") from error

    def build(
        self,
        rng: np.random.Generator | None = None,
        *,
        dtype: Any = np.float32,
        parameters: Mapping[str, Parameter] | None = None,
        pattern: str | Mapping[str, Pattern] = "random",
    ) -> Sequential:
        """Return a network; see ``build``.

        Parameters
        ----------
        rng : numpy.random.Generator, optional
            Draws patterns and values.
        dtype : dtype
            float32 or float64.
        parameters : mapping of str to Parameter, optional
            Use these instead of drawing any.
        pattern : str or mapping of str to Pattern
            How first patterns are drawn.

        Returns
        -------
        Sequential
            The network.
        """
        return build(self, rng, dtype=dtype, parameters=parameters, pattern=pattern)

    def __str__(self) -> str:
        inner = "\n".join(f"  {layer}" for layer in self.layers)
        return f"{self.name}, input {self.input_shape}\n{inner}"


def build(
    architecture: Architecture,
    rng: np.random.Generator | None = None,
    *,
    dtype: Any = np.float32,
    parameters: Mapping[str, Parameter] | None = None,
    pattern: str | Mapping[str, Pattern] = "random",
) -> Sequential:
    """Make the network that a description asks for.

    Parameters
    ----------
    architecture : Architecture
        The description.
    rng : numpy.random.Generator, optional
        Draws patterns and values; ``numpy.random.default_rng(0)`` by default.
    dtype : dtype
        float32 or float64.
    parameters : mapping of str to Parameter, optional
        Use these (``"0.weight"`` …) instead of drawing any.
    pattern : str or mapping of str to Pattern
        How first patterns are drawn, a name in ``patterns.PATTERNS``; or patterns (``"0.weight"``
        …), for layers that are not inside of others. Layers that are not named draw at random.

    Returns
    -------
    Sequential
        The network.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    spec, layers = Spec(architecture.input_shape), []
    for i, entry in enumerate(architecture.layers):
        given = None
        if parameters is not None:
            prefix = f"{i}."
            given = {
                k.removeprefix(prefix): p for k, p in parameters.items() if k.startswith(prefix)
            }
        kind = KINDS[entry.kind]
        drawn = pattern if isinstance(pattern, str) else pattern.get(f"{i}.weight")
        layer = kind.build(
            spec.shape, dict(entry.options), rng=rng, dtype=dtype, parameters=given, pattern=drawn
        )
        spec = layer.plan(spec)
        layers.append(layer)
    network = Sequential(layers, architecture.input_shape)
    network.architecture = architecture
    return network


def mlp(
    input_shape: tuple[int, ...] | int,
    hidden: tuple[int, ...],
    n_outputs: int,
    *,
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
    name: str = "mlp",
) -> Architecture:
    """Describe a multilayer perceptron.

    Parameters
    ----------
    input_shape : int or tuple of ints
        Of one sample.
    hidden : tuple of ints
        Sizes of the hidden layers.
    n_outputs : int
        Size of the last layer, which has no activation.
    activation : str
        A name in ``layers.ACTIVATIONS``.
    dropout : float
        Rate behind every hidden layer.
    batch_norm : bool
        Whether to normalise before every activation.
    name : str
        What people call it.

    Returns
    -------
    Architecture
        With all weights kept; see ``Architecture.sparsify``.

    Raises
    ------
    ParameterError
        If a size or the activation is not valid.
    """
    shape = (input_shape,) if isinstance(input_shape, int) else tuple(input_shape)
    chosen = ACTIVATIONS.find(activation)
    for size in hidden:
        if isinstance(size, bool) or int(size) != size or size < 1:
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
    return Architecture(shape, tuple(layers), name)
