"""Vision transformers, as descriptions."""

from __future__ import annotations

import math
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.networks.description import Architecture, LayerSpec
from sparsecpu.networks.models.pieces import Shape, as_image, linear, scaled
from sparsecpu.registries.names import read_name
from sparsecpu.registries.numbers import whole


def _entry(layer: LayerSpec) -> dict[str, Any]:
    """Return a layer as the plain values that options of other layers hold."""
    return {"kind": layer.kind, **layer.options}


def _residual(norm: LayerSpec, branch: LayerSpec, dropout: float) -> LayerSpec:
    """Return what half a block adds to its input, which it normalises."""
    layers = [norm, branch]
    if dropout:
        layers.append(LayerSpec("dropout", {"rate": float(dropout)}))
    return LayerSpec("residual", {"branch": [_entry(layer) for layer in layers], "shortcut": []})


def vit(
    input_shape: Shape = (3, 32, 32),
    n_outputs: int = 100,
    *,
    patch: int = 4,
    features: int = 512,
    depth: int = 4,
    heads: int = 6,
    head_size: int | None = 64,
    hidden: int = 256,
    dropout: float = 0.0,
    pooling: str = "class_token",
    epsilon: float = 1e-5,
    width: float = 1.0,
    group: int = 1,
    name: str = "vit",
) -> Architecture:
    """Describe a vision transformer: patches become tokens, which attend to each other.

    Both halves of a block, attention and feed-forward, normalise what they read and add to it. By
    default it is GSE's, with 4,270,080 weights for 100 classes of 32x32 colour images, those of
    patches and the head included, all of which become sparse; ``vit-tiny`` has 64 features, 4 heads
    of 16 and 128 hidden ones (132,736 weights for 10 classes of 28x28 pixels).

    Parameters
    ----------
    input_shape : tuple of ints
        Shape of one sample; both sides are multiples of a patch's.
    n_outputs : int
        Classes.
    patch : int
        Side of a patch.
    features : int
        Numbers per token.
    depth : int
        Blocks.
    heads : int
        Heads of attention.
    head_size : int, optional
        Features of a head; by default the heads share out ``features``.
    hidden : int
        Hidden units of the feed-forward layers.
    dropout : float
        Of what each half of a block adds.
    pooling : {"class_token", "mean_tokens"}
        Whether a token of its own stands for the image, or the mean of the patches does.
    epsilon : float
        What normalisations add to the variance.
    width : float
        Multiplies the numbers of features and hidden units, those of heads too.
    group : {1, 2, 4, 8}
        So many outputs of a layer share their inputs, once the network is made sparse.
    name : str
        What people call it.

    Returns
    -------
    Architecture
        With all weights kept.

    Raises
    ------
    ParameterError
        If a number is out of range, or a side is no multiple of a patch's.

    Notes
    -----
    Dosovitskiy et al., An image is worth 16x16 words (2021); Heddes et al. (2024) for the sizes.
    The last normalisation comes behind pooling, which is the same for a class token. First values
    are uniform, scaled by fan-in; those of the layers that add to the shortcut are smaller by
    ``sqrt(2 depth)``, so that the sum is as large for any depth.
    """
    pooling = read_name("pooling", pooling, ("class_token", "mean_tokens"))
    depth, heads = whole("depth", depth, 1), whole("heads", heads, 1)
    features, hidden = scaled(features, width), scaled(hidden, width)
    size = _size_of_heads(features, heads, None if head_size is None else scaled(head_size, width))
    norm, smaller = (
        LayerSpec("layer_norm", {"epsilon": float(epsilon)}),
        1.0 / math.sqrt(2.0 * depth),
    )
    inner = {name: [_entry(linear(heads * size, 1.0))] for name in ("query", "key", "value")}
    attention = {"features": features, "heads": heads, "head_size": size, **inner,
                 "output": [_entry(linear(features, smaller))]}  # fmt: skip
    forward = {"features": features, "hidden": hidden, "up": [_entry(linear(hidden))],
               "down": [_entry(linear(features, smaller))]}  # fmt: skip
    first = {"features": features, "patch_size": patch, "class_token": pooling == "class_token"}
    layers = [LayerSpec("patch_embedding", first)]
    for _ in range(depth):
        layers.append(_residual(norm, LayerSpec("attention", attention), dropout))
        layers.append(_residual(norm, LayerSpec("feed_forward", forward), dropout))
    layers += [LayerSpec(pooling), norm, linear(n_outputs, 1.0)]
    described = Architecture(as_image(input_shape), tuple(layers), name)
    described.shapes()  # refuses sides that patches do not divide
    return described.in_groups(group)


def _size_of_heads(features: int, heads: int, given: int | None) -> int:
    if given is None and features % heads:
        raise ParameterError("heads", heads, f"a divisor of the {features} features")
    return features // heads if given is None else given
