"""Named networks, as functions that return descriptions; a new one is a function and a line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import partial

from sparsecpu.errors import ParameterError
from sparsecpu.networks.description import Architecture, mlp
from sparsecpu.networks.models.convolutional import (
    alexnet,
    lenet5_caffe,
    resnet,
    vgg16,
    wide_resnet,
)
from sparsecpu.registries.options import read_options

__all__ = [
    "MODELS",
    "alexnet",
    "find_model",
    "lenet5_caffe",
    "lenet_300_100",
    "mlp_1000_1000",
    "resnet",
    "vgg16",
    "wide_resnet",
]


def lenet_300_100(input_shape: tuple[int, ...] = (784,), n_outputs: int = 10) -> Architecture:
    """Describe LeNet-300-100: two hidden layers with ReLU (266,200 weights on 28×28 pixels).

    Parameters
    ----------
    input_shape : tuple of ints
        Of one sample.
    n_outputs : int
        Classes, or numbers to predict.

    Returns
    -------
    Architecture
        With all weights kept.

    Notes
    -----
    LeCun et al., Gradient-based learning applied to document recognition (1998).
    """
    return mlp(input_shape, (300, 100), n_outputs, name="lenet-300-100")


def mlp_1000_1000(input_shape: tuple[int, ...] = (784,), n_outputs: int = 10) -> Architecture:
    """Describe an MLP with two hidden layers of 1000.

    Parameters
    ----------
    input_shape : tuple of ints
        Of one sample.
    n_outputs : int
        Classes, or numbers to predict.

    Returns
    -------
    Architecture
        With all weights kept.
    """
    return mlp(input_shape, (1000, 1000), n_outputs, name="mlp-1000-1000")


#: Arguments that come from the data.
_GIVEN = ("input_shape", "n_outputs")
#: Networks by the name that users give: ``MODELS[name](input_shape, n_outputs)``. Those of images
#: also take ``width``.
MODELS: dict[str, Callable[..., Architecture]] = {
    "lenet-300-100": lenet_300_100,
    "mlp-1000-1000": mlp_1000_1000,
    "lenet-5-caffe": lenet5_caffe,
    "alexnet-s": alexnet,
    "alexnet-b": partial(alexnet, hidden=2048, name="alexnet-b"),
    "vgg-d": vgg16,
    "vgg-c": partial(vgg16, variant="vgg-c"),
    "vgg-like": partial(vgg16, variant="vgg-like"),
    "vgg16-small": partial(vgg16, variant="vgg16-small"),
    "resnet-18": resnet,
    "resnet-50": partial(resnet, depth=50),
    "resnet-56": partial(resnet, depth=56),
}


def find_model(text: str) -> Callable[..., Architecture] | None:
    """Return the function that describes a network, any ``resnet-20`` or ``wrn-16-8`` too.

    Parameters
    ----------
    text : str
        A name in ``MODELS``, ``wrn-DEPTH-WIDEN`` or ``resnet-DEPTH``; with further arguments of the
        function behind a colon: ``"wrn-16-8:dropout=0.3"``.

    Returns
    -------
    callable or None
        None where there is no such network.

    Raises
    ------
    ParameterError
        If the function takes no such argument.
    """
    name, options = read_options("model", text)
    described = MODELS.get(name)
    if found := re.fullmatch(r"wrn-(\d+)-(\d+)", name):
        described = partial(wide_resnet, depth=int(found[1]), widen=int(found[2]))
    elif described is None and (found := re.fullmatch(r"resnet-(\d+)", name)):
        described = partial(resnet, depth=int(found[1]))
    if described is None or not options:
        return described
    known = [p for p in inspect.signature(described).parameters if p not in _GIVEN]
    for option, value in options.items():
        if option not in known:
            raise ParameterError(
                option, value, f"an option of {name}: {', '.join(known) or 'none'}"
            )
    return partial(described, **options)
