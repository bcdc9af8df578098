"""Convolutional networks of the papers, as descriptions."""

from __future__ import annotations

from sparsecpu.networks.description import Architecture, LayerSpec
from sparsecpu.networks.models.pieces import Shape, as_image, conv, linear, scaled, unit
from sparsecpu.registries.names import read_name


def _head(sizes: tuple[int, ...], n_outputs: int, order: str) -> list[LayerSpec]:
    """Return hidden linear layers with normalisation, and the last layer."""
    layers = [LayerSpec("flatten")]
    behind = {"norm-relu": ("batch_norm", "relu"), "relu-norm": ("relu", "batch_norm")}[order]
    for size in sizes:
        layers += [linear(size), *map(LayerSpec, behind)]
    return [*layers, linear(n_outputs, 1.0)]


def lenet5_caffe(
    input_shape: Shape = (1, 28, 28), n_outputs: int = 10, *, width: float = 1.0, group: int = 1
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
    group : {1, 2, 4, 8}
        So many filters of a layer share their inputs, once the network is made sparse.

    Returns
    -------
    Architecture
        With all weights kept.

    Notes
    -----
    LeCun et al. (1998), as in Caffe's examples and Dettmers & Zettlemoyer (2019).
    """
    pool = LayerSpec("max_pool2d", {"kernel_size": 2})
    layers = [conv(scaled(20, width), 5), pool, conv(scaled(50, width), 5), pool,
              LayerSpec("flatten"), linear(scaled(500, width)), LayerSpec("relu"),
              linear(n_outputs, 1.0)]  # fmt: skip
    layers.insert(1, LayerSpec("relu"))
    layers.insert(4, LayerSpec("relu"))
    return Architecture(as_image(input_shape), tuple(layers), "lenet-5-caffe").in_groups(group)


def alexnet(
    input_shape: Shape = (3, 32, 32),
    n_outputs: int = 10,
    *,
    width: float = 1.0,
    hidden: int = 1024,
    name: str = "alexnet-s",
    group: int = 1,
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
    group : {1, 2, 4, 8}
        So many filters of a layer share their inputs, once the network is made sparse.

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
        layers += unit(scaled(out, width), kernel, stride=2, padding=padding)
    hidden = scaled(hidden, width)
    layers += _head((hidden, hidden), n_outputs, "norm-relu")
    return Architecture(as_image(input_shape), tuple(layers), name).in_groups(group)


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
    group: int = 1,
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
    group : {1, 2, 4, 8}
        So many filters of a layer share their inputs, once the network is made sparse.

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
    variant = read_name("variant", variant, _VGG)
    channels, pointed, hidden = _VGG[variant]
    layers: list[LayerSpec] = []
    shape = as_image(input_shape)
    for block, out in enumerate(channels):
        for number in range(2 if block < 2 else 3):
            kernel = 1 if pointed and number == 2 else 3
            layers += unit(scaled(out, width), kernel, padding=1)
        if min(Architecture(shape, tuple(layers)).shapes()[-1][1:]) > 1:
            layers.append(LayerSpec("max_pool2d", {"kernel_size": 2}))
    layers += _head(tuple(scaled(size, width) for size in hidden), n_outputs, "relu-norm")
    return Architecture(shape, tuple(layers), variant).in_groups(group)
