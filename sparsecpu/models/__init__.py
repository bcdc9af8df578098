"""Named networks, as functions that return descriptions; a new one is a function and a line."""

from __future__ import annotations

from collections.abc import Callable

from sparsecpu.architecture import Architecture, mlp


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


#: Networks by the name that users give: ``MODELS[name](input_shape, n_outputs)``.
MODELS: dict[str, Callable[[tuple[int, ...], int], Architecture]] = {
    "lenet-300-100": lenet_300_100,
    "mlp-1000-1000": mlp_1000_1000,
}
