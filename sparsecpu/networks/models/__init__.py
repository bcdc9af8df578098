"""Named networks, as functions that return descriptions; a new one is a function and a line."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.layers import ACTIVATIONS
from sparsecpu.networks.description import Architecture, mlp
from sparsecpu.networks.models.convolutional import alexnet, lenet5_caffe, vgg16
from sparsecpu.networks.models.gpt import gpt
from sparsecpu.networks.models.residual import resnet, wide_resnet
from sparsecpu.networks.models.vit import vit
from sparsecpu.registries import Registry, read_options
from sparsecpu.registries.names import expected_name, find_name
from sparsecpu.registries.options import spelled_options
from sparsecpu.registries.registry import parameters_of, with_options


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
    "models",
    {
        "lenet-300-100": "An MLP with hidden layers of 300 and 100.",
        "lenet-5-caffe": "Two 5x5 convolutions with pooling, then a layer of 500.",
        "alexnet-s": "Five strided convolutions, two hidden layers of 1024.",
        "alexnet-b": "alexnet-s with hidden layers of 2048.",
        "vgg-d": "VGG-16 for small images, with two hidden layers of 512.",
        "vgg-c": "vgg-d, the third convolution of each block being 1x1.",
        "vgg-like": "vgg-d with one hidden layer instead of two.",
        "vgg16-small": "vgg-d with a quarter of the channels.",
        "resnet-18": "ResNet-18; on images up to 64 pixels with a 3x3 stem.",
        "resnet-50": "ResNet-50, of bottlenecks, for large images.",
        "resnet-56": "A narrow ResNet of 56 layers for small images.",
        "vit": "A vision transformer: patches of images become tokens.",
        "vit-tiny": "vit with 64 features per token and 4 heads.",
        "gpt": "A GPT of 4 layers, for windows of any length.",
        "gpt-nano": "A GPT of 3 layers and 3 heads, width 48, for 64 tokens.",
        "gpt-cpu": "A GPT of 4 layers and 4 heads, width 128, for 64 tokens.",
        "gpt-mini": "A GPT of 6 layers and 6 heads, width 384, for 256 tokens.",
        "gpt2": "GPT-2: 12 layers and 12 heads, width 768, for 1024 tokens.",
    },
)
#: Networks whose names hold numbers; words in capitals are the function's integers.
FAMILIES: Registry[Callable[..., Architecture]] = Registry(
    "model",
    {"resnet-DEPTH": resnet, "wrn-DEPTH-WIDEN": wide_resnet},
    "models",
    {
        "resnet-DEPTH": "A narrow ResNet of 8, 14, 20 … layers, such as resnet-20.",
        "wrn-DEPTH-WIDEN": "A wide residual network, such as wrn-16-8.",
    },
)
#: What may stand between the words of a name.
_BETWEEN, _BETWEEN_OR_NOT = r"[\s_-]+", r"[\s_-]*"
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
        A name in ``MODELS``, ``wrn-DEPTH-WIDEN`` or ``resnet-DEPTH``, in capitals or not, with or
        without its hyphens; with further arguments of the function behind a colon:
        ``"wrn-16-8:dropout=0.3"``.

    Returns
    -------
    callable or None
        None if there is no such network.

    Raises
    ------
    ParameterError
        If the function takes no such argument.
    """
    given, options = read_options("model", text) if isinstance(text, str) else ("", {})
    name, described = _found(given)
    return None if described is None else with_options(name, described, options, _FROM_DATA)


def spelled_model(text: str) -> str:
    """Return ``"NAME:option=value"`` as files keep it: with the names as they are registered.

    Sizes of layers, and what is no name of a network, stay as they are.
    """
    if not isinstance(text, str):
        raise ParameterError("model", text, expected_model(text))
    given, colon, options = text.partition(":")
    name, described = _found(given)
    known = parameters_of(mlp if described is None else described)
    return name + colon + spelled_options(options, known, {"activation": ACTIVATIONS})


def hidden_sizes(text: str) -> tuple[int, ...]:
    """Return the sizes of hidden layers in ``"300,100:activation=gelu"``; refuse what has none."""
    try:
        found = tuple(int(size) for size in text.partition(":")[0].split(","))
        if min(found) < 1:
            raise ValueError
    except ValueError:
        expected = expected_model(text, ", or sizes of at least 1, such as 300,100")
        raise ParameterError("model", text, expected) from None
    return found


def expected_model(text: Any, others: str = "") -> str:
    """Return in words what was expected in place of a text that names no network.

    ``others`` says what else might have been given.
    """
    text = text.partition(":")[0] if isinstance(text, str) else text
    return expected_name(text, (*MODELS, *FAMILIES), MODELS.listed, others)


def _found(given: str) -> tuple[str, Callable[..., Architecture] | None]:
    """Return a network's own name and what describes it, or what was given and None.

    Numbers of a family's name need something between them, for ``wrn-16-8`` is not ``wrn-1-68``.
    """
    if (name := find_name(given, MODELS)) is not None:
        return name, MODELS[name]
    for family, described in FAMILIES.items():
        words = re.split("-", family)
        form = "".join(
            rf"{_BETWEEN if before.isupper() else _BETWEEN_OR_NOT}(?P<{word.lower()}>\d+)"
            for before, word in pairwise(words)
        )
        if found := re.fullmatch(words[0] + form, given.strip(), re.IGNORECASE):
            sizes = {word: int(number) for word, number in found.groupdict().items()}
            return "-".join([words[0], *map(str, sizes.values())]), partial(described, **sizes)
    return given, None
