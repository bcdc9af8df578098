"""Convolutional networks of the papers, as descriptions."""

from __future__ import annotations

import math
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.networks.description import Architecture, LayerSpec
from sparsecpu.step.image_shapes import has_channels_last

Shape = tuple[int, ...]

#: Flat samples are taken for square pictures from this side on; the smallest in use, digits, have
#: it. Four measurements of a flower are no picture of 2 x 2 pixels.
_LEAST_SIDE = 8


def as_image(input_shape: Shape) -> tuple[int, int, int]:
    """Return the shape of a sample as channels, height, width.

    ``(pixels,)`` is a square of one channel, if it has at least 8 x 8 pixels.
    """
    if len(input_shape) == 1:
        side = math.isqrt(input_shape[0])
        if side >= _LEAST_SIDE and side**2 == input_shape[0]:
            return 1, side, side
    if len(input_shape) == 2:
        return 1, *input_shape
    if has_channels_last(input_shape):
        height, width, channels = input_shape
        expected = f"channels first: ({channels}, {height}, {width})"
        raise ParameterError("input_shape", input_shape, expected)
    if len(input_shape) == 3:
        return input_shape
    expected = f"images: (channels, height, width), or the pixels of a square of {_LEAST_SIDE} x "
    raise ParameterError("input_shape", input_shape, f"{expected}{_LEAST_SIDE} or more")


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def _conv(out: int, kernel: int, *, stride: int = 1, padding: int = 0, **options: Any) -> LayerSpec:
    sizes = {"out_channels": out, "kernel_size": kernel, "stride": stride, "padding": padding}
    return LayerSpec("conv2d", {**sizes, "nnz": None, **options})


def _linear(out: int, gain: float = math.sqrt(2.0)) -> LayerSpec:
    return LayerSpec("linear", {"out_features": out, "nnz": None, "gain": gain})


def _unit(out: int, kernel: int, *, stride: int = 1, padding: int = 0) -> list[LayerSpec]:
    """Return convolution, normalisation, ReLU."""
    conv = _conv(out, kernel, stride=stride, padding=padding, bias=False)
    return [conv, LayerSpec("batch_norm"), LayerSpec("relu")]


def _head(sizes: tuple[int, ...], n_outputs: int, order: str) -> list[LayerSpec]:
    """Return hidden linear layers with normalisation, and the last layer."""
    layers = [LayerSpec("flatten")]
    behind = {"norm-relu": ("batch_norm", "relu"), "relu-norm": ("relu", "batch_norm")}[order]
    for size in sizes:
        layers += [_linear(size), *map(LayerSpec, behind)]
    return [*layers, _linear(n_outputs, 1.0)]


def _block(layers: list[LayerSpec]) -> list[dict[str, Any]]:
    """Return layers as the plain values that a residual block's options hold."""
    return [{"kind": layer.kind, **layer.options} for layer in layers]


def _residual(branch: list[LayerSpec], shortcut: list[LayerSpec]) -> LayerSpec:
    return LayerSpec("residual", {"branch": _block(branch), "shortcut": _block(shortcut)})


def lenet5_caffe(
    input_shape: Shape = (1, 28, 28), n_outputs: int = 10, *, width: float = 1.0
) -> Architecture:
    """Describe LeNet-5-Caffe: two 5x5 convolutions with pooling, then 500 (430,500 weights).

    Parameters
    ----------
    input_shape : tuple of ints
        Shape of one sample.
    n_outputs : int
        Classes.
    width : float
        Multiplies the numbers of channels.

    Returns
    -------
    Architecture
        With all weights kept.

    Notes
    -----
    LeCun et al. (1998), as in Caffe's examples and Dettmers & Zettlemoyer (2019).
    """
    pool = LayerSpec("max_pool2d", {"kernel_size": 2})
    layers = [_conv(_scaled(20, width), 5), pool, _conv(_scaled(50, width), 5), pool,
              LayerSpec("flatten"), _linear(_scaled(500, width)), LayerSpec("relu"),
              _linear(n_outputs, 1.0)]  # fmt: skip
    layers.insert(1, LayerSpec("relu"))
    layers.insert(4, LayerSpec("relu"))
    return Architecture(as_image(input_shape), tuple(layers), "lenet-5-caffe")


def alexnet(
    input_shape: Shape = (3, 32, 32),
    n_outputs: int = 10,
    *,
    width: float = 1.0,
    hidden: int = 1024,
    name: str = "alexnet-s",
) -> Architecture:
    """Describe AlexNet-s for 32x32 images: five strided convolutions, two hidden layers.

    5,066,784 weights with ``hidden`` 1024 (s), 8,484,896 with 2048 (b).

    Parameters
    ----------
    input_shape : tuple of ints
        Shape of one sample.
    n_outputs : int
        Classes.
    width : float
        Multiplies the numbers of channels.
    hidden : int
        Size of the hidden layers.
    name : str
        What people call it.

    Returns
    -------
    Architecture
        With all weights kept.

    Notes
    -----
    Lee et al., SNIP (2019); Dettmers & Zettlemoyer (2019).
    """
    layers = []
    for out, kernel, padding in ((96, 11, 2), (256, 5, 2), (384, 3, 1), (384, 3, 1), (256, 3, 1)):
        layers += _unit(_scaled(out, width), kernel, stride=2, padding=padding)
    hidden = _scaled(hidden, width)
    layers += _head((hidden, hidden), n_outputs, "norm-relu")
    return Architecture(as_image(input_shape), tuple(layers), name)


#: VGG-16 by variant: channels per block, whether the third convolution of a later block is 1x1
#: (with padding, as published), and sizes of the hidden layers.
_VGG = {
    "vgg-d": ((64, 128, 256, 512, 512), False, (512, 512)),
    "vgg-c": ((64, 128, 256, 512, 512), True, (512, 512)),
    "vgg-like": ((64, 128, 256, 512, 512), False, (512,)),
    "vgg16-small": ((16, 32, 64, 128, 128), False, (512, 512)),
}


def vgg16(
    input_shape: Shape = (3, 32, 32),
    n_outputs: int = 10,
    *,
    variant: str = "vgg-d",
    width: float = 1.0,
) -> Architecture:
    """Describe a VGG-16 for small images: D, C, VGG-like or GSE's small one.

    15,239,872, 11,307,712, 14,977,728 and 1,252,528 weights on 32x32 colour images.

    Parameters
    ----------
    input_shape : tuple of ints
        Shape of one sample.
    n_outputs : int
        Classes.
    variant : {"vgg-d", "vgg-c", "vgg-like", "vgg16-small"}
        The variant.
    width : float
        Multiplies the numbers of channels and hidden units.

    Returns
    -------
    Architecture
        With all weights kept.

    Raises
    ------
    ParameterError
        If there is no such variant.

    Notes
    -----
    Simonyan & Zisserman (2015); Dettmers & Zettlemoyer (2019); Heddes et al. (2024).
    """
    if variant not in _VGG:
        raise ParameterError("variant", variant, f"one of {', '.join(_VGG)}")
    channels, pointed, hidden = _VGG[variant]
    layers: list[LayerSpec] = []
    shape = as_image(input_shape)
    for block, out in enumerate(channels):
        for number in range(2 if block < 2 else 3):
            kernel = 1 if pointed and number == 2 else 3
            layers += _unit(_scaled(out, width), kernel, padding=1)
        if min(Architecture(shape, tuple(layers)).shapes()[-1][1:]) > 1:
            layers.append(LayerSpec("max_pool2d", {"kernel_size": 2}))
    layers += _head(tuple(_scaled(size, width) for size in hidden), n_outputs, "relu-norm")
    return Architecture(shape, tuple(layers), variant)


def wide_resnet(
    input_shape: Shape = (3, 32, 32),
    n_outputs: int = 10,
    *,
    depth: int = 16,
    widen: int = 8,
    dropout: float = 0.0,
    width: float = 1.0,
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
    layers = [_conv(_scaled(16, width), 3, padding=1, bias=False)]
    channels = _scaled(16, width)
    before = [LayerSpec("batch_norm"), LayerSpec("relu")]
    for stage in range(3):
        out = _scaled(16 * 2**stage * widen, width)
        for number in range(blocks):
            stride = 2 if stage > 0 and number == 0 else 1
            branch = [_conv(out, 3, stride=stride, padding=1, bias=False), *before]
            branch += [LayerSpec("dropout", {"rate": dropout})] if dropout else []
            branch.append(_conv(out, 3, padding=1, bias=False))
            if channels == out and stride == 1:
                layers.append(_residual([*before, *branch], []))
            else:
                short = _conv(out, 1, stride=stride, bias=False)
                layers += [*before, _residual(branch, [short])]
            channels = out
    layers += [*before, LayerSpec("global_avg_pool2d"), _linear(n_outputs, 1.0)]
    return Architecture(as_image(input_shape), tuple(layers), f"wrn-{depth}-{widen}")


def _post_activation(convs: list[tuple[int, int, int]], short: list[LayerSpec]) -> list[LayerSpec]:
    """Return a block of (channels, kernel, stride), ReLU between and behind the sum."""
    branch: list[LayerSpec] = []
    for out, kernel, stride in convs:
        branch += _unit(out, kernel, stride=stride, padding=kernel // 2)
    return [_residual(branch[:-1], short), LayerSpec("relu")]


def resnet(
    input_shape: Shape = (3, 32, 32),
    n_outputs: int = 10,
    *,
    depth: int = 18,
    width: float = 1.0,
    stem_stride: int = 1,
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

    Returns
    -------
    Architecture
        With all weights kept.

    Raises
    ------
    ParameterError
        If there is no such depth.

    Notes
    -----
    He et al. (2016); Heddes et al. (2024); Thangarasa et al., Sparse-IFT (2024).
    """
    shape = as_image(input_shape)
    stages = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}.get(depth, 3 * ((depth - 2) // 6,))
    narrow = depth not in (18, 50)
    if narrow and (depth < 8 or (depth - 2) % 6):
        raise ParameterError("depth", depth, "18, 50, or 2 more than a multiple of 6 (8, 14, 20 …)")
    first = 16 if narrow else 64
    channels = _scaled(first, width)
    if narrow or (depth == 18 and max(shape[1:]) <= 64):
        layers = _unit(channels, 3, stride=stem_stride, padding=1)
    else:
        layers = _unit(channels, 7, stride=2, padding=3)
        layers.append(LayerSpec("max_pool2d", {"kernel_size": 3, "stride": 2, "padding": 1}))
    for stage, blocks in enumerate(stages):
        inner = _scaled(first * 2**stage, width)
        out = 4 * inner if depth == 50 else inner
        for number in range(blocks):
            stride = 2 if stage > 0 and number == 0 else 1
            short: list[LayerSpec] = []
            if (channels != out or stride > 1) and narrow:
                short = [LayerSpec("subsample", {"channels": out, "stride": stride})]
            elif channels != out or stride > 1:
                short = [_conv(out, 1, stride=stride, bias=False), LayerSpec("batch_norm")]
            convs = [(inner, 3, stride), (inner, 3, 1)]
            if depth == 50:
                convs = [(inner, 1, 1), (inner, 3, stride), (out, 1, 1)]
            layers += _post_activation(convs, short)
            channels = out
    layers += [LayerSpec("global_avg_pool2d"), _linear(n_outputs, 1.0)]
    return Architecture(shape, tuple(layers), f"resnet-{depth}")
