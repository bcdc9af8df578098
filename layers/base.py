"""What every layer promises."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparsecpu.layers.checked import check_methods, fitting
from sparsecpu.layers.outline import Outline, Shape
from sparsecpu.layers.passes import Passes
from sparsecpu.registries import Registry
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.step.context import Context


@dataclass(frozen=True)
class Spec:
    """What flows between two layers.

    Parameters
    ----------
    shape : tuple of ints
        Shape of one sample, or one token: ``(features,)`` or ``(channels, height, width)``.
    needs_gradient : bool
        True if something before it learns; otherwise a layer skips its dx. The chain that plans the
        layers sees to it, whatever they return.
    length : int or None
        Where samples are sequences of tokens, the most tokens that one may have: ``shape`` is that
        of a token, and the lanes are tokens. The chain hands it on, too; see ``sets_length``.
    """

    shape: Shape
    needs_gradient: bool = False
    length: int | None = None

    @property
    def features(self) -> int:
        """Numbers per sample."""
        return int(np.prod(self.shape))


class Plan:
    """What a network planned for its layers, ``current`` until another one plans any of them."""

    current = True
    #: Filters of a group in its convolutions, the most that any has.
    filter_group = 1

    def claim(self, network: Layer) -> None:
        """Take over a network and all layers inside of it from whoever planned them before."""
        for _, inner in inner_layers(network):
            if inner.planned is not None:
                inner.planned.current = False
            inner.planned = self
            self.filter_group = max(self.filter_group, inner.filter_group)


#: Layers by the name that network descriptions use; a layer enters it by being imported.
KINDS: Registry[type[Layer]] = Registry(
    "layer kind", (), "layers", {"mean_tokens": "The mean of a sequence's tokens."}
)


class Layer(Passes, Outline):
    """A step of a network with explicit forward and backward.

    Activations are tiles with the samples last: ``(tiles, features, lanes)``, or, of images,
    ``(tiles, height, channels, width, lanes)``, perhaps as lazy ``layers.images.planes``. Nothing
    of a batch is kept on ``self``: what backward needs, forward returns as ``saved``.
    """

    #: Name in network descriptions.
    kind: ClassVar[str] = ""
    #: True in a plain chain of vectors, where two arrays take turns in holding all gradients and,
    #: in prediction, all outputs: each is read once, by the neighbour.
    alternates: bool = False
    #: True for the last layer of a network that puts out tokens: if it is a linear one, the loss
    #: may have its outputs in parts; see ``layers.linear_parts``.
    ends: bool = False
    #: What the memory of its gradients goes by, where layers of other blocks use the same; empty
    #: for memory of its own.
    role: str = ""
    #: The plan of the network around it.
    planned: Plan | None = None
    #: True if it reads the numbers of tokens, int64 of shape ``(tiles, 1, lanes)``.
    reads_tokens: bool = False
    #: True if, as the first layer, it takes images as features, in the users' order.
    reads_flat: ClassVar[bool] = False
    #: True if tokens become samples in it, or samples tokens: ``plan`` says the length.
    sets_length: ClassVar[bool] = False
    #: Arguments that ``build`` fills, so that no description has them.
    filled: ClassVar[tuple[str, ...]] = ("rng", "dtype")
    #: Attributes that kernels know the size of: what replaces one has to fit.
    keeps_size: ClassVar[tuple[str, ...]] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.keeps_size:
            value = fitting(self, name, value)
        super().__setattr__(name, value)

    @property
    def has_two_forms(self) -> bool:
        """True if it has a ``form`` that may be sparse or dense; see ``Sequential.autotune``."""
        return False

    @property
    def filter_group(self) -> int:
        """How many filters of a convolution stand in a group; 1 for other layers."""
        return 1

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = vars(cls)
        if own.get("kind"):  # a name that is inherited stays its owner's
            KINDS[cls.kind] = cls
        for name in ("forward", "backward"):  # what is overridden is what adds in passing, too
            if name in own and f"{name}_plus" not in own:
                setattr(cls, f"{name}_plus", getattr(Layer, f"{name}_plus"))
        if not cls.__module__.startswith("sparsecpu."):
            check_methods(cls)

    @classmethod
    def build(cls, shape: Shape, options: dict[str, Any], **context: Any) -> Layer:
        """Make the layer of a network description.

        Parameters
        ----------
        shape : tuple of ints
            Shape of one sample of its input.
        options : dict
            The options of the description.
        **context : object
            ``rng``, ``dtype``, ``length`` (of sequences, or None), and ``parameters`` (name to
            parameter) where a file gives them.

        Returns
        -------
        Layer
            The layer.
        """
        return cls(**options)

    def plan(self, spec: Spec) -> Spec:
        """Prepare for inputs like ``spec`` and say what comes out.

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
            If the layer cannot take such inputs.
        """
        return spec

    def children(self) -> dict[str, Layer]:
        """Return the layers inside this one, by the names that parameters have in front."""
        return {}

    def parameters(self) -> dict[str, Parameter]:
        """Return the trainable parameters by name; here, those of the layers inside."""
        return {
            f"{name}.{key}": parameter
            for name, child in self.children().items()
            for key, parameter in child.parameters().items()
        }

    def buffers(self) -> dict[str, np.ndarray]:
        """Return arrays that belong to the model but are not trained, named like parameters."""
        return {
            f"{name}.{key}": buffer
            for name, child in self.children().items()
            for key, buffer in child.buffers().items()
        }

    def describe(self) -> str:
        """Return a few words for ``Sequential.summary``."""
        return self.kind

    def __repr__(self) -> str:
        from sparsecpu.layers.network.page import line_of_layer

        return line_of_layer(self)

    def _repr_html_(self) -> str:
        from sparsecpu.layers.network.page import page_of

        return page_of([self], type(self).__name__)

    def options(self) -> dict[str, Any]:
        """Return the arguments that a description has of it, by which ``build`` makes its like.

        Here, attributes of the same names as the arguments of its class, but for those that
        ``build`` fills.

        Returns
        -------
        dict
            Plain values, as JSON has them.
        """
        names = inspect.signature(type(self)).parameters
        return {name: getattr(self, name) for name in names if name not in self.filled}


def inner_layers(layer: Layer, name: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield a layer and all that are inside it, in order, with their names."""
    yield name, layer
    for key, child in layer.children().items():
        yield from inner_layers(child, f"{name}.{key}" if name else key)


def like(x: np.ndarray, owner: Layer, name: str, ctx: Context) -> np.ndarray:
    """Return workspace memory shaped like ``x``, with unspecified contents."""
    return ctx.workspace.array(owner, name, x.shape, x.dtype)


def gradient_like(x: np.ndarray, owner: Layer, name: str, ctx: Context) -> np.ndarray:
    """Return workspace memory for a gradient shaped like ``x``: that of the layer's role."""
    return ctx.workspace.array(owner.role or owner, name, x.shape, x.dtype)


def row_bytes(x: np.ndarray) -> int:
    """Return the bytes of a tile, (tiles, features, lanes), per feature."""
    return x.shape[2] * x.itemsize
