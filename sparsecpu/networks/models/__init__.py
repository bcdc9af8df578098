"""Named networks, as functions that return descriptions; a new one is a function and a line."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from sparsecpu.networks.description import Architecture, mlp
from sparsecpu.networks.models.convolutional import alexnet, lenet5_caffe, vgg16
from sparsecpu.networks.models.gpt import gpt
from sparsecpu.networks.models.residual import resnet, wide_resnet
from sparsecpu.networks.models.vit import vit
from sparsecpu.registries import Registry, read_options
from sparsecpu.registries.registry import with_options


def lenet_300_100(
    input_shape: tuple[int, ...] = (784,),
    n_outputs: int = 10,
    *,
    activation: str = "relu",
    group: int = 1,
) -> Architecture:
    """Describe LeNet-300-100: two hidden layers (266,200 weights on 28×28 pixels).

    Parameters
    ----------
    input_shape : tuple of ints
        Shape of one sample.
    n_outputs : int
        Classes, or numbers to predict.
    activation : str
        A name in ``layers.ACTIVATIONS``.
    group : {1, 2, 4, 8}
        So many outputs of a layer share their inputs, once the network is made sparse.

    Returns
    -------
    Architecture
        With all weights kept.

    Notes
    -----
    LeCun et al., Gradient-based learning applied to document recognition (1998).
    """
    return mlp(
        input_shape, (300, 100), n_outputs, activation=activation, group=group, name="lenet-300-100"
    )


def mlp_1000_1000(
    input_shape: tuple[int, ...] = (784,),
    n_outputs: int = 10,
    *,
    activation: str = "relu",
    group: int = 1,
) -> Architecture:
    """Describe an MLP with two hidden layers of 1000.

    Parameters
    ----------
    input_shape : tuple of ints
        Shape of one sample.
    n_outputs : int
        Classes, or numbers to predict.
    activation : str
        A name in ``layers.ACTIVATIONS``.
    group : {1, 2, 4, 8}
        So many outputs of a layer share their inputs, once the network is made sparse.

    Returns
    -------
    Architecture
        With all weights kept.
    """
    return mlp(
        input_shape,
        (1000, 1000),
        n_outputs,
        activation=activation,
        group=group,
        name="mlp-1000-1000",
    )


#: Networks by the name that users give: ``MODELS[name](input_shape, n_outputs)``. Those of images
#: also take ``width``. A new one is a function and a line.
MODELS: Registry[Callable[..., Architecture]] = Registry(
    "model",
    {
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
        "vit": vit,
        "vit-tiny": partial(vit, name="vit-tiny", features=64, heads=4, head_size=16, hidden=128),
        "gpt": gpt,
        "gpt-nano": partial(gpt, name="gpt-nano", layers=3, heads=3, width=48, block=64),
        "gpt-cpu": partial(gpt, name="gpt-cpu", layers=4, heads=4, width=128, block=64),
        "gpt-mini": partial(gpt, name="gpt-mini", layers=6, heads=6, width=384, block=256),
        "gpt2": partial(gpt, name="gpt2", layers=12, heads=12, width=768, block=1024),
    },
)
#: Networks whose names hold numbers; words in capitals are the function's integers.
FAMILIES: Registry[Callable[..., Architecture]] = Registry(
    "model", {"resnet-DEPTH": resnet, "wrn-DEPTH-WIDEN": wide_resnet}
)
#: Arguments that come from the data, not from the user.
_FROM_DATA = ("input_shape", "n_outputs")


def model_names() -> str:
    """Return the names of all networks and families, with commas between them."""
    return ", ".join([*MODELS, *FAMILIES])


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
        None if there is no such network.

    Raises
    ------
    ParameterError
        If the function takes no such argument.
    """
    name, options = read_options("model", text)
    described = MODELS.get(name) or _member(name)
    if described is None:
        return None
    return with_options(name, described, options, _FROM_DATA)


def _member(name: str) -> Callable[..., Architecture] | None:
    """Return the member of a family that a name stands for, or None."""
    for family, described in FAMILIES.items():
        form = re.sub("[A-Z]+", lambda word: rf"(?P<{word[0].lower()}>\d+)", family)
        if found := re.fullmatch(form, name):
            return partial(described, **{word: int(n) for word, n in found.groupdict().items()})
    return None
