"""Residual networks of the papers, as descriptions."""

from __future__ import annotations

from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.networks.description import Architecture, LayerSpec
from sparsecpu.networks.models.pieces import Shape, as_image, conv, linear, scaled, unit


def _block(layers: list[LayerSpec]) -> list[dict[str, Any]]:
    """Return layers as the plain values that a residual block's options hold."""
    return [{"kind": layer.kind, **layer.options} for layer in layers]


def _residual(branch: list[LayerSpec], shortcut: list[LayerSpec]) -> LayerSpec:
    return LayerSpec("residual", {"branch": _block(branch), "shortcut": _block(shortcut)})


def wide_resnet(
    input_shape: Shape = (3, 32, 32),
    n_outputs: int = 10,
    *,
    depth: int = 16,
    widen: int = 8,
    dropout: float = 0.0,
    width: float = 1.0,
    group: int = 1,
) -> Architecture:
    """Describe a wide residual network WRN-depth-widen, pre-activation.

    10,954,160 weights for 16-8, 17,107,632 for 16-10, 17,147,312 for 22-8, 1,463,984 for 28-2.

    Parameters
    ----------
    input_shape : tuple of ints
        Shape of one sample.
    n_outputs : int
        Classes.
    depth : int
        Layers; 4 more than a multiple of 6.
    widen : int
        Multiplies 16, 32 and 64 channels.
    dropout : float
        Between the convolutions of a block; the paper's networks have 0.3.
    width : float
        Multiplies the numbers of channels again.
    group : {1, 2, 4, 8}
        So many filters of a layer share their inputs, once the network is made sparse.

    Returns
    -------
    Architecture
        With all weights kept.

    Raises
    ------
    ParameterError
        If the depth is not of this kind.

    Notes
    -----
    Zagoruyko & Komodakis (2016). Where the width changes, the 1x1 shortcut sees the activated
    input.
    """
    if depth < 10 or (depth - 4) % 6:
        raise ParameterError("depth", depth, "4 more than a multiple of 6, such as 16, 22, 28")
    blocks = (depth - 4) // 6
    layers = [conv(scaled(16, width), 3, padding=1, bias=False)]
    channels = scaled(16, width)
    before = [LayerSpec("batch_norm"), LayerSpec("relu")]
    for stage in range(3):
        out = scaled(16 * 2**stage * widen, width)
        for number in range(blocks):
            stride = 2 if stage > 0 and number == 0 else 1
            branch = [conv(out, 3, stride=stride, padding=1, bias=False), *before]
            branch += [LayerSpec("dropout", {"rate": dropout})] if dropout else []
            branch.append(conv(out, 3, padding=1, bias=False))
            if channels == out and stride == 1:
                layers.append(_residual([*before, *branch], []))
            else:
                short = conv(out, 1, stride=stride, bias=False)
                layers += [*before, _residual(branch, [short])]
            channels = out
    layers += [*before, LayerSpec("global_avg_pool2d"), linear(n_outputs, 1.0)]
    described = Architecture(as_image(input_shape), tuple(layers), f"wrn-{depth}-{widen}")
    return described.in_groups(group)


def _post_activation(convs: list[tuple[int, int, int]], short: list[LayerSpec]) -> list[LayerSpec]:
    """Return a block of (channels, kernel, stride), ReLU between and behind the sum."""
    branch: list[LayerSpec] = []
    for out, kernel, stride in convs:
        branch += unit(out, kernel, stride=stride, padding=kernel // 2)
    return [_residual(branch[:-1], short), LayerSpec("relu")]


def resnet(
    input_shape: Shape = (3, 32, 32),
    n_outputs: int = 10,
    *,
    depth: int = 18,
    width: float = 1.0,
    stem_stride: int = 1,
    stem_size: int | None = None,
    group: int = 1,
) -> Architecture:
    """Describe ResNet-18, ResNet-50, or one of the narrow ones for small images.

    18: 3x3 stem on images up to 64 pixels (11,164,352 weights for 10 classes), else 7x7 with
    pooling (11,678,912 for 1000). 50: 7x7 stem, bottlenecks (25,502,912). 6 n + 2: three stages of
    n blocks with 16, 32 and 64 channels, and shortcuts without weights: 56 is GSE's (848,944), 20
    has 268,336, 8 has 75,120.

    Parameters
    ----------
    input_shape : tuple of ints
        Shape of one sample.
    n_outputs : int
        Classes.
    depth : int
        18, 50, or 2 more than a multiple of 6.
    width : float
        Multiplies the numbers of channels.
    stem_stride : int
        Stride of a 3x3 stem: 2 makes everything behind it a quarter of the work.
    stem_size : {3, 7}, optional
        Side of the first filters; 7, with pooling behind them, for weights of ImageNet on images of
        any size. By default depth and image decide, as above.
    group : {1, 2, 4, 8}
        So many filters of a layer share their inputs, once the network is made sparse.

    Returns
    -------
    Architecture
        With all weights kept.

    Raises
    ------
    ParameterError
        If there is no such depth or stem.

    Notes
    -----
    He et al. (2016); Heddes et al. (2024); Thangarasa et al., Sparse-IFT (2024).
    """
    shape = as_image(input_shape)
    stages = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}.get(depth, 3 * ((depth - 2) // 6,))
    narrow = depth not in (18, 50)
    if narrow and (depth < 8 or (depth - 2) % 6):
        raise ParameterError("depth", depth, "18, 50, or 2 more than a multiple of 6 (8, 14, 20 …)")
    if stem_size not in (None, 3, 7):
        raise ParameterError("stem_size", stem_size, "3 or 7")
    first = 16 if narrow else 64
    channels = scaled(first, width)
    usual = 3 if narrow or (depth == 18 and max(shape[1:]) <= 64) else 7
    if (stem_size or usual) == 3:
        layers = unit(channels, 3, stride=stem_stride, padding=1)
    else:
        layers = unit(channels, 7, stride=2, padding=3)
        layers.append(LayerSpec("max_pool2d", {"kernel_size": 3, "stride": 2, "padding": 1}))
    for stage, blocks in enumerate(stages):
        inner = scaled(first * 2**stage, width)
        out = 4 * inner if depth == 50 else inner
        for number in range(blocks):
            stride = 2 if stage > 0 and number == 0 else 1
            short: list[LayerSpec] = []
            if (channels != out or stride > 1) and narrow:
                short = [LayerSpec("subsample", {"channels": out, "stride": stride})]
            elif channels != out or stride > 1:
                short = [conv(out, 1, stride=stride, bias=False), LayerSpec("batch_norm")]
            convs = [(inner, 3, stride), (inner, 3, 1)]
            if depth == 50:
                convs = [(inner, 1, 1), (inner, 3, stride), (out, 1, 1)]
            layers += _post_activation(convs, short)
            channels = out
    layers += [LayerSpec("global_avg_pool2d"), linear(n_outputs, 1.0)]
    return Architecture(shape, tuple(layers), f"resnet-{depth}").in_groups(group)
